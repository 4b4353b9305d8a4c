from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.util import view_as_windows

from pixelwise.config import PatchConfig
from pixelwise.errors import ConfigError, DataError
from pixelwise.patches.windows import (
    Window,
    fit_windows,
    iter_windows,
    require_fit,
    window_origins,
)

SIZES = st.integers(1, 30).flatmap(lambda size: st.tuples(st.integers(size, 90), st.just(size)))


@pytest.mark.parametrize(
    ("length", "size", "step", "edge", "origins"),
    [
        (1000, 256, 128, "drop", (0, 128, 256, 384, 512, 640)),
        (1000, 256, 128, "cover", (0, 128, 256, 384, 512, 640, 744)),
        (512, 256, 256, "cover", (0, 256)),
        (256, 256, 128, "drop", (0,)),
        (257, 256, 256, "cover", (0, 1)),
        (10, 3, 5, "drop", (0, 5)),
        (10, 3, 5, "cover", (0, 5, 7)),
    ],
)
def test_origins(length: int, size: int, step: int, edge: str, origins: tuple[int, ...]) -> None:
    assert window_origins(length, size, step=step, edge=edge) == origins  # type: ignore[arg-type]


def test_the_published_count() -> None:
    config = PatchConfig(size=(256, 256), step=(128, 128), edge="drop")
    assert len(list(iter_windows((1000, 1000), config))) == 36


@given(lengths=SIZES, step=st.integers(1, 40))
def test_cover_sees_every_pixel(lengths: tuple[int, int], step: int) -> None:
    length, size = lengths
    step = min(step, size)
    origins = window_origins(length, size, step=step, edge="cover")
    seen = {start + i for start in origins for i in range(size)}
    assert seen == set(range(length))
    assert list(origins) == sorted(set(origins))
    assert len(origins) == -(-(length - size) // step) + 1


@given(lengths=SIZES, step=st.integers(1, 40))
def test_drop_is_the_start_of_cover(lengths: tuple[int, int], step: int) -> None:
    length, size = lengths
    drop = window_origins(length, size, step=step, edge="drop")
    cover = window_origins(length, size, step=step, edge="cover")
    assert cover[: len(drop)] == drop
    assert len(drop) == (length - size) // step + 1
    assert all(0 <= start <= length - size for start in cover)


@given(
    shape=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    size=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    step=st.integers(1, 9),
)
def test_drop_cuts_like_scikit_image(
    shape: tuple[int, int], size: tuple[int, int], step: int
) -> None:
    size = (min(size[0], shape[0]), min(size[1], shape[1]))
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    config = PatchConfig(size=size, step=(step, step), edge="drop")
    found = np.stack([image[window.slices] for window in iter_windows(shape, config)])
    assert np.array_equal(found, view_as_windows(image, size, step).reshape(-1, *size))


def test_windows_are_rectangles_row_by_row() -> None:
    config = PatchConfig(size=(2, 3), edge="drop")
    assert list(iter_windows((4, 7), config)) == [
        Window(0, 0, 2, 3),
        Window(0, 3, 2, 3),
        Window(2, 0, 2, 3),
        Window(2, 3, 2, 3),
    ]


def test_a_patch_larger_than_the_image() -> None:
    with pytest.raises(
        DataError, match=r"256 x 256 .* tile\.png, which has 100 x 300 .*--size 100"
    ):
        require_fit((100, 300), (256, 256), name="tile.png")
    with pytest.raises(DataError, match=r"the image.*--resize"):
        next(iter_windows((300, 100), PatchConfig(size=(256, 256))))
    with pytest.raises(DataError, match="256 pixels does not fit into 100"):
        window_origins(100, 256, step=1, edge="drop")


@pytest.mark.parametrize(("size", "step"), [(0, 1), (1, 0), (-1, 5)])
def test_sizes_that_cannot_work(size: int, step: int) -> None:
    with pytest.raises(ConfigError, match="at least 1 pixel"):
        window_origins(10, size, step=step, edge="drop")


@pytest.mark.parametrize(
    ("size", "shapes", "expected"),
    [
        ("auto", [(300, 400), (256, 1000)], (256, 256)),
        ("auto", [(300, 400), (88, 120)], (80, 80)),
        ("auto", [(32, 500)], (32, 32)),
        ("auto", [(31, 500)], (256, 256)),  # too small for any patch; refused by its caller
        ((64, 48), [(88, 120)], (64, 48)),
        ((256, 256), [(88, 120)], (256, 256)),
    ],
)
def test_the_size_fits_into_the_smallest_image(
    size: object, shapes: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    asked = PatchConfig.create(size=size)
    assert fit_windows(asked, shapes).size == expected
    assert asked.size_px == ((256, 256) if size == "auto" else size)
