from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from pixelwise.axes import NamedAxes
from pixelwise.datasets import load_dataset
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
from pixelwise.images import open_image, write_picture, write_tiff
from tests.fixtures.formats.write import pattern


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


def turned_image(tmp_path: Path, height: int, width: int, orientation: int = 6) -> PlanesHeader:
    """Header of a JPEG that was stored as (height, width) with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((height, width), np.uint8)).save(tmp_path / "i.jpg", exif=exif)
    return FileImage(tmp_path / "i.jpg").read_header()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_drawn_on_stored_pixels_is_refused_and_the_advice_works(
    tmp_path: Path, orientation: int
) -> None:
    image = turned_image(tmp_path, 20, 30, orientation)
    assert image.shape == (1, 1, 30, 20)
    mask = np.random.default_rng(0).integers(0, 9, (20, 30), np.uint8)
    write_picture(tmp_path / "m.png", mask)
    reader = FileMask(tmp_path / "m.png")
    with pytest.raises(DataError, match=f"EXIF orientation {orientation} and was turned") as caught:
        reader.require_match(image)
    follow(str(caught.value))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(mask).save(tmp_path / "r.png", exif=exif)
    assert np.array_equal(reader.read(image)[0, 0], open_image(tmp_path / "r.png").read())


def follow(message: str) -> None:
    """Do what a message says: run the line of Python in it."""
    exec(message.split('python -c "')[1].rsplit('"', 1)[0], {})


def test_a_mask_that_is_turned_alone_is_refused_and_the_advice_works(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = np.random.default_rng(0).integers(0, 9, (20, 30), np.uint8)
    Image.fromarray(mask).save(tmp_path / "m.png", exif=exif)
    reader = FileMask(tmp_path / "m.png")
    with pytest.raises(DataError, match="The mask has EXIF orientation 6") as caught:
        reader.require_match(header(1, 1, 20, 30))
    follow(str(caught.value))
    assert np.array_equal(reader.read(header(1, 1, 20, 30))[0, 0], mask)


@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_a_mask_of_an_image_that_was_turned_is_taken_as_upright(
    tmp_path: Path, orientation: int
) -> None:
    image = turned_image(tmp_path, 20, 20, orientation)
    write_picture(tmp_path / "m.png", np.zeros((20, 20), np.uint8))
    (facts,) = FileMask(tmp_path / "m.png").require_match(image)
    (note,) = facts.notes
    assert f"EXIF orientation {orientation}" in note
    assert "fit the upright image" in note


def test_a_mask_with_the_orientation_of_its_image_is_turned_with_it(tmp_path: Path) -> None:
    image = turned_image(tmp_path, 20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = np.random.default_rng(0).integers(0, 9, (20, 30), np.uint8)
    Image.fromarray(mask).save(tmp_path / "m.png", exif=exif)
    (facts,) = FileMask(tmp_path / "m.png").require_match(image)
    assert facts.notes == ("turned upright (EXIF orientation 6)",)
    assert np.array_equal(FileMask(tmp_path / "m.png").read(image)[0, 0], np.rot90(mask, -1))


def test_another_size_is_not_blamed_on_the_orientation(tmp_path: Path) -> None:
    image = turned_image(tmp_path, 20, 30)
    write_picture(tmp_path / "m.png", np.zeros((20, 31), np.uint8))
    with pytest.raises(DataError, match="Is it the mask of another image"):
        FileMask(tmp_path / "m.png").require_match(image)


def test_the_largest_series_is_the_mask_and_two_of_one_size_are_refused(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 9, (20, 30), np.uint8)
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        writer.write(mask[::2, ::2])
        writer.write(mask)
    reader = FileMask(tmp_path / "m.tif")
    (facts,) = reader.require_match(header(1, 1, 20, 30))
    assert "holds 2 series, the largest" in facts.notes[0]
    assert np.array_equal(reader.read(header(1, 1, 20, 30))[0, 0], mask)
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        writer.write(mask)
        writer.write(mask.astype("u2"))
    with pytest.raises(DataError, match="Which one is the mask"):
        reader.require_match(header(1, 1, 20, 30))


@pytest.mark.parametrize("shape", [(20, 30, 1), (1, 20, 30), (1, 1, 20, 30), (1, 1, 1, 1, 20, 30)])
def test_masks_with_axes_of_one_pixel(tmp_path: Path, shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).integers(0, 9, (20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", mask.reshape(shape), photometric="minisblack")
    raw = FileMask(tmp_path / "m.tif").read(header(1, 1, 20, 30))
    assert np.array_equal(raw[0, 0], mask)


def test_a_mask_of_two_channels_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((20, 30, 2), np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=r"does not name its axes.*expected YX"):
        FileMask(tmp_path / "m.tif").require_match(header(1, 1, 20, 30))


@pytest.mark.parametrize("shape", [(96, 20, 12), (20, 30, 2)])
def test_a_mask_takes_the_axes_of_its_image_where_a_guess_would_be_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.zeros(shape, np.uint8), photometric="minisblack")
    axes = "TYX" if shape[0] == 96 else "YXZ"
    sizes = dict(zip(axes, shape, strict=True))
    planes = sizes.get("T", 1) * sizes.get("Z", 1)
    image = header(planes, 1, sizes["Y"], sizes["X"], axes=axes)
    assert FileMask(tmp_path / "m.tif").read(image).shape == image.shape


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["black first", "white first"])
def test_merged_masks_with_palettes(tmp_path: Path, order: tuple[int, int]) -> None:
    picture = Image.fromarray(np.array([[order[0], order[1], order[0]]], np.uint8), "P")
    picture.putpalette([value for i in np.argsort(order) for value in [255 * int(i)] * 3])
    picture.save(tmp_path / "a.png")
    assert MergedMask(tmp_path, (tmp_path / "a.png",)).read(header(1, 1, 1, 3)).tolist() == [
        [[[0, 1, 0]]]
    ]


@pytest.mark.parametrize("color", [0, 255])
def test_merged_masks_in_alpha(tmp_path: Path, color: int) -> None:
    pixels = np.full((1, 3, 4), color, np.uint8)
    pixels[..., 3] = [0, 255, 0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert MergedMask(tmp_path, (tmp_path / "a.png",)).read(header(1, 1, 1, 3)).tolist() == [
        [[[0, 1, 0]]]
    ]


def test_what_headers_note_of_images_and_masks_is_in_the_notes_of_the_data_set(
    tmp_path: Path,
) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    mask = np.zeros((20, 30), np.uint8)
    mask[3:9, 4:20] = 1
    for i in range(3):
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(mask).save(tmp_path / "images" / f"{i}.jpg", exif=exif)
        with tifffile.TiffWriter(tmp_path / "masks" / f"{i}.tif") as writer:
            writer.write(mask[::2, ::2])
            writer.write(255 - mask, photometric="miniswhite")
    data = load_dataset(tmp_path)
    assert np.array_equal(data.samples[0].read_mask()[0], mask)
    notes = [str(problem) for problem in data.problems]
    for note in (
        "jpg: turned upright",
        "assumed to fit the upright",
        "the largest was read",
        "inverted",
    ):
        (found,) = [text for text in notes if note in text]
        assert found.startswith("3 files, e.g.")


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
    with pytest.raises(ReadError, match=r"truncated.*again"):
        mask.read(header(1, 3, 4, 5))
    (tmp_path / "s.raw").unlink()
    with pytest.raises(ReadError, match="Cannot read patches"):
        mask.read(header(1, 3, 4, 5))
    with pytest.raises(DataError, match="4 x 5 pixels, its image has 9 x 9"):
        mask.require_match(header(1, 3, 9, 9))


def test_masks_that_point_elsewhere_than_their_images_are_refused(tmp_path: Path) -> None:
    pixels = pattern((7, 9, 4), 2)
    for name, affine in (("a.nii.gz", np.diag([-1, 1, 1, 1])), ("m.nii.gz", np.eye(4))):
        stored = pixels[::-1] if name == "m.nii.gz" else pixels  # the same place in the world
        nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / name)
    image, mask = FileImage(tmp_path / "a.nii.gz"), FileMask(tmp_path / "m.nii.gz")
    with pytest.raises(DataError, match=r"m\.nii\.gz point to RAS, .* LAS.*canonical") as caught:
        mask.require_match(image.read_header())
    remedy = str(caught.value).partition("in Python: ")[2]
    for path in (image.path, mask.path):
        told = remedy.replace("old.nii.gz", str(path)).replace("new", str(tmp_path / "new"))
        exec(told, {"nibabel": nibabel})
        (tmp_path / "new.nii.gz").replace(path)
    assert np.array_equal(mask.read(image.read_header()), image.read()[0])
