from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from pixelwise.classes import create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets import load_dataset
from pixelwise.errors import DataError
from pixelwise.widgets.data_picker import write_layers
from pixelwise.widgets.layers import SPARSE, color_labels

VOID = 255
SHAPE = (40, 48)


def draw(
    name: str, values: Sequence[int], names: Sequence[str] = (), *, sparse: bool = False
) -> tuple[Image, Labels]:
    """An image, and labels with rows of these values."""
    array = np.resize(np.repeat(np.array(values, np.uint8), SHAPE[1]), SHAPE)
    labels = Labels(array, name=f"{name} labels")
    if names:
        color_labels(labels, create_classes(list(names)), first=int(sparse))
    labels.metadata = {**labels.metadata, SPARSE: sparse}
    return Image(array, name=name), labels


def save(folder: Path, *pairs: tuple[Any, Any]) -> dict[str, tuple[list[str], list[int]]]:
    """Save pairs and load them as a training does: the classes, and those in each row of a mask."""
    data = load_dataset(write_layers(list(pairs), ["YX"] * len(pairs), DataConfig(path=folder)))
    names = [item.name for item in data.classes]
    return {s.name: (names, s.read_mask()[0, :4, 0].tolist()) for s in data.samples}


def test_strokes_and_complete_labels_mean_the_same_classes(tmp_path: Path) -> None:
    strokes = draw("a", [0, 1, 2, 0], ["background", "cell"], sparse=True)
    complete = draw("b", [0, 1, 255, 1], ["background", "cell"])
    unnamed = draw("c", [1, 0, 1, 0])
    found = save(tmp_path, strokes, complete, unnamed)
    assert found == {
        "a": (["background", "cell"], [VOID, 0, 1, VOID]),
        "b": (["background", "cell"], [0, 1, VOID, 1]),
        "c": (["background", "cell"], [1, 0, 1, 0]),
    }


@pytest.mark.parametrize(
    "names", [["cell", "background"], ["background", "nucleus"]], ids=["order", "name"]
)
def test_layers_that_disagree_on_a_class_are_refused(tmp_path: Path, names: list[str]) -> None:
    strokes = draw("a", [0, 1, 2, 0], ["background", "cell"], sparse=True)
    with pytest.raises(DataError, match=r"b labels has the class .* where a labels has"):
        save(tmp_path, strokes, draw("b", [0, 1], names))
    assert not list(tmp_path.iterdir())


def test_a_mask_without_names_beside_strokes_has_the_background_first(tmp_path: Path) -> None:
    strokes = draw("a", [0, 1, 2, 0], ["cell", "background"], sparse=True)
    with pytest.raises(DataError, match="b labels has the class background where a labels has"):
        save(tmp_path, strokes, draw("b", [0, 1]))


@pytest.mark.parametrize("values", [[0, 255], [0, 1, 2], [0, 7]], ids=str)
def test_values_that_number_no_classes_are_refused_beside_strokes(
    tmp_path: Path, values: list[int]
) -> None:
    strokes = draw("a", [0, 1, 2, 0], ["background", "cell"], sparse=True)
    with pytest.raises(DataError, match=r"b labels has the values .* Train on them separately"):
        save(tmp_path, strokes, draw("b", values))
    assert not list(tmp_path.iterdir())
