from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.prediction.geometry import TileAxis, blend_window, plan_axis

WINDOWS = ["hann", "gaussian", "flat"]


@given(
    length=st.integers(1, 700),
    tile=st.integers(1, 260),
    overlap=st.floats(0, 0.9),
    stride=st.sampled_from([1, 8, 16, 32]),
    window=st.sampled_from(WINDOWS),
)
def test_weights_of_all_tiles_add_up_to_one(
    length: int, tile: int, overlap: float, stride: int, window: str
) -> None:
    axis = plan_axis(length, tile=tile, overlap=overlap, stride=stride, window=window)
    total = np.zeros(axis.padded)
    for origin, weights in zip(axis.origins, axis.weights, strict=True):
        total[origin : origin + axis.tile] += weights
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert axis.padded >= length
    assert axis.padded - length < max(stride, axis.tile)
    assert all(origin % stride == 0 for origin in (*axis.origins, axis.tile, axis.padded))
    assert list(axis.origins) == sorted(set(axis.origins))


@given(length=st.integers(1, 400), overlap=st.floats(0, 0.9))
def test_finished_rows_follow_one_another(length: int, overlap: float) -> None:
    axis = plan_axis(length, tile=64, overlap=overlap, stride=16, window="hann")
    ends = [axis.finished(number) for number in range(len(axis.origins))]
    assert ends[-1] == length
    assert all(end > origin for end, origin in zip(ends, axis.origins, strict=True))
    assert list(axis.origins[1:]) == ends[:-1]


def test_the_grid_of_a_large_image_is_that_of_its_beginning() -> None:
    small, large = (
        plan_axis(n, tile=64, overlap=0.25, stride=16, window="hann") for n in (640, 6400)
    )
    inner = len(small.origins) - 2
    assert small.origins[:inner] == large.origins[:inner]


def expected_axis(length: int, tile: int, overlap: float) -> TileAxis:
    return plan_axis(length, tile=tile, overlap=overlap, stride=32, window="flat")


def test_overlap_is_rounded_to_the_stride() -> None:
    assert expected_axis(1024, 256, 0.25).origins[:3] == (0, 192, 384)
    assert expected_axis(1024, 256, 0.3).origins[:3] == (0, 160, 320)
    assert expected_axis(1024, 250, 0.0).tile == 256


@pytest.mark.parametrize("overlap_px", [0, 1, 8, 15, 64])
def test_hann_falls_to_nothing_in_the_outer_quarter(overlap_px: int) -> None:
    weights = blend_window(128, overlap_px, "hann")
    margin = overlap_px // 4
    assert (weights[:margin] == 0).all()
    assert (weights[overlap_px : 128 - overlap_px] == 1).all()
    np.testing.assert_allclose(weights, weights[::-1], atol=1e-6)
    both = weights[128 - overlap_px :] + weights[:overlap_px]
    np.testing.assert_allclose(both, 1, atol=1e-6)


def test_border_tiles_do_not_fall_towards_the_border() -> None:
    weights = blend_window(128, 32, "hann", first=True)
    assert weights[0] == 1
    assert weights[-1] == 0
    assert (blend_window(128, 32, "hann", first=True, last=True) == 1).all()


@pytest.mark.parametrize("overlap", [0.05, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("tile", [64, 96, 256])
def test_tiles_overlap_at_least_as_asked(tile: int, overlap: float) -> None:
    axis = plan_axis(2000, tile=tile, overlap=overlap, stride=32, window="hann")
    step = axis.origins[1] - axis.origins[0]
    assert step % 32 == 0
    assert step == 32 or tile - step >= overlap * tile - 1e-6
    assert tile - step < overlap * tile + 32


def test_context_is_a_margin_of_mirrored_pixels() -> None:
    axis = plan_axis(100, tile=48, overlap=0.5, stride=4, window="hann", context=True)
    assert axis.margin == 12
    assert axis.sources[:14].tolist() == [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1]
    assert axis.padded >= 124
    assert axis.finished(len(axis.origins) - 1) == 100
    assert [*axis.tiles_of(range(1))] == [0]


@given(
    length=st.integers(1, 400),
    overlap=st.floats(0, 0.9),
    window=st.sampled_from(WINDOWS),
    context=st.booleans(),
)
def test_no_later_tile_changes_what_is_finished(
    length: int, overlap: float, window: str, context: bool
) -> None:
    axis = plan_axis(length, tile=64, overlap=overlap, stride=16, window=window, context=context)
    total = np.zeros(axis.padded)
    for number, origin in enumerate(axis.origins):
        total[origin : origin + axis.tile] += axis.weights[number]
        finished = total[axis.margin : axis.margin + axis.finished(number)]
        np.testing.assert_allclose(finished, 1, atol=1e-5)
