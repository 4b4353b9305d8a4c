from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.checksums import Checksum, hash_content
from pixelwise.images import ImageContent, load_writer, open_image
from pixelwise.marks import Mark, check_mark, name_mark, read_mark, write_mark_beside

MARK = Mark(pixelwise="1.2", model="ab" * 32, image="cd" * 32, axes="YX", settings={"tile": None})
NAMES = ["a.tif", "a.ome.tif", "a.zarr", "a.csv"]
ROWS = np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)


def write(path: Path, mark: Mark = MARK) -> Path:
    """Write a result with a mark."""
    if path.suffix == ".csv":
        path.write_text("plane,object\n0,1\n")
        write_mark_beside(path, mark, content=hash_content(path))
        return path
    content = ImageContent("YX", ROWS.shape, ROWS.dtype, mark=mark.model_dump(mode="json"))
    load_writer(path).write_rows(path, content, lambda _, rows, __=None: ROWS[rows])
    return path


def read_all(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else {path, name_mark(path)}
    return {file.name: file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_a_mark_is_read_back_and_the_file_is_as_it_was_written(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    found = read_mark(path)
    assert found is not None
    assert found.model_copy(update={"checksum": MARK.checksum, "content": None}) == MARK
    assert check_mark(path) is Checksum.RIGHT
    if not name.endswith(".csv"):
        np.testing.assert_array_equal(open_image(path).read(), ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_result_has_the_same_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / "b").mkdir()
    first, second = write(tmp_path / name), write(tmp_path / "b" / name)
    assert read_all(first) == read_all(second)


def flip_bit(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
    for file in {*files, name_mark(path)}:
        size = file.stat().st_size
        for place in np.random.default_rng(0).integers(0, size, 40):
            flip_bit(file, int(place))
            assert check_mark(path) is not Checksum.RIGHT, (file, place)
            flip_bit(file, int(place))
    assert check_mark(path) is Checksum.RIGHT


def test_labels_that_a_person_saved_again_have_no_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    tifffile.imwrite(path, tifffile.imread(path))
    assert check_mark(path) is Checksum.MISSING


def test_a_file_that_was_put_into_a_zarr_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr")
    (path / "notes.txt").write_text("mine")
    assert check_mark(path) is Checksum.WRONG


def test_a_table_without_its_file_or_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    assert check_mark(name_mark(path)) is Checksum.RIGHT
    path.unlink()
    assert check_mark(path) is Checksum.WRONG
    path = write(tmp_path / "b.csv")
    name_mark(path).unlink()
    assert check_mark(path) is Checksum.MISSING


@pytest.mark.parametrize(
    "text",
    [
        '{"checksum": "pixelwise-sha256:' + "0" * 64 + '"}',
        '{"checksum": "pixelwise-sha256:' + "0" * 64,
        '{"checksum": "pixelwise-sha256:", "x": ' + "[" * 60_000,
        "pixelwise-sha256:",
        "",
    ],
    ids=["fields missing", "cut off", "deep", "no object", "empty"],
)
def test_what_is_no_mark(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.tif").write_text(text)
    assert read_mark(tmp_path / "a.tif") is None
    assert check_mark(tmp_path / "a.tif") is Checksum.MISSING


@pytest.mark.parametrize("depth", [200, 400])
def test_a_mark_that_is_nested_too_deeply_is_none(tmp_path: Path, depth: int) -> None:
    nested: dict[str, Any] = {}
    for _ in range(depth):
        nested = {"a": nested}
    values = MARK.model_dump(mode="json") | {"settings": nested}
    (tmp_path / "a.json").write_text(json.dumps(values))
    mark = read_mark(tmp_path / "a.json")
    assert mark is None if depth > 250 else mark.model_dump(mode="json")["settings"] == nested


def test_a_mark_with_a_field_of_a_newer_version_is_not_understood(tmp_path: Path) -> None:
    values: dict[str, Any] = MARK.model_dump(mode="json") | {"moon": 1}
    (tmp_path / "a.json").write_text(json.dumps(values))
    assert read_mark(tmp_path / "a.json") is None


def test_the_mark_of_a_tiff_is_in_the_tag_software(tmp_path: Path) -> None:
    with tifffile.TiffFile(write(tmp_path / "a.tif")) as tiff:
        text = tiff.pages[0].tags["Software"].value  # type: ignore[union-attr]
    name, values = text.split(" ", 1)
    assert name == "napari-pixelwise"
    assert json.loads(values)["model"] == MARK.model
