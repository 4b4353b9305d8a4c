from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pixelwise.datasets import load_dataset
from pixelwise.datasets.layouts.patches import INDEX_NAME, read_index
from pixelwise.errors import ReadError
from pixelwise.images import write_picture, write_tiff
from pixelwise.patches import make_patches

RNG = np.random.default_rng(9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of 4 patches from each of two images."""
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for name in "ab":
        write_picture(
            tmp_path / "data" / "images" / f"{name}.png", RNG.integers(0, 256, (8, 8, 3), np.uint8)
        )
        write_picture(
            tmp_path / "data" / "masks" / f"{name}.png", RNG.integers(0, 2, (8, 8), np.uint8)
        )
    make_patches(load_dataset(tmp_path / "data"), tmp_path / "out", size=4)
    return tmp_path / "out"


def test_index(folder: Path) -> None:
    index = read_index(folder)
    assert (index.axes, index.channels, index.shape) == ("YXC", 3, (4, 4, 3))
    assert [source.name for source in index.sources] == ["a", "b"]
    assert index.sources[0].positions == ((0, 0, 0), (0, 0, 4), (0, 4, 0), (0, 4, 4))
    assert index.sources[1].names == tuple(f"b-PCH{i}" for i in range(4))


def test_groups_are_source_images(folder: Path) -> None:
    data = load_dataset(folder)
    assert data.layout == "patches"
    assert data.groups == ("a", "b")
    train, validation = data.split(0.5, 0)
    assert (len(train.samples), len(validation.samples)) == (4, 4)


def change(folder: Path, **fields: object) -> None:
    path = folder / INDEX_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 2}, "not a patch index of version 1: version"),
        ({"axes": "CXY"}, "not a patch index of version 1: axes"),
        ({"extra": 1}, "not a patch index of version 1: extra"),
        ({"background": 9}, "background 9 is none of"),
        ({"axes": "CYX"}, r"has \(4, 4, 4, 3\) values .* the index says \(4, 3, 4, 4\)"),
    ],
    ids=["newer", "axes", "unknown-field", "background", "other-shape"],
)
def test_an_index_that_does_not_fit(folder: Path, fields: dict[str, object], message: str) -> None:
    change(folder, **fields)
    with pytest.raises(ReadError, match=message):
        load_dataset(folder)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_index(folder: Path, text: str) -> None:
    (folder / INDEX_NAME).write_text(text)
    with pytest.raises(ReadError, match=r"not a patch index.*Create the patches again"):
        load_dataset(folder)


def test_a_stack_that_is_gone(folder: Path) -> None:
    (folder / "images" / "a.tif").unlink()
    with pytest.raises(ReadError, match=r"a\.tif is missing, damaged.*Create the patches again"):
        load_dataset(folder)


def test_a_stack_that_is_cut_off(folder: Path) -> None:
    path = folder / "masks" / "b.tif"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ReadError, match=r"b\.tif"):
        load_dataset(folder)


def test_a_stack_that_was_saved_with_compression(folder: Path) -> None:
    path = folder / "images" / "a.tif"
    write_tiff(path, tifffile.imread(path), axes="ZYXC")
    with pytest.raises(ReadError, match=r"a\.tif .*saved again with compression"):
        load_dataset(folder)


def test_a_missing_index(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"Cannot read the patch index.*patches\.json"):
        read_index(tmp_path)
