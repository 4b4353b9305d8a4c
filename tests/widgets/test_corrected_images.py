from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from pixelwise.cards import Card
from pixelwise.classes import VOID, create_classes
from pixelwise.datasets import load_dataset
from pixelwise.errors import DataError
from pixelwise.images import read_image, write_tiff
from pixelwise.widgets.corrected_images import find_corrections, save_corrections
from pixelwise.widgets.corrections import accept_prediction, accept_region, add_corrections
from pixelwise.widgets.layers import MODEL, PREDICTED, SOURCE, color_labels
from pixelwise.widgets.regions import REGION
from tests.test_cards import CARD

SHAPE = (30, 40)


def predict(viewer: ViewerModel, name: str, names: tuple[str, ...] = CARD.class_names) -> Labels:
    """Open an image with a prediction of class 1 in its upper half."""
    viewer.add_image(np.full(SHAPE, len(viewer.layers), np.uint8), name=name)
    data = np.zeros(SHAPE, np.uint8)
    data[:15] = 1
    layer = viewer.add_labels(data, name=f"{name} prediction")
    color_labels(layer, create_classes(list(names)))
    layer.metadata = {PREDICTED: True, SOURCE: name, MODEL: "m"}
    return layer


def find(viewer: ViewerModel, card: Card = CARD) -> list[Any]:
    return find_corrections(viewer, card)  # type: ignore[arg-type]


def read_masks(folder: Path) -> dict[str, np.ndarray]:
    return {p.name.rpartition("-")[0]: read_image(p)[0] for p in (folder / "masks").iterdir()}


def test_what_is_painted_or_accepted_counts_and_nothing_else(tmp_path: Path) -> None:
    viewer = ViewerModel()
    first, second, third = (predict(viewer, name) for name in ("a", "b", "c"))
    with pytest.raises(DataError, match="Nothing is corrected yet"):
        find(viewer)
    strokes = [add_corrections(viewer, layer) for layer in (first, second, third)]  # type: ignore[arg-type]
    strokes[0].data[0, :5] = 1
    strokes[1].data[0, :5] = 1
    accept_prediction(second)
    save_corrections(find(viewer), tmp_path, None)
    masks = read_masks(tmp_path)
    assert masks.keys() == {"a", "b"}, "nothing is painted on c"
    assert masks["a"].sum() == 5
    assert set(masks["b"][0, :5]) == {1}, "what is painted lies on top of what is accepted"
    assert set(masks["b"][1]) == {2}
    assert set(masks["b"][20]) == {1}


def test_an_accepted_region_counts_once_and_lies_below_what_is_painted(tmp_path: Path) -> None:
    viewer: Any = ViewerModel()
    predict(viewer, "a")
    region = viewer.add_labels(np.ones((4, 40), np.uint8), name="a prediction")
    about = {"level": 0, "plane": {}, "rows": (20, 24), "columns": (0, 40)}
    region.metadata = viewer.layers["a prediction"].metadata | {REGION: about}
    color_labels(region, create_classes(list(CARD.class_names)))
    add_corrections(viewer, region).data[20, :5] = 1
    accepted = accept_region(viewer, region)
    assert accept_region(viewer, region) is accepted, "a second click does nothing more"
    region.metadata = {**region.metadata, MODEL: "improved"}
    assert accept_region(viewer, region) is not accepted, "another model says something else"
    save_corrections(find(viewer), tmp_path, None)
    mask = read_masks(tmp_path)["a"]
    assert set(mask[20, :5]) == {1}
    assert set(mask[20, 5:]) == {2}
    assert set(mask[25]) == {0}


def test_earlier_corrections_are_kept_below_those_of_the_same_image(tmp_path: Path) -> None:
    viewer = ViewerModel()
    for name in ("a", "b"):
        layer = add_corrections(viewer, predict(viewer, name))  # type: ignore[arg-type]
        layer.data[3:5] = 1
    save_corrections(find(viewer), tmp_path / "1", None)
    viewer.layers["a corrections"].data[:] = 0
    viewer.layers["a corrections"].data[4] = 2
    viewer.layers["a corrections"].data[7] = 2
    viewer.layers["a"].name = "renamed"
    viewer.layers["a corrections"].metadata[SOURCE] = "renamed"
    viewer.layers.remove("b corrections")
    save_corrections(find(viewer), tmp_path / "2", tmp_path / "1")
    masks = read_masks(tmp_path / "2")
    assert masks.keys() == {"renamed", "b"}
    assert [masks["renamed"][row, 0] for row in (3, 4, 7, 9)] == [1, 2, 2, 0]
    assert masks["b"].sum() == 2 * SHAPE[1]


def test_earlier_masks_need_not_have_the_names_of_their_images(tmp_path: Path) -> None:
    earlier, viewer = tmp_path / "1", ViewerModel()
    for part, end, value in (("images", "", 9), ("masks", "_mask", 2)):
        (earlier / part).mkdir(parents=True)
        for name in ("x", "y"):
            pixels = np.full(SHAPE, value, np.uint8)
            write_tiff(earlier / part / f"{name}{end}.tif", pixels, axes="YX")
    add_corrections(viewer, predict(viewer, "a")).data[3] = 1  # type: ignore[arg-type]
    (corrected,) = find(viewer)
    save_corrections([corrected], tmp_path / "2", earlier)
    data = load_dataset(tmp_path / "2", "pairs", images="images", masks="masks", sparse=True)
    assert [sample.name.partition("-")[0] for sample in data.samples] == ["a", "x", "y"]


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    viewer = ViewerModel()
    add_corrections(viewer, predict(viewer, "a")).data[3] = 1  # type: ignore[arg-type]
    image = viewer.layers["a"]
    viewer.layers.remove(image)
    with pytest.raises(DataError, match="The image a of a corrections is not open any more"):
        find(viewer)
    viewer.add_image(np.zeros((5, 6)), name="a")
    with pytest.raises(DataError, match="does not have the shape of a"):
        find(viewer)


def test_other_classes_are_not_the_model_s() -> None:
    viewer = ViewerModel()
    layer = add_corrections(viewer, predict(viewer, "a", ("background", "dog")))  # type: ignore[arg-type]
    layer.data[3] = 1
    with pytest.raises(DataError, match="Nothing is corrected yet"):
        find(viewer)


def test_void_is_not_annotated(tmp_path: Path) -> None:
    viewer = ViewerModel()
    layer = predict(viewer, "a")
    layer.data[0] = VOID
    accept_prediction(layer)
    save_corrections(find(viewer), tmp_path, None)
    assert set(read_masks(tmp_path)["a"][0]) == {0}
