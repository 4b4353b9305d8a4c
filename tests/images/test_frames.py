from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import ReadError
from pixelwise.images.frames import Frames

STACK = np.arange(3 * 2 * 5 * 4).reshape(3, 2, 5, 4)
SPANS = [st.tuples(st.integers(0, n - 1), st.integers(1, n)).map(sorted) for n in STACK.shape]


@given(st.tuples(*SPANS), st.integers(0, 2))
def test_regions_are_slices_of_the_whole(spans: tuple[list[int], ...], outer: int) -> None:
    frames = Frames(
        Path("a"), STACK.shape, STACK.dtype, outer=outer, read=lambda index: STACK[index]
    )
    region = tuple(slice(a, b) for a, b in spans)
    assert np.array_equal(frames.read_region(region), STACK[region])


def test_rows_of_one_plane_decode_it_once() -> None:
    read: list[tuple[int, ...]] = []

    def decode(index: tuple[int, ...]) -> np.ndarray:
        read.append(index)
        return STACK[index]

    frames = Frames(Path("a"), STACK.shape, STACK.dtype, outer=2, read=decode)
    for start in range(4):
        frames.read_region((slice(1, 2), slice(0, 2), slice(start, start + 1), slice(0, 4)))
    assert read == [(1, 0), (1, 1)]


def test_a_frame_of_another_size_is_damage() -> None:
    frames = Frames(Path("a.lif"), (2, 5, 4), STACK.dtype, outer=1, read=lambda _: STACK[0, 0, :4])
    with pytest.raises(ReadError, match=r"a\.lif is damaged.*shape \(4, 4\), expected \(5, 4\)"):
        frames.read_region((slice(0, 1), slice(0, 5), slice(0, 4)))
