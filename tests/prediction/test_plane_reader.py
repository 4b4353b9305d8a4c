from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask.array
import numpy as np
import pytest
import tifffile
import zarr

from pixelwise.axes import NamedAxes, to_planes
from pixelwise.errors import DataError
from pixelwise.images import ImageArray, ImageFile, open_image, write_zarr
from pixelwise.prediction import plane_reader as module
from pixelwise.prediction.plane_reader import PlaneReader, reading_planes
from tests.prediction.conftest import create_card


def stack(axes: str, dtype: str = "u2") -> np.ndarray:
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": 25, "X": 7}
    shape = tuple(sizes[letter] for letter in axes)
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write(path: Path, axes: str) -> ImageFile:
    write_zarr(path, stack(axes), axes=axes)
    return open_image(path)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_ROWS", 8)


@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX", "TZYX", "TCZYX"])
def test_planes_of_a_file_are_those_of_its_array(tmp_path: Path, axes: str) -> None:
    source, card = write(tmp_path / "a.zarr", axes), create_card(2 if "C" in axes else 1)
    whole = to_planes(source.read(), source.axes.names)
    with reading_planes(source, card) as lazy:
        assert (lazy.shape, len(lazy)) == (whole.shape, len(whole))
        for plane, expected in zip(lazy, whole, strict=True):
            assert plane.shape == expected.shape
            for start, stop in [(0, 3), (2, 20), (14, 25), (0, 25)]:
                np.testing.assert_array_equal(plane[:, start:stop], expected[:, start:stop])
            np.testing.assert_array_equal(plane[:, :], expected)


@pytest.mark.parametrize(
    "make",
    [np.asarray, lambda a: dask.array.from_array(a, chunks=5), zarr.array],
    ids=["numpy", "dask", "zarr"],
)
@pytest.mark.parametrize("axes", ["ZYX", "YXC", "XYZ", "CTYX"])
def test_arrays_of_all_kinds_give_their_planes(make: Callable, axes: str) -> None:
    array = stack(axes)
    source = ImageArray(make(array), NamedAxes(axes, "given"))
    with reading_planes(source, create_card(2 if "C" in axes else 1)) as lazy:
        found = np.stack([plane[:, :] for plane in lazy])
    np.testing.assert_array_equal(found, to_planes(array, axes))


def test_rows_are_read_once_on_the_way_down_and_one_block_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    read_block = PlaneReader._read_block

    def count(self: PlaneReader, number: int, block: int) -> np.ndarray:
        read.append((number, block))
        return read_block(self, number, block)

    monkeypatch.setattr(PlaneReader, "_read_block", count)
    with reading_planes(write(tmp_path / "a.zarr", "ZYX"), create_card(1)) as lazy:
        lazy[0][:, 0:5]
        assert len(lazy._blocks) == 2
        for plane in lazy:
            for start in range(0, 20, 3):
                plane[:, start : start + 5]
            assert len(lazy._blocks) <= 3
            plane[:, 20:25]
    assert read == [(n, block) for n in range(3) for block in range(4)]


def test_grey_is_repeated_and_other_counts_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.zarr", "ZYX")
    with reading_planes(source, create_card(3)) as lazy:
        assert lazy.shape == (3, 3, 25, 7)
        plane = lazy[1][:, 3:5]
        np.testing.assert_array_equal(plane[0], plane[2])
        np.testing.assert_array_equal(plane[0], stack("ZYX")[1, 3:5])
    with (
        pytest.raises(DataError, match="1 channels, the model takes 2"),
        reading_planes(source, create_card(2)),
    ):
        pass


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_where_they_are_read(bad: float) -> None:
    array = np.zeros((25, 7), np.float32)
    array[20, 3] = bad
    source = ImageArray(array, NamedAxes("YX", "given"))
    with reading_planes(source, create_card(1)) as lazy:
        assert not lazy[0][:, :16].any()
        with pytest.raises(DataError, match="1 NaN"):
            lazy[0][:, 16:20]


def test_an_image_without_pixels_or_numbers_is_refused() -> None:
    for array in (np.zeros((0, 5), np.uint8), np.zeros((5, 5), complex)):
        source = ImageArray(array, NamedAxes("YX", "given"))
        with pytest.raises(DataError), reading_planes(source, create_card(1)):
            pass


def test_a_format_without_regions_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack("YX"), compression="zlib")
    reads: list[ImageFile] = []
    read = ImageFile.read
    monkeypatch.setattr(ImageFile, "read", lambda self: reads.append(self) or read(self))
    with reading_planes(open_image(tmp_path / "a.tif"), create_card(1)) as lazy:
        for start in range(0, 25, 5):
            plane = lazy[0][:, start : start + 5]
            np.testing.assert_array_equal(plane[0], stack("YX")[start : start + 5])
    assert len(reads) == 1
