"""A prediction becomes truth only where somebody says so: by corrections, or accepted whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QWidget

from pixelwise.axes import label_axes
from pixelwise.classes import VOID
from pixelwise.errors import DataError
from pixelwise.widgets.layers import (
    AXES_KEY,
    MODEL,
    PREDICTED,
    SOURCE,
    SPARSE,
    avoid_black,
    color_labels,
    find_layers,
    find_truth,
    image_shape,
    layer_array,
    placement,
    read_axes,
)
from pixelwise.widgets.panel import Panel, create_button, create_row
from pixelwise.widgets.readers import list_classes
from pixelwise.widgets.regions import REGION

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer


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
        """Take the predictions for truth; of a region, only the region is annotated."""
        with self._panel.complaining():
            for layer in self.predictions:
                if REGION in layer.metadata:
                    accepted = accept_region(self._panel.viewer, layer)
                else:
                    accept_prediction(layer)
                    accepted = layer
                self._panel.say(f"Train learns from {accepted.name} now.")
        self.show_for(self._results)

    def evaluate(self) -> None:
        """Open Evaluate with the last prediction."""
        page: Any = self._panel.open_page("Evaluate")
        if predictions := self.predictions:
            page.layers.prediction.value = predictions[-1].name


def add_corrections(viewer: napari.Viewer, prediction: Labels) -> Labels:
    """Add sparse labels over a prediction: what is painted on them counts as annotated.

    They have the classes of the prediction from 1 on, the name of its image with "corrections", and
    the size of that image, of which the prediction may show a region. If they are there already,
    they are selected.

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
    shape, axes, place = _find_place(viewer, prediction)
    layer = viewer.add_labels(np.zeros(shape, np.uint8), name=f"{source} corrections", **place)
    color_labels(layer, avoid_black(classes), first=1)
    layer.metadata = {**layer.metadata, AXES_KEY: axes, **_name_origin(prediction)}
    layer.selected_label, layer.brush_size = 1, 5
    return _paint_on(viewer, layer)


def _paint_on(viewer: napari.Viewer, layer: Any) -> Any:
    layer.mode = "paint"
    viewer.layers.selection.active = layer
    return layer


def _find_place(
    viewer: napari.Viewer, prediction: Labels
) -> tuple[tuple[int, ...], str, dict[str, Any]]:
    """Shape, axes and placement of labels that can be trained on with a prediction's image."""
    if REGION in prediction.metadata and (image := _find_image(viewer, prediction)) is not None:
        axes = read_axes(image).names
        kept = label_axes(axes)
        return image_shape(image), kept, placement(image, axes, kept)
    array = layer_array(prediction)
    axes = prediction.metadata.get(AXES_KEY) or "TZYX"[-array.ndim :]
    return tuple(array.shape), axes, placement(prediction, axes, axes)


def _find_image(viewer: napari.Viewer, prediction: Labels) -> Image | None:
    """Find the image that a prediction was made from, if it is still open."""
    name = prediction.metadata.get(SOURCE)
    return next((x for x in find_layers(viewer, "image") if x.name == name), None)


def accept_region(viewer: napari.Viewer, prediction: Labels) -> Labels:
    """Take a predicted region for truth: as sparse labels of its image, with nothing else on them.

    They lie right on the prediction, below corrections. A second call finds them again.

    Raises
    ------
    DataError
        The image is gone, or the region was predicted at another resolution than its largest.
    """
    about, made_from = prediction.metadata[REGION], _name_origin(prediction)
    if (accepted := _find_accepted(viewer, made_from | {REGION: about})) is not None:
        return accepted
    if about["level"]:
        raise DataError(
            f"{prediction.name} was made at a lower resolution than its image has: zoom in and "
            "predict again, or correct it."
        )
    if _find_image(viewer, prediction) is None:
        raise DataError(f"Open {_name_source(prediction)} first: this is a region of it.")
    shape, axes, place = _find_place(viewer, prediction)
    classes = list_classes(prediction.as_layer_data_tuple()[1], first=0)
    found = np.asarray(prediction.data)
    truth = np.zeros(shape, np.uint8)
    spans = {"Y": slice(*about["rows"]), "X": slice(*about["columns"])}
    inside = {**spans, **{letter: slice(at, at + 1) for letter, at in about["plane"].items()}}
    truth[tuple(inside[letter] for letter in axes)] = np.where(found == VOID, 0, found + 1)
    layer = viewer.add_labels(truth, name=f"{_name_source(prediction)} labels", **place)
    color_labels(layer, avoid_black(classes), first=1)
    layer.metadata = {**layer.metadata, AXES_KEY: axes, **made_from, REGION: about}
    viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(prediction) + 1)
    prediction.visible = False
    return layer


def _find_accepted(viewer: napari.Viewer, known: dict[str, Any]) -> Labels | None:
    """Find labels that were accepted from a region, by what their metadata say of it."""
    return next((x for x in find_truth(viewer) if known.items() <= x.metadata.items()), None)


def accept_prediction(prediction: Labels) -> None:
    """Take all pixels of a prediction for truth: Train offers it then.

    As for all annotations, it is said whether they are sparse: strokes on those are kept.
    """
    kept = {k: v for k, v in prediction.metadata.items() if k != PREDICTED}
    prediction.metadata = {SPARSE: False, **kept}
    prediction.name = f"{_name_source(prediction)} labels"  # the list of Train hears of it


def _name_origin(prediction: Labels) -> dict[str, Any]:
    """Metadata of sparse labels that come from a prediction: its image, and its model if known."""
    known = {MODEL: prediction.metadata[MODEL]} if MODEL in prediction.metadata else {}
    return {SPARSE: True, SOURCE: _name_source(prediction), **known}


def _name_source(prediction: Labels) -> str:
    """Name of the image that a prediction was made from."""
    return str(prediction.metadata.get(SOURCE) or prediction.name.removesuffix(" prediction"))
