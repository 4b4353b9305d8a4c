"""Which layers are predicted, and which part of them; says before the click what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from magicgui.widgets import LineEdit
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QWidget,
)

from pixelwise.cards import Card
from pixelwise.errors import DataError, PixelwiseError
from pixelwise.images import ImageArray
from pixelwise.input_check import require_intensities, shape_planes
from pixelwise.widgets.forms import lay_out
from pixelwise.widgets.layers import connect_layers, find_layers, layer_array, read_axes
from pixelwise.widgets.panel import COMPLAINT, create_row, create_text, fill_column
from pixelwise.widgets.prediction_task import Wanted
from pixelwise.widgets.regions import LayerRegion, find_shape, find_view
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

_CHECK_MS = 200  # after the last change
WHOLE: Final = "Whole image"
VIEW: Final = "What I see"
SHAPE: Final = "Region"
_AREAS: Final[dict[str, str]] = {
    WHOLE: "All planes, at full resolution",
    VIEW: "What the window shows of the current plane, at the resolution that is shown",
    SHAPE: "The rectangle around the selected shape of a Shapes layer, in the current plane",
}
_FIND: Final[dict[str, Callable[[Any, Any, str], LayerRegion]]] = {
    VIEW: find_view,
    SHAPE: find_shape,
}


class LayerChoice(QWidget):
    """Image layers to tick, their axes, and what of them is predicted.

    Parameters
    ----------
    viewer : napari.Viewer
    read : callable
        Gives the chosen model's card and the intensity of white, if one is given; raises if there
        is no model.

    Attributes
    ----------
    changed : Signal
        A tick, the axes or the area was changed.
    layers : QListWidget
    area : QComboBox
        `WHOLE`, `VIEW` or `SHAPE`.
    uncertainty : QCheckBox
    axes : magicgui LineEdit
        Axes of the images, if the guess is wrong.
    understood, misfit : QLabel
        How the axes were read; why the images do not fit the model.
    """

    changed = Signal()

    def __init__(
        self, viewer: napari.Viewer, read: Callable[[], tuple[Card, float | None]]
    ) -> None:
        super().__init__()
        self._viewer, self._read = viewer, read
        self._by_hand = False  # whether the user has ticked layers
        self._checked = 0  # number of the last check
        self.axes = LineEdit(name="axes", label="Axes", tooltip="If the guess is wrong, e.g. ZYX")
        self.layers = QListWidget()
        self.layers.setMaximumHeight(110)
        self.area, self.uncertainty = QComboBox(), QCheckBox("Uncertainty")
        for number, (area, tip) in enumerate(_AREAS.items()):
            self.area.addItem(area)
            self.area.setItemData(number, tip, Qt.ItemDataRole.ToolTipRole)
        self.uncertainty.setToolTip("Add an image of 1 - the largest probability of each pixel")
        self.understood, self.misfit = create_text(), create_text()
        self.misfit.setStyleSheet(COMPLAINT)
        row = QWidget()
        row.setLayout(create_row(QLabel("Predict"), self.area, self.uncertainty))
        parts = (self.layers, row, lay_out([self.axes])[1], self.understood, self.misfit)
        fill_column(self, *parts).addStretch()
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(_CHECK_MS)
        self._wait.timeout.connect(self._check)
        self._connect()
        self._explain_area()

    def _connect(self) -> None:
        self.layers.itemChanged.connect(self._hear_tick)
        self.axes.changed.connect(self._explain)
        self.area.currentTextChanged.connect(self._explain_area)
        connect_layers(self._viewer, self.refresh)
        self._viewer.layers.selection.events.changed.connect(self.refresh)

    @property
    def chosen(self) -> list[Layer]:
        """Image layers that are ticked."""
        items = [self.layers.item(row) for row in range(self.layers.count())]
        names = [i.text() for i in items if i and i.checkState() == Qt.CheckState.Checked]
        return [layer for layer in find_layers(self._viewer, "image") if layer.name in names]

    def choose(self, *names: str) -> None:
        """Tick only these layers."""
        for row in range(self.layers.count()):
            item = self.layers.item(row)
            ticked = item.text() in names
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def find_wanted(self) -> list[Wanted]:
        """List what is to be predicted.

        Raises
        ------
        DataError
            No layer is ticked, its axes are unknown, or there is no such region.
        """
        wanted = []
        find = _FIND.get(self.area.currentText())
        for layer in self.chosen:
            axes = read_axes(layer, self.axes.value).names
            region = None if find is None else find(self._viewer, layer, axes)
            wanted.append(Wanted(layer, axes, region))
        if not wanted:
            raise DataError("Open an image and tick it in the list, or choose a folder.")
        return wanted

    def refresh(self, *_: object) -> None:
        """List the image layers and tick those the user ticked, else the selected ones."""
        images = find_layers(self._viewer, "image")
        selected = [layer for layer in images if layer in self._viewer.layers.selection]
        if self._by_hand:
            selected = self.chosen
        selected = selected or self.chosen or [layer for layer in images if layer.visible][-1:]
        self.layers.blockSignals(True)
        self.layers.clear()
        for layer in images:
            item = QListWidgetItem(layer.name)
            item.setToolTip(layer.name)
            ticked = layer in selected
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
            self.layers.addItem(item)
        self.layers.blockSignals(False)
        self._explain()

    def check_soon(self, *_: object) -> None:
        """Look a moment later whether the images fit the model."""
        self._checked += 1  # the answer to an earlier question is outdated
        self._wait.start()

    def _hear_tick(self, *_: object) -> None:
        """Keep the user's ticks, whatever is selected later."""
        self._by_hand = True
        self._explain()

    def _explain_area(self, *_: object) -> None:
        """Show the tooltip of the chosen area on the closed list."""
        self.area.setToolTip(_AREAS[self.area.currentText()])
        self.changed.emit()

    def _explain(self, *_: object) -> None:
        """Show the axes of the ticked layers."""
        lines = []
        for layer in self.chosen:
            try:
                lines.append(f"{layer.name}: {read_axes(layer, self.axes.value)}")
            except DataError as error:
                lines.append(str(error))
        self.understood.setText("\n".join(lines) or "Tick image layers, or select them.")
        self.check_soon()
        self.changed.emit()

    def _check(self) -> None:
        """Look in a thread whether the images fit the model: some of their rows are read."""
        self.misfit.setText("")
        try:
            card, white = self._read()
            sources = [
                (layer.name, ImageArray(layer_array(layer), read_axes(layer, self.axes.value)))
                for layer in self.chosen
            ]
        except (PixelwiseError, OSError):
            return  # there is no model yet, or the axes are asked for
        run_in_thread(
            partial(_list_misfits, sources, card, white),
            self,
            then=partial(self._show_misfits, self._checked),
            failed=lambda _: None,
        )

    def _show_misfits(self, number: int, misfits: list[str]) -> None:
        if number == self._checked:
            self.misfit.setText("\n".join(misfits))


def _list_misfits(
    sources: list[tuple[str, ImageArray]], card: Card, white: float | None
) -> list[str]:
    """Say which images the model would refuse, and why."""
    misfits = []
    for name, source in sources:
        try:
            shape_planes(source, card)
            require_intensities(source, card, white=white)
        except PixelwiseError as error:
            misfits.append(f"{name}: {error}")
    return misfits
