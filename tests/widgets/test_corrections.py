from __future__ import annotations

import numpy as np
import pytest
from napari.components import LayerList
from napari.layers import Labels

from pixelwise.classes import create_classes
from pixelwise.errors import DataError
from pixelwise.widgets.corrections import accept_prediction, add_corrections
from pixelwise.widgets.layers import MODEL, PREDICTED, SOURCE, SPARSE, color_labels


class Viewer:
    """As much of a viewer as is needed."""

    def __init__(self) -> None:
        self.layers = LayerList()

    def add_labels(self, data: np.ndarray, **options: object) -> Labels:
        layer = Labels(data, **options)
        self.layers.append(layer)
        return layer


def test_corrections_lie_on_the_prediction() -> None:
    found = Labels(np.ones((3, 4, 5), np.uint8), name="cells prediction", scale=(2, 0.5, 0.5))
    color_labels(found, create_classes(["ground", "cell"]))
    found.metadata = {PREDICTED: True, SOURCE: "cells", MODEL: "m"}
    viewer = Viewer()
    layer = add_corrections(viewer, found)  # type: ignore[arg-type]
    assert (layer.name, layer.data.shape) == ("cells corrections", (3, 4, 5))
    np.testing.assert_array_equal(layer.scale, found.scale)
    assert layer.metadata[SPARSE]
    assert PREDICTED not in layer.metadata
    assert (layer.metadata[SOURCE], layer.metadata[MODEL]) == ("cells", "m")
    again = add_corrections(viewer, found)  # type: ignore[arg-type]
    assert again is layer, "a second click adds no second layer"
    assert layer.colormap.color_dict[1][3] == 1  # the background is seen when it is painted


def test_a_prediction_without_names_cannot_be_corrected() -> None:
    with pytest.raises(DataError, match="no named classes"):
        add_corrections(Viewer(), Labels(np.ones((4, 5), np.uint8), name="objects"))  # type: ignore[arg-type]


def test_an_accepted_prediction_is_truth() -> None:
    found = Labels(np.ones((4, 5), np.uint8), name="cells prediction")
    found.metadata = {PREDICTED: True, SOURCE: "cells", "model": "m"}
    accept_prediction(found)
    assert found.metadata == {SOURCE: "cells", "model": "m", SPARSE: False}
    assert found.name == "cells labels"
