from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from tifffile import TiffWriter

from pixelwise.errors import AxesError, ReadError
from pixelwise.images import open_image, tiff
from pixelwise.images.tiff_series import name_axes, stay_in_file

RNG = np.random.default_rng(13)
WHOLE = RNG.integers(0, 250, (60, 80), np.uint8)
SMALL = {"photometric": "minisblack"}


def check(path: Path, expected: np.ndarray, **options: Any) -> tuple[str, ...]:
    """Whole and regions are the pixels expected; gives the notes of the header."""
    source = open_image(path, **options)
    assert np.array_equal(source.read(), expected)
    assert source.shape == expected.shape
    half = tuple(slice(n // 3, n // 3 + n // 2 + 1) for n in expected.shape)
    assert np.array_equal(source.read_region(half), expected[half])
    return source.notes


@pytest.fixture(autouse=True)
def regions_of_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_SMALL_BYTES", 0)


@pytest.mark.parametrize("first", [True, False], ids=["preview first", "preview last"])
@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("metadata", [{}, None], ids=["shaped", "bare"])
def test_the_largest_series_is_read_and_the_other_named(
    tmp_path: Path, first: bool, planes: int, metadata: Any
) -> None:
    stack = np.stack([WHOLE] * planes) if planes > 1 else WHOLE
    parts = [WHOLE[::4, ::4], stack] if first else [stack, WHOLE[::4, ::4]]
    with TiffWriter(tmp_path / "a.tif") as writer:
        for part in parts:
            writer.write(part, metadata=metadata, **SMALL)
    notes = check(tmp_path / "a.tif", stack)
    is_pyramid = (first, planes, metadata) == (False, 1, None)
    note = "holds 2 series, the largest was read; left out: series 15 x 20"
    assert notes == (() if is_pyramid else (note,))


def test_a_preview_in_colour_is_not_larger_for_its_samples(tmp_path: Path) -> None:
    preview = np.stack([WHOLE[:40, :50]] * 3, -1)
    with TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(preview, photometric="rgb")
        writer.write(WHOLE)
    check(tmp_path / "a.tif", WHOLE)


def test_pages_marked_as_reduced_or_mask_are_never_chosen(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.zeros((5, 50, 70), np.uint8), subfiletype=1, metadata=None, **SMALL)
        writer.write(WHOLE, metadata=None)
        writer.write(np.ones((60, 80), bool), subfiletype=4, metadata=None)
    assert "holds 3 series" in check(tmp_path / "a.tif", WHOLE)[0]


def test_levels_of_a_pyramid_in_pages_of_their_own(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif") as writer:
        for step in (1, 2, 4):
            writer.write(WHOLE[::step, ::step], tile=(16, 16), metadata=None, subfiletype=step > 1)
    assert check(tmp_path / "a.tif", WHOLE) == ()


def test_a_thumbnail_in_a_subifd_is_not_read(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(WHOLE, subifds=1, metadata=None)
        writer.write(WHOLE[::4, ::4], subfiletype=1, metadata=None)
    check(tmp_path / "a.tif", WHOLE)


def test_a_slide_of_aperio(tmp_path: Path) -> None:
    """Baseline, thumbnail, level, label, macro: pages in the order of SVS."""
    slide = RNG.integers(0, 250, (96, 128, 3), np.uint8)
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    with TiffWriter(tmp_path / "a.svs.tif") as writer:
        text = "Aperio Image Library v11.2.1\n96x128"
        writer.write(slide, tile=(16, 16), description=text, **options)
        writer.write(slide[::8, ::8], **options)
        writer.write(slide[::4, ::4], tile=(16, 16), **options)
        writer.write(slide[:20, :20], description="label", subfiletype=1, **options)
        writer.write(slide[:30, :60], description="macro", subfiletype=9, **options)
    note = check(tmp_path / "a.svs.tif", slide)[0]
    assert all(name in note for name in ("Thumbnail", "Label", "Macro"))


def test_the_pixel_size_is_that_of_the_series_that_is_read(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.ome.tif") as writer:
        for step, size in ((4, 9.0), (1, 0.5)):
            metadata = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size}
            writer.write(WHOLE[::step, ::step], metadata=metadata)
    check(tmp_path / "a.ome.tif", WHOLE)
    calibration = open_image(tmp_path / "a.ome.tif").calibration
    assert calibration is not None
    assert calibration.scale == (0.5, 0.5)


def test_sets_that_tifffile_would_gather_are_read_file_by_file() -> None:
    """Micro-Manager's files name no other file: tifffile looks for them in the folder."""
    names = ("Frames", "Slices", "Channels")
    for planes, expected in ((3, False), (6, True)):
        summary = dict(zip(names, (3, 2, 1), strict=True))
        metadata = {"Summary": summary, "IndexMap": np.zeros((planes, 5))}
        file = SimpleNamespace(is_ndtiff=True, is_mmstack=True, micromanager_metadata=metadata)
        stay_in_file(file)
        assert (file.is_ndtiff, file.is_mmstack) == (False, expected)


def test_series_of_one_size_are_ambiguous(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(WHOLE)
        writer.write(WHOLE.astype("u2"))
    (note,) = check(tmp_path / "a.tif", WHOLE)
    assert note.startswith("holds 2 series, the first of the largest was read")
    assert open_image(tmp_path / "a.tif").header.ambiguous == note


def describe_set(names: list[str], ids: list[str], own: int, sizes: dict[str, int]) -> str:
    """OME-XML of one file of a set with one time point in each, and its Z and C within."""
    planes = sizes["Z"] * sizes["C"]
    data = "".join(
        f'<TiffData FirstC="0" FirstZ="0" FirstT="{t}" IFD="0" PlaneCount="{planes}">'
        f'<UUID FileName="{name}">urn:uuid:{ids[t]}</UUID></TiffData>'
        for t, name in enumerate(names)
    )
    channels = "".join(
        f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1"/>' for i in range(sizes["C"])
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="urn:uuid:{ids[own]}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYZCT" Type="uint8" SizeX="80" SizeY="60" SizeZ="{sizes["Z"]}" '
        f'SizeC="{sizes["C"]}" SizeT="{len(names)}" PhysicalSizeX="0.5" PhysicalSizeY="0.25">'
        f"{channels}{data}</Pixels></Image></OME>"
    )


def write_set(folder: Path, count: int, *, sizes: dict[str, int]) -> list[np.ndarray]:
    names = [f"t{i}.ome.tif" for i in range(count)]
    ids = [str(uuid.UUID(int=i)) for i in range(count)]
    stacks = []
    for i, name in enumerate(names):
        stack = np.stack([WHOLE + i + k for k in range(sizes["Z"] * sizes["C"])])
        with TiffWriter(folder / name) as writer:
            for number, plane in enumerate(stack):
                text = describe_set(names, ids, i, sizes) if number == 0 else None
                writer.write(plane, description=text, metadata=None, **SMALL)
        stacks.append(stack)
    return stacks


@pytest.mark.parametrize("alone", [False, True])
def test_each_file_of_a_set_is_its_own_plane(tmp_path: Path, alone: bool) -> None:
    (tmp_path / "set").mkdir()
    stacks = write_set(tmp_path / "set", 4, sizes={"Z": 1, "C": 1})
    for i, stack in enumerate(stacks):
        path = tmp_path / "set" / f"t{i}.ome.tif"
        if alone:
            path = Path(shutil.move(path, tmp_path / path.name))
        (note,) = check(path, stack[0])
        assert note.startswith("is one of 4 files of a set of 4 planes")
        assert open_image(path).calibration is not None


@pytest.mark.parametrize(
    ("sizes", "axes"), [({"Z": 3, "C": 1}, "ZYX"), ({"Z": 3, "C": 2}, "CZYX")], ids=["Z", "ZC"]
)
def test_a_file_of_a_set_keeps_the_axes_of_its_planes(
    tmp_path: Path, sizes: dict[str, int], axes: str
) -> None:
    stacks = write_set(tmp_path, 2, sizes=sizes)
    shape = (2, 3, 60, 80) if sizes["C"] > 1 else (3, 60, 80)
    check(tmp_path / "t1.ome.tif", stacks[1].reshape(shape))
    assert str(open_image(tmp_path / "t1.ome.tif").axes) == f"read as {axes} (OME metadata)"


@pytest.mark.parametrize("known", ["UUID", "name"])
def test_a_file_of_a_set_knows_its_planes_by_uuid_or_name(tmp_path: Path, known: str) -> None:
    stacks = write_set(tmp_path, 2, sizes={"Z": 3, "C": 2})
    path = tmp_path / "t1.ome.tif"
    if known == "UUID":
        path = path.rename(tmp_path / "renamed.tif")
    else:
        own = f' UUID="urn:uuid:{uuid.UUID(int=1)}"'.encode()
        data = path.read_bytes()
        assert data.count(own) == 1
        path.write_bytes(data.replace(own, b" " * len(own)))
    check(path, stacks[1].reshape(2, 3, 60, 80))
    assert "OME metadata" in str(open_image(path).axes)


def test_a_reference_out_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    tifffile.imwrite(tmp_path / "secret" / "x.tif", 255 - WHOLE)
    ids = [str(uuid.UUID(int=i)) for i in range(2)]
    text = describe_set(["a.ome.tif", "secret/x.tif"], ids, 0, {"Z": 1, "C": 1})
    tifffile.imwrite(tmp_path / "a.ome.tif", WHOLE, description=text, metadata=None)
    check(tmp_path / "a.ome.tif", WHOLE)


def test_metadata_in_a_companion_file(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME '
        'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:1"/></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", WHOLE, description=text, metadata=None)
    assert "set.companion.ome, which is not read" in check(tmp_path / "a.ome.tif", WHOLE)[0]


def test_a_single_ome_tiff_that_was_given_another_name(tmp_path: Path) -> None:
    stack = np.stack([WHOLE, WHOLE + 1])
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "CYX"}, **SMALL)
    (tmp_path / "a.ome.tif").rename(tmp_path / "b.tif")
    assert check(tmp_path / "b.tif", stack) == ()
    assert open_image(tmp_path / "b.tif").axes.names == "CYX"


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((60, 80, 1), "YXC"),
        ((1, 60, 80), "ZYX"),
        ((1, 1, 60, 80), "ZCYX"),
        ((1, 60, 80, 1), "ZYXC"),
        ((60, 1, 80), "YCX"),
        ((1, 1, 1, 60, 80), "TZCYX"),
    ],
)
def test_axes_of_one_pixel(tmp_path: Path, shape: tuple[int, ...], axes: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", WHOLE.reshape(shape), **SMALL)
    check(tmp_path / "a.tif", WHOLE.reshape(shape))
    assert open_image(tmp_path / "a.tif").axes.names == axes
    check(tmp_path / "a.tif", WHOLE, axes="YX")
    check(tmp_path / "a.tif", WHOLE.reshape(shape), axes=axes)


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((1, 1, 1, 1, 60, 80), (1, 1, 1, 60, 80)),
        ((1, 2, 1, 3, 60, 80), (2, 1, 3, 60, 80)),
        ((1, 1, 1, 1, 1, 60, 80), (1, 1, 1, 60, 80)),
    ],
)
def test_more_than_five_axes_of_which_some_are_one(
    tmp_path: Path, shape: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    array = RNG.integers(0, 250, shape, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, **SMALL)
    check(tmp_path / "a.tif", array.reshape(kept))


@pytest.mark.parametrize(
    ("shape", "fit"),
    [
        ((60, 80, 2), "YXC"),
        ((96, 96, 8), "YXC"),
        ((60, 2, 80), "YCX"),
        ((60, 80, 5, 2), "YXZC"),
        ((100, 40, 30), "ZYX"),
    ],
)
def test_shapes_that_can_be_read_in_several_ways_ask(
    tmp_path: Path, shape: tuple[int, ...], fit: str
) -> None:
    array = RNG.integers(0, 250, shape, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, **SMALL)
    with pytest.raises(AxesError, match=rf"a\.tif: Nothing names the axes.*--axes {fit}\b"):
        open_image(tmp_path / "a.tif")
    check(tmp_path / "a.tif", array, axes=fit)
    check(tmp_path / "a.tif", array, fallback_axes=fit)
    tifffile.imwrite(tmp_path / "b.tif", array, metadata={"axes": "TZCYX"[-len(shape) :]}, **SMALL)
    check(tmp_path / "b.tif", array)


def test_thousands_of_planes_ask(tmp_path: Path) -> None:
    array = np.zeros((2000, 4, 8), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, metadata=None, **SMALL)
    with pytest.raises(AxesError, match=r"2000 planes of 4 x 8 pixels.*--axes ZYX"):
        open_image(tmp_path / "a.tif")


def test_colour_samples_beside_channels_are_refused_unless_named(tmp_path: Path) -> None:
    axes = name_axes("CYXS", (2, 9, 8, 3), kind="ome")
    with pytest.raises(AxesError, match="save it with one channel axis"):
        axes.require()


def test_a_shape_of_a_million_axes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    shape = ", ".join(["7"] * 10**6)
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), description=f'{{"shape": [{shape}]}}')
    with pytest.raises(ReadError, match="more axes than an image has"):
        open_image(path)
