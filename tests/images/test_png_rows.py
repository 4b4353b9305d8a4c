"""A PNG that ends before its last row is damaged, whatever Pillow makes of it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ReadError
from pixelwise.images import read_image
from pixelwise.images.png_rows import PngHeader, require_all_rows

HEIGHT, WIDTH = 21, 13
RNG = np.random.default_rng(3)


def encode(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "png")
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def cut(data: bytes, rows: int) -> bytes:
    """Take the last rows of pixels away; what is left is a sound PNG by its chunks and sums."""
    header = PngHeader(data[:30])
    start = data.index(b"IDAT") - 4
    before = data[8:start]
    size = struct.unpack(">I", data[start : start + 4])[0]
    pixels = zlib.decompress(data[start + 8 : start + 8 + size])
    left = pixels[: len(pixels) - rows * (header.count_bytes() // HEIGHT)]
    return data[:8] + before + chunk(b"IDAT", zlib.compress(left)) + chunk(b"IEND", b"")


PICTURES = {
    "grey": Image.fromarray(RNG.integers(1, 256, (HEIGHT, WIDTH), np.uint8)),
    "black": Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)),
    "rgb": Image.fromarray(RNG.integers(1, 256, (HEIGHT, WIDTH, 3), np.uint8)),
    "rgba": Image.fromarray(RNG.integers(1, 256, (HEIGHT, WIDTH, 4), np.uint8)),
    "bits": Image.fromarray(RNG.integers(0, 2, (HEIGHT, WIDTH), np.uint8) > 0),
    "indices": Image.fromarray(RNG.integers(1, 9, (HEIGHT, WIDTH), np.uint8)).convert("P"),
    "16 bits": Image.fromarray(RNG.integers(1, 60_000, (HEIGHT, WIDTH), np.uint16)),
}


@pytest.mark.parametrize("rows", [1, 5, HEIGHT])
@pytest.mark.parametrize("kind", PICTURES)
def test_missing_rows_are_no_black_rows(tmp_path: Path, kind: str, rows: int) -> None:
    path, data = tmp_path / "a.png", encode(PICTURES[kind])
    path.write_bytes(data)
    assert read_image(path)[0].shape[:2] == (HEIGHT, WIDTH)
    path.write_bytes(cut(data, rows))
    with pytest.raises(ReadError, match="damaged or truncated"):
        read_image(path)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("sides", [(1, 1), (3, 2), (8, 8), (9, 17), (HEIGHT, WIDTH)])
def test_an_interlaced_image_has_the_bytes_of_its_passes(
    tmp_path: Path, sides: tuple[int, int], bits: int
) -> None:
    height, width = sides
    start = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR"
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 1)
    header = PngHeader(start + head)
    packed = zlib.compress(bytes(header.count_bytes()))
    path = tmp_path / "a.png"
    path.write_bytes(
        start[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    assert not read_image(path)[0].any()
    short = zlib.compress(bytes(header.count_bytes() - 1))
    path.write_bytes(start[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", short) + chunk(b"IEND", b""))
    with pytest.raises(ReadError, match="damaged or truncated"):
        read_image(path)


def test_a_large_chunk_is_unpacked_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = RNG.integers(0, 256, (600, 600), np.uint8)
    data = encode(Image.fromarray(pixels))
    sizes: list[int] = []

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            sizes.append(len(found))
            return found

    require_all_rows(File(data), PngHeader(data[:30]))
    assert sum(sizes) > len(data) - 100
    assert max(sizes) <= 1 << 16
