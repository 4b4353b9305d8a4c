from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from pixelwise.errors import DataError
from pixelwise.images import open_image, tiff

RNG = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def regions_of_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_SMALL_BYTES", 0)


def check(path: Path, expected: np.ndarray, **options: Any) -> tuple[str, ...]:
    """Whole and regions are the pixels expected; gives the notes."""
    source = open_image(path, **options)
    image = source.decode()
    assert (source.shape, source.dtype) == (image.pixels.shape, image.pixels.dtype)
    assert image.pixels.dtype == expected.dtype
    assert np.array_equal(image.pixels, expected)
    with source.reading() as read:
        for _ in range(5):
            starts = [int(RNG.integers(0, n)) for n in source.shape]
            region = tuple(
                slice(a, int(RNG.integers(a + 1, n + 1)))
                for a, n in zip(starts, source.shape, strict=True)
            )
            assert np.array_equal(read(region), expected[region])
    return image.notes


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"compression": "zlib", "rowsperstrip": 7},
    {"compression": "lzw", "tile": (16, 32)},
    {"tile": (32, 16)},
    {"compression": "zlib", "predictor": True},
]


@pytest.mark.parametrize("options", LAYOUTS, ids=["plain", "strips", "lzw", "tiles", "predictor"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50)], ids=["plane", "stack"])
def test_min_is_white_is_inverted(
    tmp_path: Path, options: dict[str, Any], dtype: str, byteorder: str, shape: tuple[int, ...]
) -> None:
    white = np.iinfo(dtype).max
    stored = RNG.integers(0, white, shape, endpoint=True).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="miniswhite", byteorder=byteorder, **options)
    for palette in ("color", "index"):
        assert "min-is-white" in check(path, white - stored, palette=palette)[0]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_every_bit_depth(tmp_path: Path, bits: int, photometric: str) -> None:
    stored = RNG.integers(0, 2**bits, (21, 33)).astype("u1" if bits <= 8 else "u2")
    path = tmp_path / "a.tif"
    array = stored.astype(bool) if bits == 1 else stored
    depth = None if bits == 1 else bits
    tifffile.imwrite(path, array, bitspersample=depth, photometric=photometric, software=False)
    expected = stored if photometric == "minisblack" else 2**bits - 1 - stored
    notes = check(path, expected)
    assert f"read as 0 to {2**bits - 1}" in notes[-1]
    assert open_image(path).header.white == (2**bits - 1 if bits < 8 else None)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "tiff_lzw", "raw"])
def test_bilevel_pages_are_read_as_pillow_reads_them(tmp_path: Path, compression: str) -> None:
    mask = RNG.random((41, 53)) > 0.7
    Image.fromarray(mask).save(tmp_path / "a.tif", compression=compression)
    check(tmp_path / "a.tif", mask.astype(np.uint8))


@pytest.mark.parametrize("fill_order", [1, 2])
def test_group4_min_is_white(tmp_path: Path, fill_order: int) -> None:
    """As scanners and ImageMagick write it, in both orders of bits."""
    mask = RNG.random((41, 53)) > 0.7
    Image.fromarray(mask).save(
        tmp_path / "a.tif", compression="group4", tiffinfo={262: 0, 266: fill_order}
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert (file.pages[0].photometric, file.pages[0].fillorder) == (0, fill_order)
    expected = np.asarray(Image.open(tmp_path / "a.tif")).astype(np.uint8)
    assert "min-is-white" in check(tmp_path / "a.tif", expected)[0]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_the_inverting_lookup_table_of_imagej_changes_no_value(tmp_path: Path, dtype: str) -> None:
    stored = RNG.integers(0, 200, (20, 30)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", imagej=True)
    assert "as stored" in check(tmp_path / "a.tif", stored)[0]


def test_true_of_tifffile_stays_1(tmp_path: Path) -> None:
    mask = RNG.random((20, 30)) > 0.5
    tifffile.imwrite(tmp_path / "a.tif", mask)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric == 0
    assert "True and False" in check(tmp_path / "a.tif", mask.astype(np.uint8))[0]


@pytest.mark.parametrize("dtype", ["i1", "i2", "f4"])
def test_min_is_white_without_a_white_is_refused_and_the_advice_works(
    tmp_path: Path, dtype: str
) -> None:
    stored = RNG.integers(-50, 50, (20, 30)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    with pytest.raises(DataError, match="black is undefined there") as caught:
        open_image(tmp_path / "a.tif")
    code = str(caught.value).split('python -c "')[1].rsplit('"', 1)[0]
    exec(code, {})
    check(tmp_path / "a.tif", stored)


def test_a_page_that_does_not_say_is_black_at_0(tmp_path: Path) -> None:
    stored = RNG.integers(0, 255, (20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        at = file.pages[0].tags["PhotometricInterpretation"].offset
    data[at : at + 2] = (65000).to_bytes(2, "little")  # a private tag in its place
    (tmp_path / "a.tif").write_bytes(data)
    check(tmp_path / "a.tif", stored)


def random_ink(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 4), np.uint8)


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"planarconfig": "separate"}])
def test_cmyk_becomes_rgb_as_in_pillow(tmp_path: Path, options: dict[str, Any]) -> None:
    inks = random_ink(31, 47)
    expected = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    options = {"planarconfig": "contig"} | options
    if planar := options["planarconfig"] == "separate":
        inks, expected = np.moveaxis(inks, -1, 0), np.moveaxis(expected, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", **options)
    check(tmp_path / "a.tif", expected)
    assert open_image(tmp_path / "a.tif").axes.names == ("CYX" if planar else "YXC")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_ycbcr_becomes_rgb(tmp_path: Path, compression: str, orientation: int) -> None:
    smooth = np.asarray(Image.fromarray(RNG.integers(0, 256, (6, 8, 3), np.uint8)).resize((64, 48)))
    picture = Image.fromarray(smooth).convert("YCbCr")
    info = {274: orientation}
    quality = {"quality": 98} if compression == "jpeg" else {}
    picture.save(tmp_path / "a.tif", compression=compression, tiffinfo=info, **quality)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric == 6
    source = open_image(tmp_path / "a.tif")
    expected = np.rot90(smooth, {1: 0, 3: 2, 6: -1}[orientation])
    assert source.shape == expected.shape
    assert np.abs(source.read().astype(int) - expected).mean() < 3


def test_colours_that_are_not_read_are_named(tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (9, 8, 3), np.uint8)).convert("LAB").save(
        tmp_path / "a.tif"
    )
    with pytest.raises(DataError, match=r"CIE L\*a\*b\*, which is not supported.*Save it as RGB"):
        open_image(tmp_path / "a.tif")
    tifffile.imwrite(
        tmp_path / "b.tif", random_ink(9, 8).astype("u2"), photometric="separated",
        planarconfig="contig",
    )  # fmt: skip
    with pytest.raises(DataError, match="CMYK or other inks as 4 samples of uint16"):
        open_image(tmp_path / "b.tif")


@pytest.mark.parametrize(("kind", "count"), list(product(["minisblack", "miniswhite"], [2])))
def test_alpha_is_not_inverted(tmp_path: Path, kind: str, count: int) -> None:
    stored = RNG.integers(0, 256, (21, 33, count), np.uint8)
    options = {"extrasamples": ["unassalpha"], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=kind, **options)
    grey = stored[..., 0] if kind == "minisblack" else 255 - stored[..., 0]
    check(tmp_path / "a.tif", grey)
    check(tmp_path / "a.tif", stored[..., 1], palette="alpha")
    assert open_image(tmp_path / "a.tif").header.alpha


def test_a_palette_of_greys_gives_grey(tmp_path: Path) -> None:
    indices = RNG.integers(0, 256, (21, 33), np.uint8)
    greys = RNG.integers(0, 256, 256).astype("u2")
    colormap = np.stack([greys * 257] * 3)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colormap)
    check(tmp_path / "a.tif", greys.astype("u1")[indices])
    check(tmp_path / "a.tif", indices, palette="index")
    assert len(open_image(tmp_path / "a.tif").header.colormap) == 256


def test_a_palette_of_8_bits_is_not_black(tmp_path: Path) -> None:
    """The entries should have 16 bits; libtiff takes 8 where none is larger."""
    indices = RNG.integers(0, 256, (21, 33), np.uint8)
    colors = RNG.integers(0, 256, (3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colors)
    check(tmp_path / "a.tif", colors.T.astype("u1")[indices])


def test_the_palette_of_a_mask_from_imagej_is_a_lookup_table(tmp_path: Path) -> None:
    indices = RNG.integers(0, 9, (21, 33), np.uint8)
    colormap = RNG.integers(0, 65535, (3, 256)).astype("u2")
    description = "ImageJ=1.54f\nimages=1\n"
    tifffile.imwrite(
        tmp_path / "a.tif", indices, photometric="palette", colormap=colormap, metadata=None,
        description=description,
    )  # fmt: skip
    assert open_image(tmp_path / "a.tif", palette="index").header.colormap == ()
    check(tmp_path / "a.tif", indices, palette="index")
    assert open_image(tmp_path / "a.tif").shape == (21, 33, 3)


def test_png_and_tiff_of_one_mask_agree(tmp_path: Path) -> None:
    """16 bits of RGB, in both formats."""
    deep = RNG.integers(0, 65536, (21, 33, 3), np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    check(tmp_path / "a.tif", open_image(tmp_path / "a.png").read())
