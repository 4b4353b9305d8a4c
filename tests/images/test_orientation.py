from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pixelwise.images import open_image, tiff
from pixelwise.images.orientation import find_stored_region, parse_orientation, swaps_sides, turn

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (21, 33, 3), np.uint8)
GREY = RGB[..., 0]
ORIENTATIONS = range(1, 9)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What Pillow makes of stored pixels, as an oracle."""
    picture = Image.fromarray(pixels)
    picture.info["exif"] = exif(orientation).tobytes()
    return np.asarray(ImageOps.exif_transpose(picture))


def check_regions(path: Path, expected: np.ndarray) -> None:
    source = open_image(path)
    assert source.shape == expected.shape
    assert np.array_equal(source.read(), expected)
    with source.reading() as read:
        for _ in range(8):
            starts = [int(RNG.integers(0, n)) for n in source.shape]
            region = tuple(
                slice(a, int(RNG.integers(a + 1, n + 1)))
                for a, n in zip(starts, source.shape, strict=True)
            )
            assert np.array_equal(read(region), expected[region])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_raster_stand_upright(
    tmp_path: Path, orientation: int, suffix: str, pixels: np.ndarray
) -> None:
    path = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(pixels).save(path, exif=exif(orientation), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    check_regions(path, expected)
    noted = f"turned upright (EXIF orientation {orientation})" in open_image(path).decode().notes
    assert noted is (orientation > 1)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (16, 16)},
        {"compression": "lzw", "rowsperstrip": 5},
        {"planarconfig": "separate"},
        {"compression": "jpeg"},
    ],
    ids=["plain", "tiles", "lzw", "planar", "jpeg"],
)
def test_tiffs_stand_upright(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(tiff, "_SMALL_BYTES", 0)
    path, planar = tmp_path / "a.tif", options.get("planarconfig") == "separate"
    stored = np.moveaxis(RGB, -1, 0) if planar else RGB
    tag = [(0x0112, "H", 1, orientation, True)]
    tifffile.imwrite(path, stored, photometric="rgb", extratags=tag, **options)
    raw = tifffile.imread(path)
    expected = upright(np.moveaxis(raw, 0, -1) if planar else raw, orientation)
    check_regions(path, np.moveaxis(expected, -1, 0) if planar else expected)


@pytest.mark.parametrize("orientation", [3, 6])
def test_planes_of_a_stack_are_turned_and_their_pixel_size_too(
    tmp_path: Path, orientation: int
) -> None:
    stack = RNG.integers(0, 60_000, (4, 21, 33)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"},
        extratags=[(0x0112, "H", 1, orientation, True)],
        resolution=(1000, 500), resolutionunit="CENTIMETER",
    )  # fmt: skip
    source = open_image(tmp_path / "a.tif")
    expected = np.stack([np.rot90(plane, -1 if orientation == 6 else 2) for plane in stack])
    assert np.array_equal(source.read(), expected)
    assert source.calibration is not None
    sizes = source.calibration.pixel_size_um(source.axes.names)
    assert sizes == pytest.approx((10, 20) if orientation == 6 else (20, 10))


def test_a_tag_after_the_pixels_of_a_png(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    data, payload = (tmp_path / "a.png").read_bytes(), exif(6).tobytes()[6:]
    chunk = struct.pack(">I", len(payload)) + b"eXIf" + payload
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    end = data.rindex(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(data[:end] + chunk + data[end:])
    check_regions(tmp_path / "a.png", np.rot90(RGB, -1))


@pytest.mark.parametrize("value", [0, 9, 255, "6", None])
def test_what_is_no_orientation_is_upright(value: object) -> None:
    assert parse_orientation(value) == 1


def test_exif_that_is_broken_is_left_alone(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=b"Exif\0\0rubbish")
    check_regions(tmp_path / "a.png", RGB)


@given(st.sampled_from(ORIENTATIONS), st.data())
def test_every_region_comes_from_its_place(orientation: int, data: st.DataObject) -> None:
    stored = np.arange(3 * 5 * 7).reshape(3, 5, 7)
    whole = turn(stored, orientation, rows=1, columns=2)
    region = []
    for size in whole.shape:
        start = data.draw(st.integers(0, size - 1))
        region.append(slice(start, data.draw(st.integers(start + 1, size))))
    part = find_stored_region(
        tuple(region), whole.shape, orientation=orientation, rows=1, columns=2
    )
    found = turn(stored[part], orientation, rows=1, columns=2)
    assert np.array_equal(found, whole[tuple(region)])
    assert (whole.shape != stored.shape) is swaps_sides(orientation)
