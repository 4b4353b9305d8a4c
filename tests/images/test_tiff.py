from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pixelwise.errors import BudgetError, DataError, ReadError
from pixelwise.images import open_image, read_image, tiff
from pixelwise.images.tiff_damage import LISTENER

RNG = np.random.default_rng(7)


def pixels(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    values = RNG.integers(0, 120, shape)
    return (values + 0.5 if dtype.startswith("f") else values).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_dtypes_and_byte_orders(tmp_path: Path, dtype: str, byteorder: str) -> None:
    expected = pixels((12, 17), dtype)
    tifffile.imwrite(tmp_path / "a.tif", expected, byteorder=byteorder)
    source = open_image(tmp_path / "a.tif")
    found = source.read()
    assert source.dtype == found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("compression", [None, "lzw", "packbits", "zlib", "zstd", "jpeg"])
@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)], ids=["grey", "rgb"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_compressions_match_tifffile(
    tmp_path: Path, compression: str | None, shape: tuple[int, ...], dtype: str
) -> None:
    if compression == "jpeg" and dtype != "uint8":
        pytest.skip("JPEG has 8 bits")
    path = tmp_path / "a.tif"
    options = {"predictor": True} if compression in ("lzw", "zlib") else {}
    array = np.sort(pixels(shape, dtype), axis=0)
    tifffile.imwrite(path, array, compression=compression, rowsperstrip=2, **options)
    assert np.array_equal(open_image(path).read(), tifffile.imread(path))


def test_tiles(tmp_path: Path) -> None:
    expected = pixels((70, 90, 3), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", expected, tile=(32, 32), compression="zlib")
    assert np.array_equal(open_image(tmp_path / "a.tif").read(), expected)


def test_bigtiff(tmp_path: Path) -> None:
    expected = pixels((20, 30))
    tifffile.imwrite(tmp_path / "a.tif", expected, bigtiff=True, compression="lzw")
    assert np.array_equal(open_image(tmp_path / "a.tif").read(), expected)


@pytest.mark.parametrize(
    ("shape", "options", "names", "reason"),
    [
        ((9, 8), {}, "YX", "plain image"),
        ((9, 8, 3), {"photometric": "rgb"}, "YXC", "colour pixels"),
        ((3, 9, 8), {"photometric": "rgb", "planarconfig": "separate"}, "CYX", "colour pixels"),
        ((5, 9, 8), {"photometric": "minisblack"}, "ZYX", "guessed from the shape"),
        ((2, 5, 9, 8), {"photometric": "minisblack"}, "CZYX", "guessed from the shape"),
        ((6, 9, 8, 3), {"photometric": "rgb"}, "ZYXC", "pages guessed to be Z"),
        ((4, 9, 8), {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}, "CYX", "metadata"),
        ((4, 5, 9, 8), {"metadata": {"axes": "TCYX"}, "imagej": True}, "TCYX", "ImageJ metadata"),
        ((4, 2, 9, 8), {"metadata": {"axes": "ZCYX"}, "ome": True}, "ZCYX", "OME metadata"),
    ],
    ids=["grey", "rgb", "planar", "stack", "5d-guess", "rgb-stack", "shaped", "imagej", "ome"],
)
def test_axes(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, object], names: str, reason: str
) -> None:
    expected = pixels(shape, "uint8")
    path = tmp_path / ("a.ome.tif" if "ome" in options else "a.tif")
    tifffile.imwrite(path, expected, **options)
    source = open_image(path)
    assert source.axes.names == names
    assert reason in str(source.axes)
    assert np.array_equal(source.read(), expected)


def test_pages_without_metadata_are_a_guess(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pixels((5, 9, 8)):
            writer.write(page, metadata=None)
    assert "ZYX (guessed" in str(open_image(tmp_path / "a.tif").axes)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("opaque", [True, False], ids=["opaque", "see-through"])
def test_alpha_is_dropped(tmp_path: Path, planar: str, opaque: bool) -> None:
    array = pixels((9, 8, 4))
    if opaque:
        array[..., 3] = 255
    stored = array if planar == "contig" else np.moveaxis(array, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar,
        extrasamples=["unassalpha"],
    )  # fmt: skip
    source = open_image(tmp_path / "a.tif")
    image = source.decode()
    found = image.pixels if planar == "contig" else np.moveaxis(image.pixels, 0, -1)
    assert source.shape == image.pixels.shape
    assert np.array_equal(found, array[..., :3])
    assert bool(image.notes) is not opaque


def test_four_channels_without_alpha_stay(tmp_path: Path) -> None:
    array = pixels((9, 8, 4))
    tifffile.imwrite(
        tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig",
        extrasamples=["unspecified"] * 3,
    )  # fmt: skip
    source = open_image(tmp_path / "a.tif")
    assert (source.shape, source.axes.names) == ((9, 8, 4), "YXC")


def test_palette(tmp_path: Path) -> None:
    indices = pixels((9, 8))
    colors = RNG.integers(0, 65536, (3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colors)
    source = open_image(tmp_path / "a.tif")
    assert (source.shape, source.dtype) == ((9, 8, 3), np.uint8)
    assert np.array_equal(source.read(), (colors >> 8).T[indices])
    assert np.array_equal(open_image(tmp_path / "a.tif", palette="index").read(), indices)


def test_one_bit(tmp_path: Path) -> None:
    mask = pixels((9, 8)) > 60
    tifffile.imwrite(tmp_path / "a.tif", mask)
    source = open_image(tmp_path / "a.tif")
    assert source.dtype == np.uint8
    assert np.array_equal(source.read(), mask)


def test_further_series_are_noted(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels((9, 8)))
        writer.write(pixels((4, 4), "uint16"))
    image = open_image(tmp_path / "a.tif").decode()
    assert image.pixels.shape == (9, 8)
    assert image.notes == ("holds 2 series, the largest was read; left out: series 4 x 4",)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "jpeg"])
@pytest.mark.parametrize("pages", [1, 3])
@pytest.mark.parametrize("metadata", [{}, None], ids=["shaped", "bare"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95])
def test_truncated(
    tmp_path: Path, compression: str, pages: int, metadata: dict[str, str] | None, share: float
) -> None:
    path = tmp_path / "a.tif"
    noise = RNG.integers(0, 256, (pages, 64, 64), np.uint8)
    options = {"photometric": "minisblack", "metadata": metadata, "rowsperstrip": 8}
    tifffile.imwrite(path, noise, compression=compression, **options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ReadError, match=r"a\.tif is (truncated|damaged)"):
        open_image(path).read()


def test_truncated_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = RNG.integers(0, 256, (64, 64), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", noise, compression="jpeg", rowsperstrip=8)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-40])
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(ReadError, match=r"a\.tif is truncated"):
        open_image("../a.tif").read()


def test_missing_planes_are_not_zeros(tmp_path: Path) -> None:
    """OME metadata that promises more planes than there are: tifffile would fill in zeros."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, pixels((3, 9, 8)), ome=True, photometric="minisblack")
    path.write_bytes(path.read_bytes().replace(b'SizeC="3"', b'SizeC="5"'))
    with pytest.raises(ReadError, match=r"out of range|missing|zeroed"):
        open_image(path).read()


def test_other_users_of_tifffile_still_hear_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("tifffile").warning("odd tag")
    assert "odd tag" in caplog.text


def test_tifffile_s_logger_is_left_as_it_was(tmp_path: Path) -> None:
    logger = logging.getLogger("tifffile")
    with LISTENER.listening() as heard, ThreadPoolExecutor(1) as thread:
        tifffile.imwrite(tmp_path / "a.tif", pixels((9, 8)))
        thread.submit(read_image, tmp_path / "a.tif").result()
        logger.warning("odd tag")  # this thread still listens
    assert heard == ["odd tag"]
    assert logger.filters == []


@pytest.mark.parametrize("compression", ["lzw", "zlib"])
def test_damaged_strips(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), compression=compression)
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[start : start + count] = b"\xff" * count
    path.write_bytes(data)
    with pytest.raises(ReadError, match=r"a\.tif is damaged"):
        open_image(path).read()


def test_pages_of_a_dtype_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels((2, 3, 8, 9)), metadata={"axes": "ZCYX"}, ome=True)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["BitsPerSample"].overwrite(2**15)
    with pytest.raises(ReadError, match=r"a\.tif is damaged"):  # tifffile: AssertionError
        open_image(path).read()


@pytest.mark.parametrize("pages", [2, 150])
def test_a_chain_of_pages_that_never_ends(tmp_path: Path, pages: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels((pages, 8, 9)), metadata=None)
    with tifffile.TiffFile(path) as tiff:
        second, last = tiff.pages[1].offset, tiff.pages[-1]
        place = last.offset + 2 + 12 * len(last.tags)
    data = bytearray(path.read_bytes())
    data[place : place + 4] = second.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ReadError, match=r"a\.tif is damaged.*circular"):
        open_image(path)


def test_too_many_dimensions_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 2, 2, 2, 4, 4), np.uint8))
    with pytest.raises(DataError, match="6 dimensions"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "axes", "shape", "dtype"),
    [
        ("plantseg_3d/1135_raw_ZYX.tif", "ZYX (guessed", (100, 100, 100), "uint8"),
        ("plantseg_multichannel_3d/rgb_3D_c_raw.tif", "CZYX (guessed", (2, 75, 75, 75), "uint16"),
        ("plantseg_multichannel_3d/rgb_3D_0.tiff", "ZYX (ImageJ", (75, 75, 75), "uint16"),
        ("stardist_samples/img3d.tif", "ZYX (guessed", (31, 61, 57), "uint16"),
        ("sstem_vnc/images/00.tif", "YX (plain", (1024, 1024), "uint8"),
    ],
    ids=lambda value: value.split("/")[0] if isinstance(value, str) and "/" in value else None,
)
def test_real_stacks(
    data_dir: Path, name: str, axes: str, shape: tuple[int, ...], dtype: str
) -> None:
    source = open_image(data_dir / name)
    assert f"read as {axes}" in str(source.axes)
    assert (source.shape, source.dtype) == (shape, dtype)
    assert np.array_equal(source.read(), tifffile.imread(data_dir / name))


def test_real_tissue(data_dir: Path) -> None:
    folder = data_dir / "monuseg2018" / "MoNuSegTrainingData" / "Tissue_Images"
    for path in sorted(folder.glob("*.tif"))[:6]:
        source = open_image(path)
        assert (source.shape, source.axes.names) == ((1000, 1000, 3), "YXC")
        assert np.array_equal(source.read(), tifffile.imread(path))


def test_no_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels((4, 5)), metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(0)
    with pytest.raises(DataError, match=r"shape \(4, 0\): it holds no pixels"):
        open_image(tmp_path / "a.tif")


def check_regions(path: Path, palette: str = "color") -> None:
    source = open_image(path, palette=palette)
    assert source.region_opener is not None
    whole = source.read()
    rng = np.random.default_rng(1)
    with source.reading() as read:
        for _ in range(12):
            spans = [sorted(rng.integers(0, side + 1, 2)) for side in source.shape]
            region = tuple(slice(int(a), max(int(b), int(a) + 1)) for a, b in spans)
            region = tuple(
                slice(min(part.start, side - 1), min(part.stop, side))
                for part, side in zip(region, source.shape, strict=True)
            )
            found = read(region)
            assert found.dtype == source.dtype
            assert np.array_equal(found, whole[region])


@pytest.fixture
def regions_of_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_SMALL_BYTES", 0)


@pytest.mark.usefixtures("regions_of_small_files")
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", ">u2", ">f4"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "rowsperstrip": 7},
        {"compression": "lzw", "tile": (16, 32)},
        {"tile": (32, 16), "bigtiff": True},
        {"compression": "zstd", "rowsperstrip": 1, "predictor": True},
    ],
    ids=["plain", "strips", "tiles", "bigtiff", "predictor"],
)
@pytest.mark.parametrize(
    ("shape", "axes"), [((70, 90), "YX"), ((70, 90, 3), "YXS"), ((3, 2, 40, 50), "TZYX")]
)
def test_regions(
    tmp_path: Path, dtype: str, options: dict, shape: tuple[int, ...], axes: str
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels(shape, dtype),
        photometric="rgb" if "S" in axes else "minisblack",
        metadata={"axes": axes},
        **options,
    )
    check_regions(tmp_path / "a.tif")


@pytest.mark.usefixtures("regions_of_small_files")
def test_regions_of_palettes_alpha_bilevel_ome_and_pyramids(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "palette.tif",
        pixels((40, 50)),
        photometric="palette",
        colormap=RNG.integers(0, 65535, (3, 256)).astype("uint16"),
    )
    check_regions(tmp_path / "palette.tif")
    check_regions(tmp_path / "palette.tif", "index")
    for count, kind in ((2, "minisblack"), (4, "rgb")):
        array = pixels((40, 50, count))
        array[..., -1] = 255
        path = tmp_path / f"alpha{count}.tif"
        options = {"photometric": kind, "extrasamples": ["unassalpha"], "planarconfig": "contig"}
        tifffile.imwrite(path, array, tile=(16, 16), **options)
        assert open_image(path).shape == ((40, 50, 3) if count == 4 else (40, 50))
        check_regions(path)
    tifffile.imwrite(tmp_path / "bilevel.tif", pixels((40, 50)) > 60)
    check_regions(tmp_path / "bilevel.tif")
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels((2, 3, 40, 50), "u2"), metadata={"axes": "ZCYX"}
    )
    check_regions(tmp_path / "a.ome.tif")
    whole = pixels((128, 160))
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as writer:
        writer.write(whole, subifds=2, tile=(32, 32))
        writer.write(whole[::2, ::2], tile=(32, 32), subfiletype=1)
        writer.write(whole[::4, ::4], tile=(32, 32), subfiletype=1)
    assert np.array_equal(open_image(tmp_path / "pyramid.tif").read(), whole)
    check_regions(tmp_path / "pyramid.tif")


@pytest.mark.usefixtures("regions_of_small_files")
def test_damage_inside_a_region_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels((64, 64)), compression="zlib", rowsperstrip=16)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].dataoffsets[2]
    data[at : at + 30] = bytes(30)
    path.write_bytes(bytes(data))
    with open_image(path).reading() as read:
        assert read((slice(0, 32), slice(0, 64))).shape == (32, 64)
        with pytest.raises(ReadError, match="damaged"):
            read((slice(30, 40), slice(0, 64)))


def test_one_high_compressed_strip_and_small_files_are_decoded_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "small.tif", pixels((64, 64)))
    assert open_image(tmp_path / "small.tif").region_opener is None
    monkeypatch.setattr(tiff, "_SMALL_BYTES", 0)
    tifffile.imwrite(
        tmp_path / "strip.tif", pixels((2100, 16)), compression="zlib", rowsperstrip=2100
    )
    source = open_image(tmp_path / "strip.tif")
    assert source.region_opener is None
    with source.reading() as read:
        assert np.array_equal(read((slice(5, 9), slice(0, 16))), source.read()[5:9])
    with pytest.raises(BudgetError), open_image(tmp_path / "strip.tif", budget_bytes=99).reading():
        pass
