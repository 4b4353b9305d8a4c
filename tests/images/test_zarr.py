from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import LocalStore

from pixelwise.errors import AxesError, BudgetError, DataError, ReadError
from pixelwise.images import iter_image_files, open_image
from pixelwise.images.budget import VARIABLE

RNG = np.random.default_rng(5)
STACK = RNG.integers(0, 60_000, (3, 40, 50)).astype(np.uint16)
SCALES = [{"type": "scale", "scale": [2.0, 0.5, 0.25]}]


def write_array(path: Path, array: np.ndarray, **options: Any) -> zarr.Array:
    """A Zarr array with chunks of 16 px."""
    options = {"chunks": tuple(min(16, n) for n in array.shape), **options}
    stored = zarr.create_array(path, shape=array.shape, dtype=array.dtype, **options)
    stored[...] = array
    return stored


def write_image(path: Path, array: np.ndarray, *, version: str = "0.5", **changes: Any) -> Path:
    """An OME-Zarr image ZYX of two levels in micrometres, without this project's writer."""
    zarr_format = 3 if version == "0.5" else 2
    axes = [{"name": x, "type": "space", "unit": "micrometer"} for x in "zyx"]
    levels = [{"path": str(i), "coordinateTransformations": SCALES} for i in range(2)]
    image = {"axes": axes, "datasets": levels, "version": version, **changes}
    ome = {"multiscales": [image]}
    attributes = {"ome": {"version": version, **ome}} if version == "0.5" else ome
    zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)
    for level in range(2):
        part = array[..., :: 2**level, :: 2**level]
        write_array(path / str(level), part, zarr_format=zarr_format)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_largest_level_of_an_ome_zarr(tmp_path: Path, version: str) -> None:
    source = open_image(write_image(tmp_path / "a.zarr", STACK, version=version))
    assert str(source.axes) == f"read as ZYX (OME-Zarr {version} metadata)"
    assert (source.shape, source.dtype) == (STACK.shape, np.uint16)
    assert np.array_equal(source.read(), STACK)
    calibration = source.calibration
    assert calibration is not None
    assert calibration.scale == (2, 0.5, 0.25)
    assert calibration.units == ("micrometer",) * 3
    assert calibration.pixel_size_um("ZYX") == (0.5, 0.25)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "f4", "?"])
def test_plain_arrays(tmp_path: Path, zarr_format: Any, dtype: str) -> None:
    array = (STACK % 200).astype(dtype)
    write_array(tmp_path / "a", array, zarr_format=zarr_format)
    source = open_image(tmp_path / "a")
    assert str(source.axes) == "read as ZYX (guessed from the shape)"
    expected = np.dtype("u1" if dtype == "?" else dtype).newbyteorder("=")
    assert source.dtype == source.read().dtype == expected
    assert np.array_equal(source.read(), array)


def test_dimension_names_are_axes(tmp_path: Path) -> None:
    write_array(tmp_path / "a.zarr", STACK, dimension_names=["c", "y", "x"])
    assert open_image(tmp_path / "a.zarr").axes.names == "CYX"
    xarrays = {"_ARRAY_DIMENSIONS": ["t", "y", "x"]}
    write_array(tmp_path / "b.zarr", STACK, zarr_format=2, attributes=xarrays)
    assert open_image(tmp_path / "b.zarr").axes.names == "TYX"
    assert open_image(tmp_path / "b.zarr", axes="ZYX").axes.names == "ZYX"


@given(
    axes=st.permutations("TZCYX").flatmap(
        lambda letters: st.integers(0, 3).map(
            lambda n: "".join(x for x in letters if x in "YX" or x in letters[:n])
        )
    ),
    data=st.data(),
)
def test_every_region_in_every_order_of_axes(
    tmp_path_factory: pytest.TempPathFactory, axes: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("source") / "a.zarr"
    shape = tuple({"T": 2, "Z": 3, "C": 2, "Y": 21, "X": 18}[letter] for letter in axes)
    array = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    write_array(path, array, dimension_names=[letter.lower() for letter in axes])
    source = open_image(path)
    assert source.axes.names == axes
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    region = tuple(
        slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True)
    )
    assert np.array_equal(source.read_region(region), array[region])


@pytest.mark.parametrize("options", [{}, {"shards": (1, 32, 32)}], ids=["chunks", "shards"])
def test_a_region_reads_its_chunks_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    write_array(tmp_path / "a.zarr", STACK, chunks=(1, 16, 16), **options)
    source, read = open_image(tmp_path / "a.zarr"), []
    get = LocalStore.get

    async def count(self: LocalStore, key: str, *args: Any, **named: Any) -> Any:
        read.append(key)
        return await get(self, key, *args, **named)

    monkeypatch.setattr(LocalStore, "get", count)
    found = source.read_region((slice(1, 2), slice(17, 30), slice(3, 20)))
    assert np.array_equal(found, STACK[1:2, 17:30, 3:20])
    chunks = {key for key in read if key.startswith("c/")}
    assert chunks == ({"c/1/1/0", "c/1/1/1"} if not options else {"c/1/0/0"})


def test_the_budget_counts_what_is_read(tmp_path: Path) -> None:
    write_array(tmp_path / "a.zarr", STACK)
    source = open_image(tmp_path / "a.zarr", budget_bytes=5000)
    assert source.read_region((slice(0, 1), slice(0, 40), slice(0, 50))).shape == (1, 40, 50)
    with pytest.raises(BudgetError, match="3 x 40 x 50"):
        source.read()


def test_a_chunk_without_a_file_is_the_fill_value(tmp_path: Path) -> None:
    write_array(tmp_path / "a.zarr", STACK, fill_value=7)
    (tmp_path / "a.zarr" / "c" / "0" / "1" / "1").unlink()
    pixels = open_image(tmp_path / "a.zarr").read()
    assert (pixels[:, 16:32, 16:32] == 7).all()
    assert np.array_equal(pixels[:, :16], STACK[:, :16])


@pytest.mark.parametrize(
    "options",
    [
        {"zarr_format": 2},
        {"zarr_format": 3},
        {"zarr_format": 3, "shards": (3, 32, 32)},
        {"zarr_format": 3, "compressors": None},
        {"zarr_format": 2, "compressors": {"id": "zlib"}},
    ],
    ids=["v2", "v3", "shards", "raw", "zlib"],
)
@pytest.mark.parametrize("damage", ["cut", "garbage"])
def test_a_damaged_chunk_is_named(tmp_path: Path, options: dict[str, Any], damage: str) -> None:
    write_array(tmp_path / "a.zarr", STACK, chunks=(3, 16, 16), **options)
    chunk = tmp_path / "a.zarr" / ("0.1.1" if options["zarr_format"] == 2 else "c/0/1/1")
    content = chunk.read_bytes()
    chunk.write_bytes(content[: len(content) // 2] if damage == "cut" else b"garbage")
    source = open_image(tmp_path / "a.zarr")
    with pytest.raises(ReadError, match=r"damaged") as caught:
        source.read()
    assert str(chunk) in str(caught.value)
    assert np.array_equal(
        source.read_region((slice(0, 3), slice(0, 16), slice(0, 16))), STACK[:, :16, :16]
    )


def test_a_chunk_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_array(tmp_path / "a.zarr", STACK)
    chunk = next(path for path in sorted((tmp_path / "a.zarr" / "c").rglob("*")) if path.is_file())
    with chunk.open("r+b") as file:
        file.truncate(1 << 40)
    monkeypatch.setenv(VARIABLE, "1GB")
    with pytest.raises(BudgetError, match=re.escape(str(chunk))):
        open_image(tmp_path / "a.zarr").read()


def test_a_damaged_chunk_of_an_image_is_named(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", STACK)
    (path / "0" / "c" / "0" / "2" / "3").write_bytes(b"x")
    with pytest.raises(ReadError, match=r"a\.zarr/0/c/0/2/3"):
        open_image(path).read()


def create_group(path: Path, attributes: dict[str, Any]) -> None:
    zarr.create_group(path, attributes=attributes)


@pytest.mark.parametrize(
    ("ome", "message"),
    [
        ({"labels": ["nuclei", "cells"]}, r"group of labels.*a\.zarr/nuclei, .*a\.zarr/cells\."),
        ({"plate": {"wells": [{"path": "A/1"}]}}, r"plate.*a\.zarr/A/1/0"),
        ({"well": {"images": [{"path": "0"}]}}, r"well.*a\.zarr/0"),
        ({"labels": [f"l{i}" for i in range(9)]}, r"l4 \(and 4 more\)"),
        ({}, "empty Zarr group: point at"),
    ],
    ids=["labels", "plate", "well", "many", "empty"],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_group_that_is_no_image_says_what_to_point_at(
    tmp_path: Path, ome: dict[str, Any], message: str, version: str
) -> None:
    create_group(tmp_path / "a.zarr", {"ome": ome} if version == "0.5" else ome)
    with pytest.raises(DataError, match=message):
        open_image(tmp_path / "a.zarr")


def test_a_group_of_plain_arrays(tmp_path: Path) -> None:
    create_group(tmp_path / "a.zarr", {})
    write_array(tmp_path / "a.zarr" / "raw", STACK)
    with pytest.raises(DataError, match=r"without the metadata of an image.*a\.zarr/raw"):
        open_image(tmp_path / "a.zarr")
    assert open_image(tmp_path / "a.zarr" / "raw").shape == STACK.shape


@pytest.mark.parametrize(
    "changes",
    [
        {"datasets": []},
        {"datasets": [{}]},
        {"axes": [1]},
        {"datasets": [{"path": "5"}]},
        {"datasets": [{"path": "0", "coordinateTransformations": [{}]}]},
    ],
    ids=["no levels", "no path", "bad axes", "missing level", "bad transform"],
)
def test_damaged_metadata(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ReadError, match=r"a\.zarr"):
        open_image(write_image(tmp_path / "a.zarr", STACK, **changes))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("value", [-1, 10**30, "x", [], 1e400], ids=repr)
def test_a_fill_value_that_is_none_of_the_dtype(
    tmp_path: Path, zarr_format: Any, value: object
) -> None:
    write_array(tmp_path / "a.zarr", STACK, zarr_format=zarr_format)
    path = tmp_path / "a.zarr" / ("zarr.json" if zarr_format == 3 else ".zarray")
    path.write_text(json.dumps({**json.loads(path.read_text()), "fill_value": value}))
    with pytest.raises(ReadError, match=r"a\.zarr"):  # zarr: OverflowError and others
        open_image(tmp_path / "a.zarr").read()


def test_metadata_that_are_no_json_or_missing(tmp_path: Path) -> None:
    write_array(tmp_path / "a.zarr", STACK)
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    with pytest.raises(ReadError, match=r"Cannot read the metadata of .*a\.zarr"):
        open_image(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "zarr.json").unlink()
    with pytest.raises(ReadError, match=r"is not a Zarr: expected zarr\.json"):
        open_image(tmp_path / "a.zarr")


def test_axes_that_nobody_knows_are_guessed_and_said(tmp_path: Path) -> None:
    axes = [{"name": name} for name in ("angle", "y", "x")]
    source = open_image(write_image(tmp_path / "a.zarr", STACK, axes=axes))
    assert str(source.axes) == "read as ZYX (guessed: the metadata call them angle, y, x)"


SYSTEM = [{"name": x, "type": "space", "unit": "micrometer"} for x in "zyx"]
STEPS = [
    {"type": "scale", "scale": [2.0, 0.5, 0.25]},
    {"type": "translation", "translation": [1, 2, 3]},
]


def write_image_06(path: Path, transformation: dict[str, Any], **changes: Any) -> Path:
    """An OME-Zarr image of version 0.6, with axes in coordinate systems, as ngff-zarr writes it."""
    systems = [
        {"name": "anatomical", "axes": [{"name": x, "type": "space"} for x in "xyz"]},
        {"name": "intrinsic", "axes": SYSTEM},
    ]
    levels = [{"path": str(i), "coordinateTransformations": [transformation]} for i in range(2)]
    image = {"coordinateSystems": systems, "datasets": levels, **changes}
    ome = {"version": "0.6", "multiscales": [image]}
    zarr.create_group(path, zarr_format=3, attributes={"ome": ome})
    for level in range(2):
        write_array(path / str(level), STACK[..., :: 2**level, :: 2**level])
    return path


@pytest.mark.parametrize(
    "ends",
    [
        {"input": "0", "output": "intrinsic"},
        {"input": {"path": "0"}, "output": {"name": "intrinsic"}},
    ],
    ids=["names", "objects"],
)
@pytest.mark.parametrize("nested", [False, True], ids=["sequence", "nested sequence"])
def test_coordinate_systems_of_version_0_6(
    tmp_path: Path, ends: dict[str, Any], nested: bool
) -> None:
    steps = [{"type": "sequence", "transformations": STEPS}] if nested else STEPS
    sequence = {"type": "sequence", "transformations": steps, **ends}
    further = [{"type": "rotation", "input": "intrinsic", "output": "anatomical"}]
    path = write_image_06(tmp_path / "a.zarr", sequence, coordinateTransformations=further)
    source = open_image(path)
    assert str(source.axes) == "read as ZYX (OME-Zarr 0.6 metadata)"
    assert np.array_equal(source.read(), STACK)
    assert source.calibration is not None
    assert source.calibration.scale == (2, 0.5, 0.25)
    assert source.calibration.translation == (1, 2, 3)
    assert source.calibration.units == ("micrometer",) * 3


@pytest.mark.parametrize(
    ("kind", "scale"),
    [({"type": "scale", "scale": [3, 2, 1]}, (3, 2, 1)), ({"type": "identity"}, None)],
)
def test_simple_transformations_of_version_0_6(
    tmp_path: Path, kind: dict[str, Any], scale: tuple[float, ...] | None
) -> None:
    path = write_image_06(tmp_path / "a.zarr", {**kind, "input": "0", "output": "intrinsic"})
    source = open_image(path)
    assert source.axes.names == "ZYX"
    assert (source.calibration.scale if source.calibration else None) == scale


def test_axes_that_a_transformation_moves_are_not_taken(tmp_path: Path) -> None:
    swap = {"type": "mapAxis", "mapAxis": [2, 1, 0], "input": "0", "output": "anatomical"}
    source = open_image(write_image_06(tmp_path / "a.zarr", swap))
    assert "guessed: the metadata call them x, y, z" in str(source.axes)
    assert source.calibration is None


def test_axes_that_nobody_names_ask(tmp_path: Path) -> None:
    write_array(tmp_path / "a.zarr", np.zeros((60, 50, 2), np.uint8))
    with pytest.raises(AxesError, match="--axes YXC"):
        open_image(tmp_path / "a.zarr")
    assert open_image(tmp_path / "a.zarr", axes="YXC").axes.names == "YXC"
    write_array(tmp_path / "b.zarr", np.ones((1, 1, 1, 1, 60, 50), np.uint8))
    source = open_image(tmp_path / "b.zarr")
    assert source.read_region((slice(0, 1),) * 3 + (slice(9, 20), slice(3, 5))).shape == (
        *(1, 1, 1),
        *(11, 2),
    )


def test_further_images_are_noted(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", STACK)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"] *= 2
    (path / "zarr.json").write_text(json.dumps(metadata))
    assert open_image(path).decode().notes == ("holds 2 images, the first was read",)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    write_array(tmp_path / "a.zarr", np.ones((4, 4), complex), zarr_format=2)
    with pytest.raises(DataError, match="complex128"):
        open_image(tmp_path / "a.zarr")


def test_a_folder_lists_a_zarr_as_one_image(tmp_path: Path) -> None:
    write_image(tmp_path / "b.zarr", STACK)
    write_array(tmp_path / ".b-1234.tmp.zarr", STACK)
    (tmp_path / "plain").mkdir()
    (tmp_path / "a.tif").write_bytes(b"")
    assert [path.name for path in iter_image_files(tmp_path)] == ["a.tif", "b.zarr"]


def test_zarr_is_loaded_only_when_it_is_needed() -> None:
    code = "import sys, pixelwise.images; sys.exit('zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
