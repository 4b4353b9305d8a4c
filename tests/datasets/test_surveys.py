from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from pixelwise.axes import NamedAxes
from pixelwise.datasets.readers import FileMask, PlanesHeader
from pixelwise.datasets.surveys import _count_values, find_thin, survey_masks
from tests.disks import disks

HEADER = PlanesHeader((1, 1, 96, 96), "uint8", NamedAxes("YX", "test"))


@given(
    values=hnp.arrays(
        st.sampled_from(["u1", "u2", "i4", "i8"]), (1, 7, 9), elements=st.integers(0, 200)
    ),
    shift=st.sampled_from([0, -150, 70_000]),
)
def test_values_are_counted(values: np.ndarray, shift: int) -> None:
    if values.dtype.itemsize >= 4:
        values = values + values.dtype.type(shift)
    expected = np.unique(values, return_counts=True)
    found = _count_values(values)
    assert found == (tuple(expected[0].tolist()), tuple(expected[1].tolist()))


def survey(path: Path) -> tuple:
    surveys, problems, count = survey_masks([(FileMask(path), HEADER)])
    assert not problems
    assert count == "all 1"
    return surveys[0]


def test_pieces(tmp_path: Path) -> None:
    mask = np.zeros((96, 96), np.uint8)
    mask[10:20, 10:20] = mask[40:50, 10:20] = 5
    mask[60, 10:90] = 9  # a line
    Image.fromarray(mask).save(tmp_path / "a.png")
    found = survey(tmp_path / "a.png")
    assert (found.values, found.counts) == ((0, 5, 9), (96 * 96 - 280, 200, 80))
    assert found.pieces.regions == {5: 2, 9: 1}
    assert found.pieces.solid == {0, 5}
    assert found.pieces.rim in (5, 9)
    assert not found.is_jpeg


def test_thin_values_are_those_of_edges(tmp_path: Path) -> None:
    clean = disks(0).astype(np.uint8) * 255
    smooth = np.asarray(Image.fromarray(clean).resize((192, 192)).resize((96, 96)).rotate(7, 2))
    for name, mask in (("clean", clean), ("smooth", smooth)):
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    assert not find_thin([survey(tmp_path / "clean.png")])
    assert len(find_thin([survey(tmp_path / "smooth.png")])) > 5


@pytest.mark.parametrize("low", [0, 5])
def test_strays_of_a_jpeg_lie_far_from_what_is_bright(tmp_path: Path, low: int) -> None:
    mask = np.zeros((96, 96), np.uint8)
    mask[:20] = 255
    mask[64:80] = low
    Image.fromarray(mask).save(tmp_path / "a.jpg", quality=90)
    found = survey(tmp_path / "a.jpg")
    assert found.is_jpeg
    assert found.strays == (96 * 16 if low else 0)


def test_greys_as_colours(tmp_path: Path) -> None:
    Image.fromarray(disks(0).astype(np.uint8) * 3).save(tmp_path / "a.png")
    found = survey(tmp_path / "a.png").as_colors()
    assert found.values == (0, 0x030303)
    assert found.colors
    assert found.as_colors() is found
