"""Table of the scores of each evaluated image, worst first, and layers that show its errors."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from pixelwise.cards import read_card
from pixelwise.config import DataConfig
from pixelwise.datasets import KnownClasses, load_dataset, match_classes
from pixelwise.errors import RunError
from pixelwise.images import read_image
from pixelwise.widgets.label_comparison import add_errors, compare_labels
from pixelwise.widgets.panel import Panel, create_button
from pixelwise.widgets.readers import LayerData, read_pair
from pixelwise.widgets.threads import run_in_thread


class ImageScores(QWidget):
    """A table of images with their mean Dice of the foreground; hidden while there is none.

    Parameters
    ----------
    panel : Panel
        The widget that it is part of.

    Attributes
    ----------
    table : QTableWidget
        Name and score, the worst image first.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._data: tuple[DataConfig, Path] | None = None
        self._folders: list[Path] = []
        self._is_reading = False
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["image", "Dice"])
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(1, 60)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        self.table.setToolTip("The worst image first; click one to see its errors")
        self.table.setMinimumHeight(140)
        self.table.cellClicked.connect(self._show_clicked)
        show = create_button(
            "Show the errors", "Open the image with mask, prediction and errors", self.show_errors
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addWidget(show)
        self.clear()
        panel.destroyed.connect(partial(_remove, self._folders))

    @property
    def is_reading(self) -> bool:
        """Whether an image is on its way into layers."""
        return self._is_reading

    def begin(self, data: DataConfig, model: Path) -> Path:
        """Forget the last evaluation; give a folder for the labels that a model's next makes."""
        self.clear()
        self._data = data, model
        self._folders.append(Path(tempfile.mkdtemp(prefix="pixelwise-evaluate-")))
        return self._folders[-1]

    def clear(self) -> None:
        """Show nothing, and remove the labels that were kept."""
        _remove(self._folders)
        self.table.setRowCount(0)
        self.hide()

    def show_scores(self, images: Mapping[str, Any]) -> None:
        """List the images as ``pixelwise evaluate --json`` gives them."""
        scores = {name: found["macro_foreground"]["dice"] for name, found in images.items()}
        names = sorted(scores, key=lambda name: -1.0 if scores[name] is None else scores[name])
        self.table.setRowCount(len(names))
        for row, name in enumerate(names):
            score = "-" if scores[name] is None else f"{scores[name]:.3f}"
            self.table.setItem(row, 0, QTableWidgetItem(name))
            self.table.setItem(row, 1, QTableWidgetItem(score))
        self.table.selectRow(0)
        self.show()

    def show_errors(self) -> None:
        """Open the selected image with its mask, the prediction and the errors as layers."""
        with self._panel.complaining():
            item = self.table.item(self.table.currentRow(), 0)
            if item is None or self._data is None or self._is_reading:
                raise RunError("Select one image in the list, and wait until it is shown.")
            self._is_reading = True
            run_in_thread(
                partial(_read_layers, *self._data, item.text(), folder=self._folders[-1]),
                self,
                then=self._add_layers,
                failed=self._fail,
            )

    def _show_clicked(self, *_: int) -> None:
        """Show the image that was clicked, unless another one is on its way."""
        if not self._is_reading:
            self.show_errors()

    def _add_layers(self, found: tuple[list[LayerData], Any, Any]) -> None:
        """Add the layers; older ones of the same image are replaced."""
        self._is_reading = False
        layers, labels, errors = found
        (image, options, _), (mask, mask_options, _) = layers
        viewer, name = self._panel.viewer, options["name"]
        kept = {"name": f"{name} prediction", "features": mask_options["features"]}
        for old in [f"{name}{part}" for part in ("", " mask", " prediction")]:
            if old in viewer.layers:
                viewer.layers.remove(old)
        viewer.add_image(image, **options)
        viewer.add_labels(mask, **mask_options, visible=False)
        viewer.add_labels(labels, **kept, visible=False)
        add_errors(viewer, errors, name=f"{name} errors")

    def _fail(self, error: Exception) -> None:
        self._is_reading = False
        self._panel.complain(str(error))


def _read_layers(
    config: DataConfig, model: Path, name: str, *, folder: Path
) -> tuple[list[LayerData], Any, Any]:
    """Image and mask of a sample, its predicted labels and their errors."""
    card = read_card(model)
    known = KnownClasses(card.classes, card.background, card.mask_values)
    data = match_classes(load_dataset(config, strict=False), known)
    sample = next(sample for sample in data.samples if sample.name == name)
    layers = read_pair(data, sample)
    mask = layers[1][0]
    labels = read_image(folder / f"{name}_labels.tif")[0].reshape(mask.shape)
    return layers, labels, compare_labels(labels, mask, named=True)[1]


def _remove(folders: list[Path], *_: object) -> None:
    """Remove folders, also when the widget is gone already."""
    while folders:
        shutil.rmtree(folders.pop(), ignore_errors=True)
