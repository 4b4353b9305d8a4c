"""CZI, on files made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from pixelwise.errors import DataError, PixelwiseError, ReadError
from pixelwise.images import open_image
from tests.fixtures.formats.write import pattern
from tests.images.microscopes.handmade import Tile, write_czi

STACK = pattern((2, 3, 2, 10, 12), 4096, "uint16")


def sort_bytes(data: bytes) -> bytes:
    """Compress with a header of three bytes: lower bytes first, then the higher ones."""
    sorted_bytes = np.frombuffer(data, np.uint8).reshape(-1, 2).T.tobytes()
    return b"\3\1\1" + imagecodecs.zstd_encode(sorted_bytes)


@pytest.mark.parametrize(
    ("compression", "encode"),
    [
        (0, bytes),
        (5, imagecodecs.zstd_encode),
        (6, sort_bytes),
        (6, lambda data: b"\1" + imagecodecs.zstd_encode(data)),
    ],
    ids=["plain", "zstd", "zstd-sorted", "zstd-header"],
)
def test_time_depth_and_channels(
    tmp_path: Path, compression: int, encode: Callable[[bytes], bytes]
) -> None:
    tiles: list[Tile] = [
        ({"B": 0, "C": c, "T": t, "Z": z}, STACK[t, z, c])
        for c in range(2) for t in range(2) for z in range(3)
    ]  # fmt: skip
    write_czi(tmp_path / "a.czi", tiles, compression=compression, encode=encode)
    source = open_image(tmp_path / "a.czi")
    assert source.axes.names == "TZCYX"
    assert np.array_equal(source.read(), STACK)
    region = (slice(1, 2), slice(0, 2), slice(0, 2), slice(3, 9), slice(1, 5))
    assert np.array_equal(source.read_region(region), STACK[region])
    assert source.calibration is not None
    assert source.calibration.scale == (1, 1, 1, 0.5, 0.5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_are_rgb(tmp_path: Path, dtype: str) -> None:
    rgb = pattern((10, 12, 3), 251, dtype)
    write_czi(tmp_path / "a.czi", [({}, rgb)])
    source = open_image(tmp_path / "a.czi")
    assert source.axes.names == "YXC"
    assert np.array_equal(source.read(), rgb)


def test_jpeg_xr(tmp_path: Path) -> None:
    grey = pattern((16, 16), 251)

    def encode(data: bytes) -> bytes:
        pixels = np.frombuffer(data, np.uint8).reshape(16, 16)
        return bytes(imagecodecs.jpegxr_encode(pixels, level=1.0))

    write_czi(tmp_path / "a.czi", [({}, grey)], compression=4, encode=encode)
    assert np.array_equal(open_image(tmp_path / "a.czi").read(), grey)


def test_tiles_are_laid_in_their_order(tmp_path: Path) -> None:
    whole = pattern((16, 20), 251)
    below, above = whole[:10, :12].copy(), whole[6:, 8:]
    below[6:, 8:] = 255  # where both lie, the later one is seen
    tiles: list[Tile] = [
        ({"M": 1, "Y": -94, "X": 1008}, above),
        ({"M": 0, "Y": -100, "X": 1000}, below),
    ]
    write_czi(tmp_path / "a.czi", tiles)
    image = open_image(tmp_path / "a.czi").decode()
    expected = np.zeros((16, 20), np.uint8)
    expected[:10, :12], expected[6:, 8:] = whole[:10, :12], whole[6:, 8:]
    assert np.array_equal(image.pixels, expected)
    assert image.notes == (
        "2 tiles were placed as recorded, without stitching",
        "areas without a tile were read as 0",
    )


def test_regions_of_a_slide_decode_their_tiles_only(tmp_path: Path) -> None:
    whole = pattern((40, 60), 251)
    tiles: list[Tile] = [
        ({"M": 0, "Y": y, "X": x}, whole[y : y + 10, x : x + 15])
        for y in range(0, 40, 10) for x in range(0, 60, 15)
    ]  # fmt: skip
    encoded: list[bytes] = [b"no pixels"]  # the tile at the lower right is damaged

    def encode(data: bytes) -> bytes:
        encoded.append(imagecodecs.zstd_encode(data))
        return encoded[0] if len(encoded) == 17 else encoded[-1]

    write_czi(tmp_path / "a.czi", tiles, compression=5, encode=encode)
    with open_image(tmp_path / "a.czi").reading() as read:
        for rows, columns in ((slice(3, 24), slice(20, 44)), (slice(9, 11), slice(0, 60))):
            assert np.array_equal(read((rows, columns)), whole[rows, columns])
        with pytest.raises(ReadError, match=r"a\.czi is damaged"):
            read((slice(35, 40), slice(40, 60)))


def test_coarser_levels_are_left_out(tmp_path: Path) -> None:
    fine, coarse = pattern((10, 12), 251), pattern((5, 6), 251)
    write_czi(tmp_path / "a.czi", [({}, fine), ({"P": 1}, coarse)], stored=2)
    image = open_image(tmp_path / "a.czi").decode()
    assert np.array_equal(image.pixels, fine)
    assert image.notes == ()


def test_the_largest_scene_is_read_and_the_others_named(tmp_path: Path) -> None:
    small, large = pattern((5, 6), 251), pattern((10, 12), 251)
    write_czi(tmp_path / "a.czi", [({"S": 0}, small), ({"S": 1, "X": 500}, large)])
    image = open_image(tmp_path / "a.czi").decode()
    assert np.array_equal(image.pixels, large)
    assert "holds 2 scenes; '1' was read" in image.notes[0]
    advice = image.notes[0].split('"')[1]
    assert np.array_equal(open_image(advice).read(), small)


def test_missing_planes_are_noted(tmp_path: Path) -> None:
    plane = pattern((10, 12), 251)
    write_czi(tmp_path / "a.czi", [({"T": 0, "C": 0}, plane), ({"T": 1, "C": 1}, plane)])
    image = open_image(tmp_path / "a.czi").decode()
    assert image.notes == ("2 of 4 planes are not in the file, read as 0",)


@pytest.mark.parametrize(
    ("tiles", "options", "message"),
    [
        ([({"C": c}, pattern((5, 6, 3), 251)) for c in range(2)], {}, "several channels of colour"),
        ([({"H": h}, pattern((5, 6), 251)) for h in range(2)], {}, "cannot be read: H"),
        ([({}, pattern((5, 6), 251))], {"compression": 1}, r"unsupported compression \(number 1"),
        ([({}, pattern((5, 6), 251))], {"part": 1}, "several files that belong together"),
        (
            [({"M": 0}, pattern((5, 6), 251)), ({"M": 1}, pattern((5, 6, 3), 251))],
            {},
            "grey and colours",
        ),
    ],
    ids=["rgb-channels", "phases", "compression", "parts", "mixed"],
)
def test_what_would_be_read_wrongly_is_refused(
    tmp_path: Path, tiles: list[Tile], options: dict[str, int], message: str
) -> None:
    write_czi(
        tmp_path / "a.czi",
        tiles,
        compression=options.get("compression", 0),
        part=options.get("part", 0),
    )
    with pytest.raises(DataError, match=message):
        open_image(tmp_path / "a.czi")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6])
def test_cut_off(tmp_path: Path, share: float) -> None:
    write_czi(tmp_path / "a.czi", [({"Z": z}, pattern((50, 60), 251)) for z in range(3)])
    data = (tmp_path / "a.czi").read_bytes()
    (tmp_path / "a.czi").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PixelwiseError, match=r"a\.czi"):
        open_image(tmp_path / "a.czi").read()
