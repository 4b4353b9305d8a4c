"""MRC: number formats, the header's order of axes, signed and unsigned bytes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Literal

import mrcfile
import numpy as np
import pytest

from pixelwise.errors import DataError, ReadError
from pixelwise.images import open_image
from tests.fixtures.formats.write import pattern

IMOD = (1146047817).to_bytes(4, "little")


def write(path: Path, pixels: np.ndarray) -> Path:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(pixels)
    return path


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
@pytest.mark.parametrize("shape", [(9, 7), (3, 9, 7)])
def test_number_formats(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    pixels = pattern(shape, 100, dtype)
    source = open_image(write(tmp_path / "a.mrc", pixels))
    assert source.dtype == np.dtype(dtype)
    assert np.array_equal(source.read(), pixels)
    region = tuple(slice(1, n) for n in shape)
    assert np.array_equal(source.read_region(region), pixels[region])


def test_big_endian(tmp_path: Path) -> None:
    pixels = pattern((3, 9, 7), 4096, ">i2")
    source = open_image(write(tmp_path / "a.mrc", pixels))
    assert source.dtype == np.dtype("=i2")
    assert np.array_equal(source.read(), pixels)


def test_stacks_of_volumes_count_time(tmp_path: Path) -> None:
    source = open_image(write(tmp_path / "a.mrc", pattern((2, 3, 9, 7), 100, "int16")))
    assert source.axes.names == "TZYX"


@pytest.mark.parametrize(
    ("order", "names"),
    [((1, 2, 3), "ZYX"), ((3, 2, 1), "XYZ"), ((2, 1, 3), "ZXY"), ((0, 0, 0), "ZYX")],
)
def test_the_header_names_the_axes(tmp_path: Path, order: tuple[int, int, int], names: str) -> None:
    with mrcfile.new(tmp_path / "a.map") as file:
        file.set_data(pattern((3, 9, 7), 100, "int16"))
        file.header.mapc, file.header.mapr, file.header.maps = order
    assert open_image(tmp_path / "a.map").axes.names == names


@pytest.mark.parametrize(
    ("flags", "is_signed"), [(None, True), (0, False), (1, True), (5, True), (4, False)]
)
def test_imods_flag_tells_signed_from_unsigned_bytes(
    tmp_path: Path, flags: int | None, is_signed: bool
) -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write(tmp_path / "a.mrc", stored.view(np.int8))
    if flags is not None:
        data = bytearray(path.read_bytes())
        data[152:160] = IMOD + flags.to_bytes(4, "little")
        path.write_bytes(data)
    source = open_image(path)
    assert np.array_equal(source.read(), stored.view(np.int8) if is_signed else stored)
    assert any("above 127" in note for note in source.notes) is not is_signed


def test_complex_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="complex64"):
        open_image(write(tmp_path / "a.mrc", np.ones((9, 7), np.complex64)))


def test_a_file_that_is_longer_than_it_says_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", pattern((9, 7), 100, "int16"))
    path.write_bytes(path.read_bytes() + bytes(100))
    with pytest.raises(ReadError, match="larger than expected"):
        open_image(path)


@pytest.mark.parametrize("order", ["little", "big"])
def test_memory_is_not_taken_for_a_header_that_is_not_there(
    tmp_path: Path, order: Literal["little", "big"]
) -> None:
    values = pattern((9, 7), 100, "int16")
    path = write(tmp_path / "a.mrc", values if order == "little" else values.astype(">i2"))
    header = bytearray(path.read_bytes())
    header[92:96] = (1 << 30).to_bytes(4, order)
    path.write_bytes(header)
    tracemalloc.start()
    try:
        with pytest.raises(ReadError, match="1073741824 bytes is longer than the file"):
            open_image(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
