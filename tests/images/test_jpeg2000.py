"""JPEG 2000: all bits of every depth, components of any number, alpha only where it is said."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import DataError
from pixelwise.images import open_image
from tests.fixtures.formats.write import FOLDER, pattern


def write(path: Path, pixels: np.ndarray, bits: int | None = None) -> None:
    kind = {"bitspersample": bits} if bits else {}
    encoded = imagecodecs.jpeg2k_encode(
        pixels, level=0, reversible=True, codecformat=path.suffix[1:], **kind
    )
    path.write_bytes(encoded)


@pytest.mark.parametrize("suffix", [".jp2", ".j2k"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("bits", "dtype"), [(1, "uint8"), (8, "uint8"), (12, "uint16"), (16, "uint16"), (16, "int16")]
)
def test_lossless_round_trip(
    tmp_path: Path, suffix: str, channels: int, bits: int, dtype: str
) -> None:
    low = -(1 << bits - 1) if dtype == "int16" else 0
    shape = (20, 24) if channels == 1 else (20, 24, channels)
    pixels = (pattern(shape, 1 << bits, "int64") + low).astype(dtype)
    write(tmp_path / f"a{suffix}", pixels, bits)
    source = open_image(tmp_path / f"a{suffix}")
    assert (source.dtype, source.shape) == (np.dtype(dtype), shape)
    assert np.array_equal(source.read(), pixels)


def test_grey_with_alpha(tmp_path: Path) -> None:
    pixels = pattern((20, 24, 2), 251)
    Image.fromarray(pixels, "LA").save(tmp_path / "a.jp2", irreversible=False)
    image = open_image(tmp_path / "a.jp2").decode()
    assert np.array_equal(image.pixels, pixels[..., 0])
    assert image.notes == ("has transparent pixels; the alpha channel was dropped",)
    alpha = open_image(tmp_path / "a.jp2", palette="alpha")
    assert alpha.header.alpha
    assert np.array_equal(alpha.read(), pixels[..., 1])


def test_colours_stored_as_luminance_are_rgb(tmp_path: Path) -> None:
    rgb = np.repeat(np.repeat(pattern((5, 6, 3), 251), 4, 0), 4, 1)
    picture = Image.fromarray(rgb).convert("YCbCr")
    picture.save(tmp_path / "a.jp2", irreversible=False)
    found = open_image(tmp_path / "a.jp2").read()
    assert np.abs(found.astype(int) - np.asarray(picture.convert("RGB"))).max() <= 1


def test_a_palette_is_refused(tmp_path: Path) -> None:
    data = (FOLDER / "deep.jp2").read_bytes()
    size = int.from_bytes(data[32:36], "big")
    assert data[36:40] == b"jp2h"
    box = b"\0\0\0\x0fpclr\0\1\1\x07\0\0\0"
    header = (size + len(box)).to_bytes(4, "big") + data[36 : 32 + size] + box
    (tmp_path / "a.jp2").write_bytes(data[:32] + header + data[32 + size :])
    with pytest.raises(DataError, match=r"palette.*Save it as RGB"):
        open_image(tmp_path / "a.jp2")


def test_components_of_different_depth_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.j2k", pattern((20, 24, 3), 251))
    data = bytearray((tmp_path / "a.j2k").read_bytes())
    assert data[42:51] == b"\7\1\1" * 3
    data[45] = 11
    (tmp_path / "a.j2k").write_bytes(data)
    with pytest.raises(DataError, match="different depth or resolution"):
        open_image(tmp_path / "a.j2k")
