"""Choice of images and masks: open layers, or a folder in any layout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHeaderView,
    QLineEdit,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from pixelwise.classes import VOID
from pixelwise.config import FOR_TRAINING, DataConfig
from pixelwise.errors import DataError
from pixelwise.widgets.forms import Form
from pixelwise.widgets.full_names import NameList, show_full_names
from pixelwise.widgets.layers import (
    SPARSE,
    connect_layers,
    find_layers,
    find_truth,
    image_shape,
    layer_array,
    name_files,
    pair_layers,
    read_axes,
    read_classes,
    write_pair,
)
from pixelwise.widgets.panel import Fold, Panel, create_text, fill_column
from pixelwise.widgets.threads import run_in_thread
from pixelwise.widgets.wheel import calm_wheel

if TYPE_CHECKING:
    from napari.layers import Image, Labels

_NONE = "—"
_FILES = ("axes", "images", "masks", "mask_suffix", "validation", "test", "corrections")
_SPLIT = ("validation_fraction", "split_seed")
_ELSEWHERE = {"path", "layout", *_FILES, "skip_unreadable", *FOR_TRAINING}
_DETAILS = tuple(field for field in DataConfig.model_fields if field not in _ELSEWHERE)


class DataPicker(QWidget):
    """Two tabs: open layers, in pairs of image and labels, or a folder.

    Parameters
    ----------
    panel : Panel
        The widget that holds it.
    split : bool
        Whether to show the fields of the validation split.

    Attributes
    ----------
    changed : Signal
        A field or choice has changed.
    folder : Form of DataConfig
        ``folder["path"].value`` and ``folder["layout"].value``.
    files : Form of DataConfig
        Where the folder holds images and masks, and their axes.
    details : Form of DataConfig
        Classes, void values, ... of layers and folders alike.
    tabs : QTabWidget
    axes : QLineEdit
        Axes of the layers, if the guess is wrong.
    """

    changed = Signal()

    def __init__(self, panel: Panel, *, split: bool = False) -> None:
        super().__init__()
        self._panel = panel
        self.folder = Form(DataConfig, ["path", "layout"])
        self.files = Form(DataConfig, _FILES)
        self.details = Form(DataConfig, _DETAILS + (_SPLIT if split else ()))
        self.tabs = QTabWidget()
        self.table = QTableWidget(0, 2)
        self.axes = QLineEdit()
        self._understood = create_text()
        self.tabs.addTab(self._build_layers(), "Open layers")
        self.tabs.addTab(self._build_folder(), "Folder")
        title = "Classes and validation" if split else "Classes"
        fill_column(self, self.tabs, Fold(title, self.details.native))
        self.refresh()
        connect_layers(panel.viewer, self.refresh)
        for form in (self.folder, self.files, self.details):
            form.container.changed.connect(self._tell)
        self.tabs.currentChanged.connect(self._tell)
        if not self.pairs:
            self.tabs.setCurrentIndex(1)

    def _build_layers(self) -> QWidget:
        self.table.setHorizontalHeaderLabels(["image", "labels"])
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.verticalHeader().hide()
        self.table.setMinimumHeight(110)
        self.tabs.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.table.itemChanged.connect(self._tell)
        self.axes.setPlaceholderText("axes, only if the guess is wrong, e.g. ZYX or CYX")
        self.axes.setToolTip("Axes of the images, letters of TZCYX")
        self.axes.textChanged.connect(self._tell)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        for widget in (self.table, self._understood, self.axes):
            layout.addWidget(widget)
        return inside

    def _build_folder(self) -> QWidget:
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.addWidget(self.folder.native)
        layout.addWidget(Fold("Files and axes", self.files.native))
        layout.addStretch()
        return inside

    @property
    def uses_layers(self) -> bool:
        """Whether the data are open layers."""
        return bool(self.tabs.currentIndex() == 0)

    @property
    def pairs(self) -> list[tuple[Image, Labels]]:
        """Images that are ticked, with their labels."""
        layers = {layer.name: layer for layer in self._panel.viewer.layers}
        chosen = []
        for item, box in self._list_cells():
            names = item.text(), box.currentText()
            if item.checkState() == Qt.CheckState.Checked and layers.keys() >= set(names):
                chosen.append((layers[names[0]], layers[names[1]]))
        return chosen

    def choose_pairs(self, pairs: dict[str, str]) -> None:
        """Tick only these images, by name, each with the name of its labels."""
        self.tabs.setCurrentIndex(0)
        for item, box in self._list_cells():
            is_chosen = item.text() in pairs
            item.setCheckState(Qt.CheckState.Checked if is_chosen else Qt.CheckState.Unchecked)
            if is_chosen:
                box.setCurrentText(pairs[item.text()])

    def choose_folder(self, path: str | Path, **fields: Any) -> None:
        """Choose a folder; `fields` are those of `DataConfig`."""
        self.tabs.setCurrentIndex(1)
        for form in (self.folder, self.files, self.details):
            form.fill({"path": str(path)} | fields)

    def refresh(self, *_: object) -> None:
        """List the open layers; ticks are kept."""
        unticked = self._list_unticked()
        images = find_layers(self._panel.viewer, "image")
        labels = find_truth(self._panel.viewer)
        found = {image.name: mask.name for image, mask in pair_layers(images, labels)}
        found |= self._list_chosen({layer.name for layer in labels})
        self.table.blockSignals(True)
        self.table.setRowCount(len(images))
        for row, image in enumerate(images):
            ticked = image.name in found and image.name not in unticked
            item = QTableWidgetItem(image.name)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
            box = NameList()
            calm_wheel(box)
            show_full_names(box)
            box.addItems([_NONE, *(layer.name for layer in labels)])
            box.setCurrentText(found.get(image.name, _NONE))
            box.currentTextChanged.connect(partial(self._tick, item))
            self.table.setItem(row, 0, item)
            self.table.setCellWidget(row, 1, box)
        self.table.blockSignals(False)
        if self.pairs and "path" not in self.folder.values:
            self.tabs.setCurrentIndex(0)
        self._tell()

    def _list_cells(self) -> list[tuple[Any, Any]]:
        """Image item and labels box of each row."""
        rows = range(self.table.rowCount())
        return [(self.table.item(row, 0), self.table.cellWidget(row, 1)) for row in rows]

    def _list_chosen(self, labels: set[str]) -> dict[str, str]:
        """Labels chosen for each image, if they are still open."""
        cells = self._list_cells()
        return {i.text(): b.currentText() for i, b in cells if b.currentText() in labels}

    def _list_unticked(self) -> set[str]:
        """Images with labels that the user has unticked."""
        return {
            item.text()
            for item, box in self._list_cells()
            if item.checkState() == Qt.CheckState.Unchecked and box.currentText() != _NONE
        }

    def _tick(self, item: QTableWidgetItem, labels: str) -> None:
        """Tick an image whose labels were chosen."""
        chosen = labels != _NONE
        item.setCheckState(Qt.CheckState.Checked if chosen else Qt.CheckState.Unchecked)
        self._tell()

    def _tell(self, *_: object) -> None:
        """Show how the axes are read, and emit `changed`."""
        pairs = self.pairs
        try:
            kinds = {str(read_axes(image, self.axes.text())) for image, _ in pairs}
        except DataError as error:
            kinds = {str(error)}
        self._understood.setText(
            f"{len(pairs)} pair{'s' * (len(pairs) > 1)}, {'; '.join(sorted(kinds))}"
            if pairs
            else "Open images and paint labels on them with Annotate, or choose a folder."
        )
        self.changed.emit()

    def measure_images(self) -> tuple[int, int] | None:
        """Measure the chosen layers: pixels in all, and the shortest side; None for a folder."""
        shapes = [image_shape(image) for image, _ in self.pairs] if self.uses_layers else []
        shapes = [shape for shape in shapes if len(shape) >= 2]
        if not shapes:
            return None
        return sum(map(prod, shapes)), min(side for shape in shapes for side in shape[-2:])

    def count_channels(self) -> int | None:
        """Channels of the first image layer; None for a folder, which is not read."""
        if not self.uses_layers or not (pairs := self.pairs):
            return None
        image = pairs[0][0]
        try:
            axes = read_axes(image, self.axes.text()).names
        except DataError:
            return None
        return int(layer_array(image).shape[axes.index("C")]) if "C" in axes else 1

    def prepare(
        self,
        folder: Path,
        *,
        then: Callable[[DataConfig], None],
        failed: Callable[[Exception], None],
        abandoned: Callable[[], None],
    ) -> None:
        """Call `then` with a `DataConfig`; a thread first saves layers into `folder`.

        If the widget is closed before they are saved, only `abandoned` is called.

        Raises
        ------
        DataError, ConfigError
            Nothing is chosen, or a field is wrong.
        """
        if not self.uses_layers:
            values = self.folder.values | self.files.values | self.details.values
            if "path" not in values:
                raise DataError("Choose a folder with images and masks first.")
            then(DataConfig.create(**values))
            return
        pairs = self.pairs
        if not pairs:
            raise DataError(
                "No image with labels is ticked: open images, paint labels on them with Annotate "
                "and choose them in the table, or choose a folder."
            )
        axes = [read_axes(image, self.axes.text()).names for image, _ in pairs]
        asked = DataConfig.create(path=folder, **self.details.values)  # refuses wrong fields early
        work = partial(write_layers, pairs, axes, asked)
        run_in_thread(work, self, then=then, failed=failed, abandoned=abandoned)


def write_layers(pairs: list[tuple[Any, Any]], axes: list[str], asked: DataConfig) -> DataConfig:
    """Save pairs of layers as a data set in the folder of `asked`; return a config that reads it.

    Raises
    ------
    DataError
        Labels do not have the shape of their image, or layers disagree on what a value means.
    WriteError
        The folder cannot be written.
    """
    kinds = [bool(labels.metadata.get(SPARSE)) for _, labels in pairs]
    sparse = any(kinds)  # complete labels are written as sparse ones beside those
    shifts = [sparse and not kind for kind in kinds]
    classes = _join_classes([labels for _, labels in pairs], shifts)
    names = name_files(image for image, _ in pairs)
    for (image, labels), name, letters, shift in zip(pairs, names, axes, shifts, strict=True):
        write_pair(image, labels, asked.path, name=name, axes=letters, as_sparse=shift)
    sparse = sparse or asked.sparse
    if classes and not sparse:
        values = {int(v) for _, labels in pairs for v in np.unique(np.asarray(layer_array(labels)))}
        for value in sorted(values - {VOID}):
            classes.setdefault(str(value), "background" if value == 0 else f"class {value}")
    classes.pop("0", None) if sparse else None
    named = len(classes) > 1 and asked.classes == "auto"
    update = {"layout": "pairs", "images": "images", "masks": "masks", "sparse": sparse}
    return asked.model_copy(update=update | {"classes": classes if named else asked.classes})


def _join_classes(layers: list[Any], shifts: list[bool]) -> dict[str, str]:
    """Join the class names of labels by value; those of complete labels beside strokes move up.

    Raises
    ------
    DataError
        Two layers name one value differently, or the values of complete labels beside strokes are
        no class numbers.
    """
    classes: dict[str, str] = {}
    owners: dict[str, str] = {}
    for labels, shift in zip(layers, shifts, strict=True):
        names = read_classes([labels])
        if shift:
            _require_class_numbers(labels, len(names))
            names = names or {"0": "background"}
        for value, name in names.items():
            key = str(int(value) + shift)
            if classes.setdefault(key, name) != name:
                raise DataError(
                    f"{labels.name} has the class {name} where {owners[key]} has {classes[key]}: "
                    "give both the same classes in the same order, or train on them separately."
                )
            owners.setdefault(key, labels.name)
    return classes


def _require_class_numbers(labels: Any, named: int) -> None:
    """Refuse complete labels whose values are not 0, 1, ... up to their classes, or void."""
    values = {int(value) for value in np.unique(np.asarray(layer_array(labels)))}
    classes = values - {VOID}
    if max(classes, default=0) >= max(named, 2) or (VOID in values and not classes - {0}):
        shown = ", ".join(map(str, sorted(values)[:8]))
        raise DataError(
            f"{labels.name} has the values {shown}: beside strokes, the values of complete labels "
            "must be the numbers of their classes, from 0 on. Train on them separately."
        )
