from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from pixelwise.errors import BudgetError, DataError, ReadError
from pixelwise.images import open_image, read_image

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (7, 9), np.uint8)
RGB = RNG.integers(0, 256, (7, 9, 3), np.uint8)


def test_user_axes_replace_the_guess(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 7, 9), np.uint8), photometric="minisblack")
    assert str(open_image(tmp_path / "a.tif").axes) == "read as ZYX (guessed from the shape)"
    assert str(open_image(tmp_path / "a.tif", axes="cyx").axes) == "read as CYX (as given)"


def test_axes_that_do_not_fit_name_file_and_shape(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png.*\(7, 9\).*3 dimensions, but the image has 2"):
        open_image(tmp_path / "a.png", axes="ZYX")


def test_read_image_gives_pixels_and_axes(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    pixels, axes = read_image(tmp_path / "a.png")
    assert np.array_equal(pixels, RGB)
    assert axes.names == "YXC"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"GIF89a..............", "damaged or truncated"),
        (b"\x93NUMPY............", "damaged, truncated"),
        (b"\x89PNG\r\n\x1a\nnothing else", "damaged or truncated"),
        (b"\xff\xd8\xff\xe0", "damaged or truncated"),
        (b"BM", "damaged or truncated"),
        (b"RIFF\x00\x00\x00\x00WEBP", "damaged or truncated"),
        (b"II*\0", "damaged, truncated"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "damaged, truncated"),
        (b"MM\0+" + bytes(30), "damaged, truncated"),
    ],
    ids=[
        *("missing", "empty", "gif", "npy", "png-start", "jpeg-start", "bmp-start", "webp-start"),
        *("tiff-start", "tiff-no-page", "bigtiff-zeros"),
    ],
)
def test_what_is_no_image_is_named_with_its_reason(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "scan.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReadError, match=message) as caught:
        open_image(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"Is a directory|Permission denied"):
        open_image(tmp_path)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.png", GREY)
    assert np.array_equal(open_image(tmp_path / "a.png").read(), GREY)


def test_no_pixels(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = bytes(8)  # width and height in IHDR
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match="holds no pixels"):
        open_image(tmp_path / "a.png")


def test_one_number_is_no_image(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.uint8(3))
    with pytest.raises(DataError, match=r"shape \(\): it holds no pixels"):
        open_image(tmp_path / "a.npy")


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.complex64))
    with pytest.raises(DataError, match="complex64"):
        open_image(tmp_path / "a.tif")


def test_budget_is_asked_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    source = open_image(path, budget_bytes=100)
    path.write_bytes(path.read_bytes()[:50])  # decoding would fail, and must not be tried
    with pytest.raises(BudgetError, match=r"7 x 9 x 3 pixels of uint8.*PIXELWISE_MEMORY_BUDGET"):
        source.read()


@pytest.mark.filterwarnings("error")
def test_a_very_large_picture_meets_the_budget_and_not_pillows_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(path)
    source = open_image(path, budget_bytes=10**8)
    assert source.shape == (30_000, 30_000)
    with pytest.raises(BudgetError, match=r"0\.9 GB.*budget is 0\.1 GB"):
        source.read()
