"""A prediction becomes truth only where somebody says so: by corrections, or accepted whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QWidget

from pixelwise.errors import DataError
from pixelwise.widgets.layers import (
    AXES_KEY,
    MODEL,
    PREDICTED,
    SOURCE,
    SPARSE,
    avoid_black,
    color_labels,
    layer_array,
    placement,
)
from pixelwise.widgets.panel import Panel, create_button, create_row
from pixelwise.widgets.readers import list_classes

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer


class PredictionSteps(QWidget):
    """What can be done with predictions: correct or accept them, improve the model, score them.

    Parameters
    ----------
    panel : Panel
        The widget that made the predictions.
    improve : callable
        Improves the model.
    """

    def __init__(self, panel: Panel, improve: Callable[[], None]) -> None:
        super().__init__()
        self._panel = panel
        self._results: Sequence[Layer] = ()
        self.correct_button = create_button(
            "Correct", "Paint the right classes over it; only what is painted counts", self.correct
        )
        self.accept_button = create_button(
            "Accept", "Take all of it for truth, to train on", self.accept
        )
        self.evaluate_button = create_button("Evaluate", "Score it", self.evaluate)
        self.improve_button = create_button(
            "Improve",
            "Train the model on with all corrections, about a minute, and predict again",
            improve,
        )
        self.setLayout(
            create_row(
                self.correct_button, self.accept_button, self.improve_button, self.evaluate_button
            )
        )
        self.hide()

    def show_for(self, results: Sequence[Layer]) -> None:
        """Offer the steps for these results; hide them if none is, or was, a prediction."""
        self._results = results
        predictions = self.predictions
        self.setVisible(bool(self._list_open(SOURCE)))
        for button in (self.correct_button, self.accept_button):
            button.setEnabled(bool(predictions))

    @property
    def predictions(self) -> list[Labels]:
        """Predictions that are still open and that nobody has accepted."""
        return self._list_open(PREDICTED)

    @property
    def model(self) -> Path | None:
        """Model that made the last of the results that are still open."""
        made = [x.metadata[MODEL] for x in self._list_open(SOURCE) if MODEL in x.metadata]
        return Path(made[-1]) if made else None

    def _list_open(self, key: str) -> list[Any]:
        """Results that are still open and have something in their metadata."""
        kept = [layer for layer in self._results if layer in self._panel.viewer.layers]
        return [layer for layer in kept if layer.metadata.get(key)]

    def correct(self) -> None:
        """Add a layer for corrections over each prediction, and paint on the last."""
        with self._panel.complaining():
            for layer in self.predictions:
                added = add_corrections(self._panel.viewer, layer)
                self._panel.say(f"Paint the right classes on {added.name}, then press Improve.")

    def accept(self) -> None:
        """Take the predictions for truth."""
        for layer in self.predictions:
            accept_prediction(layer)
            self._panel.say(f"Train learns from {layer.name} now.")
        self.show_for(self._results)

    def evaluate(self) -> None:
        """Open Evaluate with the last prediction."""
        page: Any = self._panel.open_page("Evaluate")
        if predictions := self.predictions:
            page.layers.prediction.value = predictions[-1].name


def add_corrections(viewer: napari.Viewer, prediction: Labels) -> Labels:
    """Add sparse labels over a prediction: what is painted on them counts as annotated.

    They have the classes of the prediction from 1 on, and its name with "corrections". If they are
    there already, they are selected.

    Raises
    ------
    DataError
        The classes of the prediction have no names.
    """
    source = _name_source(prediction)
    for layer in viewer.layers:
        if layer.name == f"{source} corrections" and layer.metadata.get(SOURCE) == source:
            return _paint_on(viewer, layer)
    classes = list_classes(prediction.as_layer_data_tuple()[1], first=0)
    if not classes:
        raise DataError(f"{prediction.name} has no named classes that could be painted.")
    array = layer_array(prediction)
    axes = prediction.metadata.get(AXES_KEY) or "TZYX"[-array.ndim :]
    layer = viewer.add_labels(
        np.zeros(array.shape, np.uint8),
        name=f"{source} corrections",
        **placement(prediction, axes, axes),
    )
    color_labels(layer, avoid_black(classes), first=1)
    made_by = {MODEL: prediction.metadata[MODEL]} if MODEL in prediction.metadata else {}
    layer.metadata = {**layer.metadata, SPARSE: True, AXES_KEY: axes, SOURCE: source, **made_by}
    layer.selected_label, layer.brush_size = 1, 5
    return _paint_on(viewer, layer)


def _paint_on(viewer: napari.Viewer, layer: Any) -> Any:
    layer.mode = "paint"
    viewer.layers.selection.active = layer
    return layer


def accept_prediction(prediction: Labels) -> None:
    """Take all pixels of a prediction for truth: Train offers it then."""
    prediction.metadata = {k: v for k, v in prediction.metadata.items() if k != PREDICTED}
    prediction.name = f"{_name_source(prediction)} labels"  # the list of Train hears of it


def _name_source(prediction: Labels) -> str:
    """Name of the image that a prediction was made from."""
    return str(prediction.metadata.get(SOURCE) or prediction.name.removesuffix(" prediction"))
