from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ReadError
from pixelwise.images import open_image

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (11, 13), np.uint8)
RGB = RNG.integers(0, 256, (11, 13, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (11, 13), np.uint16)
INDEX = RNG.integers(0, 5, (11, 13), np.uint8)
COLORS = RNG.integers(0, 256, (5, 3), np.uint8)


def palette_picture() -> Image.Image:
    picture = Image.new("P", (13, 11))
    picture.putdata(INDEX.ravel().tolist())
    picture.putpalette(COLORS.ravel().tolist())
    return picture


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
@pytest.mark.parametrize(("pixels", "axes"), [(GREY, "YX"), (RGB, "YXC")], ids=["grey", "rgb"])
def test_lossless_round_trip(tmp_path: Path, suffix: str, pixels: np.ndarray, axes: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == "webp" else {}))
    source = open_image(path)
    if suffix == "webp" and pixels is GREY:
        pixels, axes = np.repeat(GREY[..., None], 3, axis=2), "YXC"  # WebP has no grey
    assert source.shape == pixels.shape
    assert source.axes.names == axes
    assert source.dtype == np.uint8
    assert np.array_equal(source.read(), pixels)


@pytest.mark.parametrize(("mode", "shape"), [("L", (11, 13)), ("RGB", (11, 13, 3))])
def test_jpeg(tmp_path: Path, mode: str, shape: tuple[int, ...]) -> None:
    smooth = np.linspace(0, 255, 11 * 13).reshape(11, 13).astype(np.uint8)
    Image.fromarray(smooth).convert(mode).save(tmp_path / "a.jpg", quality=95)
    source = open_image(tmp_path / "a.jpg")
    assert source.shape == shape
    assert np.abs(source.read().reshape(11, 13, -1)[..., 0].astype(int) - smooth).max() < 16


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg")
    source = open_image(tmp_path / "a.jpg")
    assert source.read().shape == source.shape == (11, 13, 3)


def test_16_bit_grey(tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    source = open_image(tmp_path / "a.png")
    assert source.dtype == np.uint16
    assert np.array_equal(source.read(), DEEP)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colours_keep_all_bits(tmp_path: Path, channels: int) -> None:
    pixels = RNG.integers(0, 65536, (11, 13, channels), np.uint16)
    if channels != 3:
        pixels[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    source = open_image(tmp_path / "a.png")
    expected = pixels[..., 0] if channels == 2 else pixels[..., :3]
    assert source.dtype == np.uint16
    assert source.shape == expected.shape
    assert np.array_equal(source.read(), expected)


def test_palette_gives_colours_or_indices(tmp_path: Path) -> None:
    palette_picture().save(tmp_path / "a.png")
    colors = open_image(tmp_path / "a.png")
    assert (colors.shape, colors.axes.names) == ((11, 13, 3), "YXC")
    assert np.array_equal(colors.read(), COLORS[INDEX])
    indices = open_image(tmp_path / "a.png", palette="index")
    assert (indices.shape, indices.axes.names) == ((11, 13), "YX")
    assert np.array_equal(indices.read(), INDEX)


def test_palette_with_transparency_is_noted(tmp_path: Path) -> None:
    palette_picture().save(tmp_path / "a.png", transparency=2)
    image = open_image(tmp_path / "a.png").decode()
    assert np.array_equal(image.pixels, COLORS[INDEX])
    assert "transparent" in image.notes[0]


@pytest.mark.parametrize("interlace", [0, 1])
def test_gif_gives_colours_or_indices(tmp_path: Path, interlace: int) -> None:
    palette_picture().save(tmp_path / "a.gif", interlace=interlace, optimize=False)
    assert np.array_equal(open_image(tmp_path / "a.gif").read(), COLORS[INDEX])
    indices = open_image(tmp_path / "a.gif", palette="index")
    assert (indices.shape, indices.axes.names) == ((11, 13), "YX")
    assert np.array_equal(indices.read(), INDEX)


def test_grey_gif(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.gif", optimize=False)
    for palette in ("color", "index"):
        pixels = open_image(tmp_path / "a.gif", palette=palette).read()
        assert np.array_equal(pixels if pixels.ndim == 2 else pixels[..., 0], GREY)


def test_one_bit(tmp_path: Path) -> None:
    Image.fromarray(INDEX > 2).save(tmp_path / "a.png")
    source = open_image(tmp_path / "a.png")
    assert source.dtype == np.uint8
    assert np.array_equal(source.read(), INDEX > 2)
    assert source.read().dtype == np.uint8


@pytest.mark.parametrize("opaque", [True, False], ids=["opaque", "see-through"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped(tmp_path: Path, mode: str, opaque: bool) -> None:
    alpha = np.full(GREY.shape, 255, np.uint8) if opaque else GREY
    color = RGB if mode == "RGBA" else GREY[..., None]
    Image.fromarray(np.concatenate([color, alpha[..., None]], 2), mode).save(tmp_path / "a.png")
    source = open_image(tmp_path / "a.png")
    image = source.decode()
    assert np.array_equal(image.pixels, color.squeeze())
    assert source.shape == image.pixels.shape
    assert bool(image.notes) is not opaque


def test_further_frames_are_noted(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(
        tmp_path / "a.webp",
        save_all=True,
        append_images=[Image.fromarray(RGB[::-1])],
        lossless=True,
    )
    assert open_image(tmp_path / "a.webp").decode().notes == ("holds 2 frames, the first was read",)


def write_bmp(
    path: Path, indices: np.ndarray, *, bits: int, colors: np.ndarray, short: bool = False
) -> None:
    """A BMP of 1, 4 or 8 bits; `short` is the header of OS/2, which has a whole palette."""
    height, width = indices.shape
    rows = b""
    for row in indices[::-1]:
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 32)
        rows += int(text, 2).to_bytes(len(text) // 8, "big")
    head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    if not short:
        head = struct.pack(
            "<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(rows), 0, 0, len(colors), 0
        )
    palette = b"".join(bytes([*color[::-1], *[0] * (not short)]) for color in colors.tolist())
    start = 14 + len(head) + len(palette)
    size = struct.pack("<IHHI", start + len(rows), 0, 0, start)
    path.write_bytes(b"BM" + size + head + palette + rows)


GREYS = {
    "black, white": lambda count: [0, 255],
    "white, black": lambda count: [255, 0],
    "ramp": range,
    "stretched": lambda count: [i * 255 // (count - 1) for i in range(count)],
    "reversed": lambda count: [255 - i * 255 // (count - 1) for i in range(count)],
}


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("greys", GREYS.values(), ids=GREYS)
@pytest.mark.parametrize("short", [False, True])
def test_bmp_with_a_grey_palette_is_grey(
    tmp_path: Path, bits: int, greys: Callable[[int], list[int]], short: bool
) -> None:
    """Pillow takes some of these for grey of another number of bits, and gives other pixels."""
    values = np.array(list(greys(2**bits)), np.uint8)
    if short and len(values) < 2**bits:
        values = np.resize(values, 2**bits)
    indices = RNG.integers(0, len(values), (11, 13), np.uint8)
    colors = np.stack([values] * 3, 1)
    write_bmp(tmp_path / "a.bmp", indices, bits=bits, colors=colors, short=short)
    source = open_image(tmp_path / "a.bmp")
    white = 255 // (source.header.white or 255)
    assert source.axes.names == "YX"
    assert np.array_equal(source.read() * np.uint8(white), values[indices])
    stored = open_image(tmp_path / "a.bmp", palette="index")
    if stored.header.colormap:
        assert np.array_equal(stored.read(), indices)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_is_stretched_in_images_and_stored_values_in_masks(
    tmp_path: Path, bits: int
) -> None:
    stored = RNG.integers(0, 2**bits, (11, 16), np.uint8)
    packed = b""
    for row in stored:
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        packed += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 16, 11, bits, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(packed)), chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    mask = open_image(tmp_path / "a.png", palette="index")
    assert np.array_equal(mask.read(), stored)
    assert mask.header.white == 2**bits - 1
    image = open_image(tmp_path / "a.png")
    scale = 1 if bits == 1 else 255 // (2**bits - 1)
    assert np.array_equal(image.read(), stored * np.uint8(scale))


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_grey_palette_gives_one_channel(tmp_path: Path, suffix: str) -> None:
    picture = Image.fromarray(GREY, "P")
    picture.putpalette([255 - i // 3 for i in range(768)])
    picture.save(tmp_path / f"a.{suffix}")
    source = open_image(tmp_path / f"a.{suffix}")
    assert source.axes.names == "YX"
    assert np.array_equal(source.read(), 255 - GREY)


def test_the_alpha_of_a_palette(tmp_path: Path) -> None:
    palette_picture().save(tmp_path / "a.png", transparency=bytes([0, 255, 7, 255, 9]))
    source = open_image(tmp_path / "a.png", palette="alpha")
    assert (source.shape, source.header.alpha) == ((11, 13), True)
    assert np.array_equal(source.read(), np.array([0, 255, 7, 255, 9], np.uint8)[INDEX])
    assert [color & 255 for color in source.header.colormap] == [0, 255, 7, 255, 9]


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_alpha_alone(tmp_path: Path, suffix: str) -> None:
    pixels = np.dstack([RGB, GREY])
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", lossless=True, exact=True)
    assert np.array_equal(open_image(tmp_path / f"a.{suffix}", palette="alpha").read(), GREY)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ReadError, match=r"a\..* is damaged or truncated: .*leave it out") as caught:
        open_image(path).read()
    assert isinstance(caught.value, OSError)


def test_real_pictures(data_dir: Path) -> None:
    nuclei = next((data_dir / "dsb2018" / "stage1_train").glob("*/images/*.png"))
    image = open_image(nuclei).decode()
    assert image.pixels.shape[2] == 3
    assert image.notes == ()  # alpha is 255 everywhere
    cells = open_image(data_dir / "wbc_dataset1" / "images" / "001.bmp")
    assert (cells.shape, cells.axes.names) == ((120, 120, 3), "YXC")
