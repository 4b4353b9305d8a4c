from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import DataError, WriteError
from pixelwise.images import open_image, read_image, write_picture, write_tiff


@given(
    axes=st.lists(st.sampled_from("TZC"), unique=True, max_size=3).map(lambda a: "".join(a) + "YX"),
    dtype=st.sampled_from(["u1", "u2", "u4", "i4", "f4"]),
    ome=st.booleans(),
)
def test_axes_and_pixels_come_back(
    tmp_path_factory: pytest.TempPathFactory, axes: str, dtype: str, ome: bool
) -> None:
    path = tmp_path_factory.mktemp("sink") / ("a.ome.tif" if ome else "a.tif")
    shape = tuple({"T": 2, "Z": 3, "C": 5, "Y": 6, "X": 7}[letter] for letter in axes)
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    write_tiff(path, array, axes=axes)
    found, named = read_image(path)
    assert named.names == axes
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


@pytest.mark.parametrize("channels", [2, 3, 5])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_channels_last(tmp_path: Path, channels: int, dtype: str) -> None:
    array = np.arange(6 * 7 * channels).reshape(6, 7, channels).astype(dtype)
    write_tiff(tmp_path / "a.tif", array, axes="YXC")
    found, named = read_image(tmp_path / "a.tif")
    assert named.names == "YXC"
    assert np.array_equal(found, array)


def test_a_mask_of_bools(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.eye(4, dtype=bool), axes="YX")
    assert np.array_equal(read_image(tmp_path / "a.tif")[0], np.eye(4, dtype=np.uint8))


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_pixel_size(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_tiff(path, np.zeros((4, 4), np.uint8), axes="YX", pixel_size_um=(0.25, 0.5))
    with tifffile.TiffFile(path) as tiff:
        x_per_cm, one = tiff.pages[0].tags["XResolution"].value
        assert x_per_cm / one == pytest.approx(20_000)
        y_per_cm, one = tiff.pages[0].tags["YResolution"].value
        assert y_per_cm / one == pytest.approx(40_000)
        assert tiff.ome_metadata is None or 'PhysicalSizeY="0.25"' in tiff.ome_metadata


@pytest.mark.parametrize("suffix", ["png", "bmp"])
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)], ids=["grey", "rgb"])
def test_raster(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_picture(tmp_path / f"a.{suffix}", pixels)
    assert np.array_equal(open_image(tmp_path / f"a.{suffix}").read(), pixels)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.uint16), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)],
    ids=["deep", "rgba", "line"],
)
def test_what_is_no_picture(tmp_path: Path, pixels: np.ndarray) -> None:
    with pytest.raises(DataError, match="must be uint8"):
        write_picture(tmp_path / "a.png", pixels)


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"expected one of .*\.png"):
        write_picture(tmp_path / "a.gif", np.zeros((4, 4), np.uint8))


def test_wrong_axes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name 3 dimensions"):
        write_tiff(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), axes="ZYX")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "write", [write_picture, partial(write_tiff, axes="YX")], ids=["picture", "tiff"]
)
def test_a_missing_folder(tmp_path: Path, write: Callable[[Path, np.ndarray], None]) -> None:
    with pytest.raises(WriteError, match=r"nowhere.*Check that the folder exists"):
        write(tmp_path / "nowhere" / "a.png", np.zeros((4, 4), np.uint8))


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, np.ones((4, 4), np.uint8), axes="YX")

    def fail(target: Path, *args: object, **options: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", fail)
    with pytest.raises(WriteError, match="No space left"):
        write_tiff(path, np.zeros((4, 4), np.uint8), axes="YX")
    assert read_image(path)[0].all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tif"]
