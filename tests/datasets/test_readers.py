from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.axes import NamedAxes
from pixelwise.datasets.readers import (
    FileImage,
    FileMask,
    MergedMask,
    PlanesHeader,
    PolygonMask,
    StackedImage,
    StackedMask,
    StackedPatch,
)
from pixelwise.errors import DataError, ReadError
from pixelwise.images import write_picture, write_tiff


def header(*shape: int, axes: str = "YX") -> PlanesHeader:
    return PlanesHeader((*shape,), "uint8", NamedAxes(axes, "test"))  # type: ignore[arg-type]


def test_image_planes(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
    write_tiff(tmp_path / "a.tif", array, axes="CZYX")
    reader = FileImage(tmp_path / "a.tif")
    assert reader.read_header().shape == (3, 2, 4, 5)
    planes, notes = reader.read()
    assert np.array_equal(planes, array.transpose(1, 0, 2, 3))
    assert notes == ()
    assert FileImage(tmp_path / "a.tif", axes="ZCYX").read_header().shape == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("mask", "mask_axes", "image"),
    [
        ((4, 5), "YX", header(1, 3, 4, 5, axes="YXC")),
        ((4, 5, 3), "YXC", header(1, 1, 4, 5)),
        ((6, 4, 5), "ZYX", header(6, 1, 4, 5, axes="ZYX")),
        ((6, 4, 5), "ZYX", header(6, 2, 4, 5, axes="CZYX")),
        ((1, 4, 5), "ZYX", header(1, 1, 4, 5)),
    ],
    ids=["plain", "colours", "stack", "stack-of-channels", "one-plane"],
)
def test_masks_that_fit(
    tmp_path: Path, mask: tuple[int, ...], mask_axes: str, image: PlanesHeader
) -> None:
    array = np.arange(np.prod(mask)).reshape(mask).astype(np.uint8)
    write_tiff(tmp_path / "m.tif", array, axes=mask_axes)
    reader = FileMask(tmp_path / "m.tif")
    reader.require_match(image)
    raw = reader.read(image)
    assert (raw.shape[0], *raw.shape[2:]) == (image.shape[0], *image.shape[2:])
    assert np.array_equal(np.sort(raw.ravel()), np.sort(array.ravel()))


def test_a_time_series_mask_takes_the_axes_of_its_image(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "m.tif", np.zeros((6, 4, 5), np.uint8), photometric="minisblack")
    assert FileMask(tmp_path / "m.tif").read(header(6, 1, 4, 5, axes="TYX")).shape == (6, 1, 4, 5)


@pytest.mark.parametrize(
    ("mask", "axes", "message"),
    [
        ((5, 4), "YX", r"has 5 x 4 pixels, its image has 4 x 5 pixels"),
        ((6, 4, 5), "ZYX", r"has 6 planes of 4 x 5 pixels, its image has 4 x 5"),
        ((4, 5, 2), "YXC", r"has 2 channels \(read as YXC"),
    ],
    ids=["size", "planes", "channels"],
)
def test_masks_of_another_shape(
    tmp_path: Path, mask: tuple[int, ...], axes: str, message: str
) -> None:
    write_tiff(tmp_path / "m.tif", np.zeros(mask, np.uint8), axes=axes)
    for call in (FileMask.require_match, FileMask.read):
        with pytest.raises(DataError, match=message):
            call(FileMask(tmp_path / "m.tif"), header(1, 1, 4, 5))


def test_a_palette_mask_gives_indices(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putdata([0, 3])
    picture.putpalette([9, 9, 9] * 4)
    picture.save(tmp_path / "m.png")
    assert FileMask(tmp_path / "m.png").read(header(1, 1, 1, 2)).tolist() == [[[[0, 3]]]]


def test_merged_masks(tmp_path: Path) -> None:
    for name, x in (("a", 0), ("b", 1), ("c", 1)):
        pixels = np.zeros((2, 3), np.uint8)
        pixels[0, x] = 255
        write_picture(tmp_path / f"{name}.png", pixels)
    write_picture(
        tmp_path / "d.png", np.array([[[0] * 3] * 3, [[0, 9, 0], [0] * 3, [0] * 3]], "u1")
    )
    reader = MergedMask(tmp_path, tuple(sorted(tmp_path.iterdir())))
    image = header(1, 3, 2, 3)
    reader.require_match(image)
    assert reader.read(image).tolist() == [[[[1, 1, 0], [1, 0, 0]]]]
    with pytest.raises(DataError, match=r"a\.png has 2 x 3 pixels"):
        reader.require_match(header(1, 3, 4, 4))


def test_one_merged_mask_of_another_size(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((2, 3), np.uint8))
    write_picture(tmp_path / "b.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(DataError, match=r"b\.png has 3 x 3 pixels"):
        MergedMask(tmp_path, tuple(sorted(tmp_path.iterdir()))).read(header(1, 3, 2, 3))


def test_missing_polygons(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"a\.xml is missing"):
        PolygonMask(tmp_path / "a.xml").require_match(header(1, 3, 4, 4))


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_stacked_patches(tmp_path: Path, dtype: str) -> None:
    stack = np.arange(3 * 4 * 5 * 2, dtype=dtype).reshape(3, 4, 5, 2)
    (tmp_path / "s.raw").write_bytes(b"head" + stack.tobytes())
    patch = StackedPatch(tmp_path / "s.raw", 4 + stack[0].nbytes, (4, 5, 2), "YXC", dtype)
    image = StackedImage(patch)
    assert image.read_header().shape == (1, 2, 4, 5)
    assert image.read_header().dtype == "uint16"
    planes, notes = image.read()
    assert planes.dtype.isnative
    assert np.array_equal(planes[0], np.moveaxis(stack[1], -1, 0))
    assert notes == ()
    assert image.path == tmp_path / "s.raw"


def test_stacked_patches_that_are_cut_off_or_gone(tmp_path: Path) -> None:
    (tmp_path / "s.raw").write_bytes(bytes(10))
    patch = StackedPatch(tmp_path / "s.raw", 4, (4, 5), "YX", "u1")
    mask = StackedMask(patch)
    mask.require_match(header(1, 3, 4, 5))
    with pytest.raises(ReadError, match=r"cut off.*again"):
        mask.read(header(1, 3, 4, 5))
    (tmp_path / "s.raw").unlink()
    with pytest.raises(ReadError, match="Cannot read patches"):
        mask.read(header(1, 3, 4, 5))
    with pytest.raises(DataError, match="4 x 5 pixels, its image has 9 x 9"):
        mask.require_match(header(1, 3, 9, 9))
