"""A region is predicted as in the whole plane, from one tile around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pixelwise.axes import NamedAxes, parse_axes
from pixelwise.config import PredictConfig
from pixelwise.errors import DataError
from pixelwise.images import ImageArray
from pixelwise.jobs import PlacedRegion
from pixelwise.models.files import Model
from pixelwise.normalization import create_percentile
from pixelwise.prediction.layer_rows import LayerRows, PlacedPlane, cut_region
from pixelwise.prediction.pipeline import iter_predict, predict_array
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.sinks import ArraySink
from tests.prediction.conftest import create_stack

TILE = 32
IMAGE = np.random.default_rng(0).normal(size=(150, 217)).astype(np.float32)


def name_axes(array: np.ndarray, axes: str = "YX") -> ImageArray:
    return ImageArray(array, NamedAxes(parse_axes(axes, array.ndim), "as given"))


def predict_region(
    predictor: Predictor, rows: tuple[int, int], columns: tuple[int, int], *, around: int = TILE
) -> tuple[np.ndarray, np.ndarray]:
    """Result and uncertainty of a region, given `around` pixels on each side of it."""
    spans = [
        (max(a - around, 0), min(b + around, n))
        for (a, b), n in zip((rows, columns), IMAGE.shape, strict=True)
    ]
    part = name_axes(IMAGE[slice(*spans[0]), slice(*spans[1])])
    region = PlacedRegion(
        plane=IMAGE.shape, corner=(spans[0][0], spans[1][0]), rows=rows, columns=columns
    )
    sink = ArraySink()
    doubt = np.full((1, rows[1] - rows[0], columns[1] - columns[0]), np.nan, np.float32)
    execute = LayerRows(part, region, doubt)
    cut = cut_region(part, region, predictor)
    events = list(iter_predict(predictor, cut, sink, execute=execute))
    assert events[-1].done == 1
    assert events[-1].stop == rows[1] - rows[0]
    return sink.array, doubt


REGIONS = {
    "inside": ((40, 90), (60, 130)),
    "corner": ((0, 31), (0, 20)),
    "last corner": ((131, 150), (190, 217)),
    "one pixel": ((77, 78), (101, 102)),
    "whole": ((0, 150), (0, 217)),
}


@pytest.mark.parametrize("case", REGIONS)
@pytest.mark.parametrize("border", ["zero", "mirror"])
def test_a_region_has_the_bits_of_the_whole(case: str, border: str) -> None:
    rows, columns = REGIONS[case]
    for probabilities in (False, True):
        config = PredictConfig.create(
            device="cpu", tile=TILE, overlap=0.5, border=border, probabilities=probabilities
        )
        predictor = Predictor(create_stack(4), config)
        whole = predict_array(predictor, name_axes(IMAGE))
        found, doubt = predict_region(predictor, rows, columns)
        np.testing.assert_array_equal(found, whole[..., slice(*rows), slice(*columns)])
    np.testing.assert_array_equal(doubt, 1 - found.max(axis=1))


def test_without_the_pixels_around_it_a_region_differs() -> None:
    config = PredictConfig.create(device="cpu", tile=TILE, overlap=0.5, probabilities=True)
    predictor = Predictor(create_stack(4), config)
    whole = predict_array(predictor, name_axes(IMAGE))
    found, _ = predict_region(predictor, (40, 90), (60, 130), around=0)
    assert np.abs(found - whole[..., 40:90, 60:130]).max() > 1e-3


def test_a_model_that_normalises_each_image_needs_all_of_it() -> None:
    model = create_stack(2)
    card = model.card.model_copy(update={"normalization": create_percentile()})
    predictor = Predictor(Model(model.network, card), PredictConfig.create(device="cpu", tile=TILE))
    whole = predict_array(predictor, name_axes(IMAGE))
    found, _ = predict_region(predictor, (40, 90), (60, 130), around=999)
    np.testing.assert_array_equal(found, whole[:, 40:90, 60:130])
    with pytest.raises(DataError, match="give all of it"):
        predict_region(predictor, (40, 90), (60, 130))


def test_a_model_that_resizes_images(create_unet: Callable[..., Model]) -> None:
    model = create_unet()
    card = model.card.model_copy(update={"resize": (64, 96)})
    predictor = Predictor(Model(model.network, card), PredictConfig.create(device="cpu"))
    whole = predict_array(predictor, name_axes(IMAGE))
    found, doubt = predict_region(predictor, (40, 90), (60, 130), around=999)
    np.testing.assert_array_equal(found, whole[:, 40:90, 60:130])
    assert ((doubt >= 0) & (doubt < 1)).all()


def test_regions_elsewhere_are_refused() -> None:
    predictor = Predictor(create_stack(2), PredictConfig.create(device="cpu"))
    values: dict[str, Any] = {"plane": (150, 217), "rows": (0, 10), "columns": (0, 10)}
    for change in ({"corner": (5, 0)}, {"rows": (3, 3)}, {"columns": (0, 218)}):
        region = PlacedRegion(**values | change)
        with pytest.raises(DataError, match="is not in the pixels"):
            cut_region(name_axes(IMAGE), region, predictor)
    stack = name_axes(np.zeros((2, 150, 217), np.float32), "ZYX")
    with pytest.raises(DataError, match="one plane"):
        cut_region(stack, PlacedRegion(**values), predictor)


def test_a_placed_plane_is_0_where_nothing_is_known() -> None:
    part = np.arange(1, 13).reshape(1, 3, 4)
    region = PlacedRegion(plane=(6, 9), corner=(2, 1), rows=(0, 1), columns=(0, 1))
    plane, expected = PlacedPlane(part, region), np.zeros((1, 6, 9), int)
    expected[:, 2:5, 1:5] = part
    for rows in (slice(0, 6), slice(0, 2), slice(1, 3), slice(3, 6), slice(5, 6)):
        np.testing.assert_array_equal(plane[:, rows], expected[:, rows])
