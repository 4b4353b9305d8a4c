"""The widget Annotate: a new labels layer with named, coloured classes to draw on an image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, LineEdit
from qtpy.QtCore import QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QColorDialog, QHeaderView, QTableWidget, QTableWidgetItem

from pixelwise.classes import SegmentationClass, create_classes
from pixelwise.errors import ConfigError, DataError, PixelwiseError
from pixelwise.widgets.annotation_files import describe_time, find_folder, remove_file
from pixelwise.widgets.autosave import Autosave
from pixelwise.widgets.forms import lay_out
from pixelwise.widgets.layers import (
    AXES_KEY,
    SOURCE,
    SPARSE,
    avoid_black,
    color_labels,
    connect_layers,
    find_layers,
    image_shape,
    placement,
    read_axes,
)
from pixelwise.widgets.live import Live
from pixelwise.widgets.panel import Panel, create_button, create_row, create_text
from pixelwise.widgets.project import ProjectList
from pixelwise.widgets.questions import RestoreAnswer, ask_restore
from pixelwise.widgets.readers import list_classes

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels
    from qtpy.QtGui import QShowEvent

_DENSE = "Every pixel gets a class. Unpainted pixels are the first class, the background."
_SPARSE = "Paint a few strokes of every class, the background too. Unpainted pixels are ignored."
_DARK = 110  # of 255: white is read on it, black is not


class AnnotateWidget(Panel):
    """Create a labels layer for an image.

    Attributes
    ----------
    image : magicgui ComboBox
        Name of the image layer.
    axes : magicgui LineEdit
        Its axes, if the guess is wrong.
    table : QTableWidget
        Classes; a click on a colour changes it.
    sparse : QCheckBox
        0 means 'not annotated'.
    layer : Labels or None
        The labels that were made last.
    project : ProjectList
        The images of a folder, one after another.
    live : Live
        Labels the view while strokes are drawn.
    autosave : Autosave
        Keeps the strokes in the user's data folder.
    ask_restore : callable
        Gives "restore", "discard" or "later" for an image and a time; a dialog, unless a script
        puts something else here.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.image = ComboBox(
            name="image",
            label="Image",
            choices=lambda _: [layer.name for layer in find_layers(self.viewer, "image")],
        )
        self.axes = LineEdit(name="axes", label="Axes", tooltip="If the guess is wrong, e.g. CYX")
        self.understood = create_text()
        self.layer: Labels | None = None
        self._was_shown = False  # whether an image was open yet
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["class", "colour"])
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.setMinimumHeight(150)
        self.table.cellDoubleClicked.connect(self._choose_color)
        self.table.cellClicked.connect(self._choose_class)
        self.sparse = QCheckBox("Sparse: draw only a few strokes")
        self.hint = create_text(_DENSE)
        self.sparse.toggled.connect(self._show_sparse)
        self.project = ProjectList(
            self, list_classes=lambda: self.classes, show_labels=self._take_labels
        )
        self.column.addWidget(self.project)
        place = lay_out([self.image, self.axes])[1]
        self.column.addWidget(place)
        self.column.addWidget(self.understood)
        self.image.changed.connect(self._explain_axes)
        self.axes.changed.connect(self._explain_axes)
        self.column.addWidget(self.table)
        add = create_button("Add class", "Add a class to the table", self.add_class)
        remove = create_button(
            "Remove class", "Remove the selected class, or the last", self.remove_class
        )
        self.column.addLayout(create_row(add, remove))
        self.column.addWidget(self.sparse)
        self.column.addWidget(self.hint)
        self.column.addStretch()
        self.live = Live(self, self._choose_layers)
        self.autosave = Autosave(self, find_folder())
        self.ask_restore: Callable[[str, str], RestoreAnswer] = partial(ask_restore, self)
        self._asked: set[Path] = set()
        self._offer = QTimer(self)
        self._offer.setSingleShot(True)
        self._offer.timeout.connect(self._offer_left)
        self.image.changed.connect(lambda: self._offer.start(0))
        create = create_button("New labels", "Add a labels layer to draw on the image", self.create)
        self.pin(create, create_row(self.live.button, self.live.accept_button))
        for part in (place, self.understood, self.sparse, self.hint, create):  # a project sets them
            self.project.opened.connect(part.setHidden)
        self.set_classes(create_classes(["background", "object"]))
        connect_layers(napari_viewer, self._refresh)
        napari_viewer.layers.selection.events.active.connect(self._follow_selection)
        for changed in (self.image.changed, self.axes.changed, self.table.itemChanged):
            changed.connect(self.forgive)
        self._refresh()
        self._follow_selection()

    @property
    def classes(self) -> tuple[SegmentationClass, ...]:
        """Classes of the table.

        Raises
        ------
        ConfigError
            A name is empty or repeated, or there are fewer than two classes.
        """
        names, colors = [], []
        for row in range(self.table.rowCount()):
            name, color = self.table.item(row, 0), self.table.item(row, 1)
            names.append("" if name is None else name.text().strip())
            colors.append("#000000" if color is None else color.text())
        if not all(names):
            raise ConfigError("Give every class a name.")
        return create_classes(names, colors)

    def set_classes(self, classes: tuple[SegmentationClass, ...]) -> None:
        """Show these classes."""
        self.table.setRowCount(0)
        for item in classes:
            self._add_row(item.name, item.color)

    def show_classes_of(self, layer: Labels) -> None:
        """Show the classes of labels, and whether they are sparse, and paint on them."""
        sparse = bool(layer.metadata.get(SPARSE))
        self.sparse.setChecked(sparse)
        if classes := list_classes(layer.as_layer_data_tuple()[1], first=int(sparse)):
            self.set_classes(classes)
        layer.selected_label, layer.mode = 1, "paint"

    def _take_labels(self, layer: Labels) -> None:
        """Annotate the labels of a project's image."""
        self.layer = layer
        self.show_classes_of(layer)
        self.viewer.layers.selection.active = layer

    def add_class(self) -> None:
        """Add a class with the next colour of the palette."""
        count = self.table.rowCount() + 1
        palette = create_classes([str(i) for i in range(max(count, 2))])
        self._add_row(f"class {count - 1}", palette[count - 1].color)

    def remove_class(self) -> None:
        """Remove the selected class, or the last one; at least two remain."""
        with self.complaining():
            if self.table.rowCount() <= 2:
                raise ConfigError("A segmentation needs at least two classes.")
            row = self.table.currentRow()
            self.table.removeRow(row if row >= 0 else self.table.rowCount() - 1)
            self._number_rows()

    def rest(self) -> None:
        """Turn Live off."""
        self.live.button.setChecked(False)

    def create(self) -> Labels | None:
        """Add the labels layer; None and a message if that fails."""
        try:
            return self._create()
        except PixelwiseError as error:
            self.complain(str(error))
            return None

    def _create(self) -> Labels:
        name: Any = self.image.value
        if name is None or name not in self.viewer.layers:
            raise DataError("Open an image first.")
        image, classes = self.viewer.layers[name], self.classes
        axes = read_axes(image, self.axes.value).names
        if self.axes.value.strip():
            image.metadata = {**image.metadata, AXES_KEY: axes}  # for Train and Predict too
        shape = image_shape(image, axes)
        layer = self.viewer.add_labels(
            np.zeros(shape, np.uint8),
            name=f"{name} labels",
            **placement(image, axes, axes.replace("C", "")),
        )
        sparse = self.sparse.isChecked()
        color_labels(layer, avoid_black(classes) if sparse else classes, first=int(sparse))
        layer.metadata = {**layer.metadata, SPARSE: sparse, SOURCE: name}
        layer.selected_label, layer.mode = 1, "paint"
        self.layer = layer
        self.say(
            f"Draw on {layer.name}. A click on a class above chooses it, as the keys - and = do."
        )
        return layer

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802  Qt's name
        """Offer strokes that were not saved."""
        super().showEvent(event)
        self._offer.start(0)

    def _offer_left(self) -> None:
        """Ask once about the strokes on the chosen image that a napari left which crashed."""
        image, _ = self._choose_layers()
        left = [] if image is None or not self.isVisible() else self.autosave.find_left(image)
        left = [path for path in left if path not in self._asked]
        if image is None or not left:
            return
        self._asked |= set(left)
        answer = self.ask_restore(image.name, describe_time(left[0]))
        if answer == "discard":
            for path in left:
                remove_file(path)
        elif answer == "restore":
            with self.complaining():
                restored = self.autosave.restore(image, left[::-1])  # the newest lies on top
                self.layer = self.project.take_restored(restored)
                self.show_classes_of(self.layer)
                self.say(f"{self.layer.name} is as it was. Save it when it is done.")

    def _choose_layers(self) -> tuple[Image | None, Labels | None]:
        """Return the chosen image and the labels that were made last, if there are any."""
        images = {layer.name: layer for layer in find_layers(self.viewer, "image")}
        return images.get(self.image.value), self.layer

    def _follow_selection(self, *_: object) -> None:
        """Choose the image that is selected, or else the topmost one that is seen."""
        images = find_layers(self.viewer, "image")
        chosen = [layer for layer in images if layer is self.viewer.layers.selection.active]
        if self.image.value is None or not self._was_shown:
            chosen = chosen or [layer for layer in images if layer.visible][-1:]
        if chosen:
            self._was_shown = True
            self.image.value = chosen[0].name

    def _choose_class(self, row: int, _: int) -> None:
        """Paint with the class that was clicked, on the labels made last or those selected."""
        active = self.viewer.layers.selection.active
        layer = active if active in find_layers(self.viewer, "labels") else self.layer
        if layer is not None and layer in self.viewer.layers:
            layer.selected_label = row + int(bool(layer.metadata.get(SPARSE)))
            layer.mode = "paint"
            self.viewer.layers.selection.active = layer

    def _add_row(self, name: str, color: str) -> None:
        row = self.table.rowCount()
        self.table.insertRow(row)
        self.table.setItem(row, 0, QTableWidgetItem(name))
        self.table.setItem(row, 1, QTableWidgetItem(color))
        self._paint(row, color)
        self._number_rows()

    def _number_rows(self) -> None:
        """Show the label value of each class."""
        first = int(self.sparse.isChecked())
        values = [str(first + row) for row in range(self.table.rowCount())]
        self.table.setVerticalHeaderLabels(values)

    def _choose_color(self, row: int, column: int) -> None:
        item = self.table.item(row, column)
        if column != 1 or item is None:
            return
        color = QColorDialog.getColor(QColor(item.text()), self)
        if color.isValid():
            self._paint(row, color.name())

    def _paint(self, row: int, color: str) -> None:
        item = self.table.item(row, 1)
        assert item is not None  # noqa: S101  `_add_row` makes it
        item.setText(color)
        item.setBackground(QColor(color))
        is_dark = QColor(color).lightness() < _DARK
        item.setForeground(QColor("white" if is_dark else "black"))  # in all themes

    def _show_sparse(self, on: bool) -> None:
        self.hint.setText(_SPARSE if on else _DENSE)
        self._number_rows()

    def _refresh(self, *_: object) -> None:
        self.image.reset_choices()
        self._explain_axes()

    def _explain_axes(self, *_: object) -> None:
        """Show the axes of the image, or why they are unknown."""
        name: Any = self.image.value
        text = ""
        if name is not None and name in self.viewer.layers:
            try:
                text = str(read_axes(self.viewer.layers[name], self.axes.value))
            except DataError as error:
                text = str(error)
        self.understood.setText(text)
