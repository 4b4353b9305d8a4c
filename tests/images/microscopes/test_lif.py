"""LIF, on files made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import DataError, PixelwiseError
from pixelwise.images import open_image
from tests.fixtures.formats.write import pattern
from tests.images.microscopes.handmade import write_lif


@pytest.mark.parametrize(
    ("axes", "shape", "names"),
    [
        ("YX", (5, 7), "YX"),
        ("CYX", (2, 5, 7), "CYX"),
        ("TZCYX", (2, 3, 2, 5, 7), "TZCYX"),
        ("YXS", (5, 7, 3), "YXC"),
        ("ZYXS", (2, 5, 7, 3), "ZYXC"),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_axes(tmp_path: Path, axes: str, shape: tuple[int, ...], names: str, dtype: str) -> None:
    pixels = pattern(shape, 251, dtype)
    write_lif(tmp_path / "a.lif", {"Series 1": (axes, pixels)})
    source = open_image(tmp_path / "a.lif")
    assert (source.axes.names, source.dtype) == (names, np.dtype(dtype))
    image = source.decode()
    assert np.array_equal(image.pixels, pixels)
    assert image.notes == ()
    region = tuple(slice(n // 2, n) for n in shape)
    assert np.array_equal(source.read_region(region), pixels[region])


def test_pixel_size_and_time(tmp_path: Path) -> None:
    write_lif(tmp_path / "a.lif", {"a": ("TCYX", pattern((3, 2, 5, 7), 251))})
    found = open_image(tmp_path / "a.lif").calibration
    assert found is not None
    assert np.allclose(found.scale, (2, 1, 0.5, 0.5))
    assert found.units == ("second", None, "micrometer", "micrometer")


def test_the_largest_series_is_read_and_the_others_named(tmp_path: Path) -> None:
    small, large = pattern((5, 7), 251), pattern((4, 5, 7), 251)
    write_lif(tmp_path / "a.lif", {"Overview": ("YX", small), "Stack": ("ZYX", large)})
    image = open_image(tmp_path / "a.lif").decode()
    assert np.array_equal(image.pixels, large)
    assert "holds 2 series; 'Stack' was read" in image.notes[0]
    advice = image.notes[0].split('"')[1]
    assert advice == str(tmp_path / "a.lif" / "Overview")
    assert np.array_equal(open_image(advice).read(), small)


def test_a_section_along_z_is_a_plane(tmp_path: Path) -> None:
    pixels = pattern((2, 5, 7), 251)
    write_lif(tmp_path / "a.lif", {"xz": ("CZX", pixels)})
    image = open_image(tmp_path / "a.lif").decode()
    assert image.axes.names == "CYX"
    assert np.array_equal(image.pixels, pixels)
    assert image.notes == ("a section along Z, read as Y",)


def test_wavelengths_are_channels(tmp_path: Path) -> None:
    write_lif(tmp_path / "a.lif", {"a": ("λYX", pattern((4, 5, 7), 251))})
    image = open_image(tmp_path / "a.lif").decode()
    assert image.axes.names == "CYX"
    assert image.notes == ("wavelengths were read as channels",)


def test_tiles_that_are_not_merged_are_refused(tmp_path: Path) -> None:
    write_lif(tmp_path / "a.lif", {"a": ("MYX", pattern((4, 5, 7), 251))})
    with pytest.raises(DataError, match=r"axes M, Y, X.*Merge tiles"):
        open_image(tmp_path / "a.lif")


def test_no_series(tmp_path: Path) -> None:
    write_lif(tmp_path / "a.lif", {})
    with pytest.raises(DataError, match="holds no image"):
        open_image(tmp_path / "a.lif")


@pytest.mark.parametrize("share", [0.01, 0.4, 0.9, 0.99])
def test_cut_off(tmp_path: Path, share: float) -> None:
    write_lif(tmp_path / "a.lif", {"a": ("ZYX", pattern((4, 50, 70), 251))})
    data = (tmp_path / "a.lif").read_bytes()
    (tmp_path / "a.lif").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PixelwiseError, match=r"a\.lif"):
        open_image(tmp_path / "a.lif").read()
