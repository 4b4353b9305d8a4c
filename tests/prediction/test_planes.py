from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import DataError
from pixelwise.images import ImageFile, open_image, write_tiff, write_zarr
from pixelwise.prediction import planes as module
from pixelwise.prediction.planes import FilePlanes, read_planes, require_planes
from tests.prediction.conftest import create_card


def write(path: Path, axes: str, dtype: str = "u2") -> ImageFile:
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": 25, "X": 7}
    shape = tuple(sizes[letter] for letter in axes)
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    write_zarr(path, array, axes=axes)
    return open_image(path)


@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX", "TZYX", "TCZYX"])
def test_planes_of_a_file_are_those_of_its_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: str
) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 8)
    source, card = write(tmp_path / "a.zarr", axes), create_card(2 if "C" in axes else 1)
    lazy = read_planes(source, card)
    assert isinstance(lazy, FilePlanes)
    whole = require_planes(module.to_planes(source.read(), source.axes.names), card)
    assert (lazy.shape, len(lazy)) == (whole.shape, len(whole))
    for plane, expected in zip(lazy, whole, strict=True):
        assert plane.shape == expected.shape
        for start, stop in [(0, 3), (2, 20), (14, 25), (0, 25)]:
            np.testing.assert_array_equal(plane[:, start:stop], expected[:, start:stop])
        np.testing.assert_array_equal(plane[:, :], expected)


def test_rows_are_read_once_on_the_way_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 8)
    plane = next(iter(FilePlanes(write(tmp_path / "a.zarr", "YX"), create_card(1))))
    read: list[range] = []
    read_rows = FilePlanes.read_rows

    def count(self: FilePlanes, number: int, rows: range) -> np.ndarray:
        read.append(rows)
        return read_rows(self, number, rows)

    monkeypatch.setattr(FilePlanes, "read_rows", count)
    for start in range(0, 20, 3):
        plane[:, start : start + 5]
    assert read == [range(8), range(8, 16), range(16, 24)]


def test_grey_is_repeated_and_other_counts_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.zarr", "ZYX")
    lazy = read_planes(source, create_card(3))
    assert lazy.shape == (3, 3, 25, 7)
    plane = next(iter(lazy))[:, 3:5]
    np.testing.assert_array_equal(plane[0], plane[2])
    with pytest.raises(DataError, match="1 channels, the model takes 2"):
        read_planes(source, create_card(2))


def test_nan_is_refused_where_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 8)
    array = np.zeros((1, 25, 7), np.float32)
    array[0, 20, 3] = np.nan
    write_zarr(tmp_path / "a.zarr", array, axes="CYX")
    plane = next(iter(read_planes(open_image(tmp_path / "a.zarr"), create_card(1))))
    assert not plane[:, :16].any()
    with pytest.raises(DataError, match="1 NaN"):
        plane[:, 16:20]


def test_a_tiff_is_read_whole(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", np.eye(9, dtype=np.uint8), axes="YX")
    found = read_planes(open_image(tmp_path / "a.tif"), create_card(1))
    assert isinstance(found, np.ndarray)
    assert found.shape == (1, 1, 9, 9)
