from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.axes import Calibration, to_planes
from pixelwise.errors import WriteError
from pixelwise.images import ImageContent, open_image, tiff_sink

RNG = np.random.default_rng(5)


def write(path: Path, array: np.ndarray, axes: str, **more: Any) -> ImageContent:
    content = ImageContent(axes, array.shape, array.dtype, **more)
    planes = to_planes(array, axes)

    def read(plane: int, rows: slice, channel: int | None = None) -> np.ndarray:
        return planes[plane, channel or 0, rows]

    tiff_sink.write_rows(path, content, read)
    return content


@pytest.mark.parametrize(
    ("axes", "shape", "dtype"),
    [
        ("YX", (1, 1), "u1"),
        ("YX", (70, 1300), "u1"),
        ("YX", (1300, 530), "u4"),
        ("ZYX", (3, 40, 50), "u1"),
        ("ZTYX", (3, 2, 40, 50), "u2"),
        ("CYX", (3, 40, 50), "f4"),
        ("TZCYX", (2, 3, 4, 20, 30), "f2"),
        ("ZCYX", (2, 3, 600, 30), "u1"),
    ],
)
def test_what_is_written_is_read_again(
    tmp_path: Path, axes: str, shape: tuple[int, ...], dtype: str
) -> None:
    array = RNG.integers(0, 200, shape).astype(dtype)
    content = write(tmp_path / "a.tif", array, axes)
    source = open_image(tmp_path / "a.tif")
    if "C" not in axes or shape[axes.index("C")] != 1:
        assert source.axes.names == content.stored_axes
    order = [axes.index(letter) for letter in content.stored_axes]
    np.testing.assert_array_equal(source.read(), array.transpose(order))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].is_tiled
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert not tiff.is_bigtiff


def test_large_results_are_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_sink, "_CLASSIC_BYTES", 1000)
    array = RNG.integers(0, 9, (60, 50), np.uint8)
    write(tmp_path / "a.tif", array, "YX")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").read(), array)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_pixel_sizes_are_kept(tmp_path: Path, name: str) -> None:
    calibration = Calibration.create([30, 2, 0.25, 0.5], ["s", "µm", "µm", "µm"])
    write(tmp_path / name, np.zeros((3, 2, 40, 50), np.uint8), "TZYX", calibration=calibration)
    found = open_image(tmp_path / name).calibration
    assert found is not None
    assert found.scale == pytest.approx(calibration.scale)
    assert found.units == calibration.units
    unknown = Calibration.create([1, 0.25, 0.5], [None, "µm", "µm"])
    write(tmp_path / name, np.zeros((2, 40, 50), np.uint8), "ZYX", calibration=unknown)
    found = open_image(tmp_path / name).calibration
    assert found is not None
    assert found.scale == pytest.approx((1, 0.25, 0.5))


def test_after_an_error_the_old_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")

    def fail(plane: int, rows: slice, channel: int | None = None) -> np.ndarray:
        if rows.start:
            raise OSError(28, "No space left on device")
        return np.zeros((rows.stop - rows.start, 20), np.uint8)

    content = ImageContent("YX", (2000, 20), np.dtype(np.uint8))
    with pytest.raises(WriteError, match="No space left"):
        tiff_sink.write_rows(path, content, fail)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.tif"]
