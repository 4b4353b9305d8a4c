"""Table of the scores of each evaluated image, worst first, and layers that show its errors."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from pixelwise.config import DataConfig
from pixelwise.errors import RunError
from pixelwise.images import read_image
from pixelwise.widgets.label_comparison import add_errors, compare_labels
from pixelwise.widgets.layers import remove_layers
from pixelwise.widgets.panel import (
    Panel,
    create_button,
    create_table,
    fill_column,
    fill_table,
    remove_folders,
)
from pixelwise.widgets.readers import LayerData, read_known_pair
from pixelwise.widgets.threads import run_in_thread


class ImageScores(QWidget):
    """A table of images with their mean foreground Dice; hidden while empty.

    Parameters
    ----------
    panel : Panel
        The widget that holds it.

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
        self._added: dict[str, list[Any]] = {}  # layers by the name of their image
        self._is_reading = False
        self.table = create_table(["image", "Dice"], height=140)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(1, 60)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        self.table.setToolTip("The worst image first; click one to see its errors")
        self.table.cellClicked.connect(self._show_clicked)
        show = create_button(
            "Show errors", "Open the image with its mask, prediction and errors", self.show_errors
        )
        fill_column(self, self.table, show)
        self.clear()
        panel.destroyed.connect(partial(remove_folders, self._folders))

    @property
    def is_reading(self) -> bool:
        """Whether an image is being opened."""
        return self._is_reading

    def begin(self, data: DataConfig, model: Path) -> Path:
        """Start a new evaluation; return a folder for its predicted labels."""
        self.clear()
        self._data = data, model
        self._folders.append(Path(tempfile.mkdtemp(prefix="pixelwise-evaluate-")))
        return self._folders[-1]

    def clear(self) -> None:
        """Empty the table and delete the predicted labels."""
        remove_folders(self._folders)
        self.table.setRowCount(0)
        self.hide()

    def show_scores(self, images: Mapping[str, Any]) -> None:
        """List the images from the output of ``pixelwise evaluate --json``."""
        scores = {name: found["macro_foreground"]["dice"] for name, found in images.items()}
        names = sorted(scores, key=lambda name: -1.0 if scores[name] is None else scores[name])
        texts = ["-" if scores[name] is None else f"{scores[name]:.3f}" for name in names]
        fill_table(self.table, list(zip(names, texts, strict=True)))
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
        """Add the layers, replacing older ones of the same image."""
        self._is_reading = False
        layers, labels, errors = found
        (image, options, _), (mask, mask_options, _) = layers
        viewer, name = self._panel.viewer, options["name"]
        kept = {"name": f"{name} prediction", "features": mask_options["features"]}
        remove_layers(viewer, self._added.pop(name, []))
        self._added[name] = [
            viewer.add_image(image, **options),
            viewer.add_labels(mask, **mask_options, visible=False),
            viewer.add_labels(labels, **kept, visible=False),
        ]
        add_errors(viewer, errors, name=f"{name} errors")

    def _fail(self, error: Exception) -> None:
        self._is_reading = False
        self._panel.complain(str(error))


def _read_layers(
    config: DataConfig, model: Path, name: str, *, folder: Path
) -> tuple[list[LayerData], Any, Any]:
    """Image and mask of a sample, its predicted labels and its error map."""
    layers = read_known_pair(config, model, name)
    mask = layers[1][0]
    labels = read_image(folder / f"{name}_labels.tif")[0].reshape(mask.shape)
    return layers, labels, compare_labels(labels, mask, named=True)[1]
