"""Which files are images, and which module reads each."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.errors import ReadError
from pixelwise.images.formats import FORMATS, find_format, iter_image_files, list_left_out


def test_the_content_decides_on_the_format(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"II*\0" + bytes(20))
    assert find_format(tmp_path / "a.png").name == "TIFF"


def test_no_suffix_belongs_to_two_formats() -> None:
    suffixes = [suffix for item in FORMATS for suffix in item.suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_iter_image_files_leaves_out_what_is_no_image(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.tiff", "Thumbs.db", ".hidden.png", "._a.tif", "notes.txt", "c.json"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in iter_image_files(tmp_path)] == ["a.tiff", "b.PNG"]


def test_iter_image_files_of_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="No such file"):
        list(iter_image_files(tmp_path / "nowhere"))


TIFF, PNG = b"II*\0" + bytes(20), b"\x89PNG" + bytes(20)


def test_an_unknown_suffix_lets_the_content_decide(tmp_path: Path) -> None:
    for name, content in {
        "slide.svs": TIFF, "a.lsm": TIFF, "picture": PNG, "b.jfif": b"\xff\xd8\xff" + bytes(9),
        "raw.nef": TIFF, "a.tif.ovr": TIFF, "BMW.dat": b"BMW is no picture", "c.czi": b"ZISRAWFILE",
        "notes.txt": PNG,
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    found = [path.name for path in iter_image_files(tmp_path)]
    assert found == ["a.lsm", "b.jfif", "picture", "slide.svs"]
    left = [path.name for path in list_left_out(tmp_path)]
    assert left == ["BMW.dat", "a.tif.ovr", "c.czi", "raw.nef"]


def test_what_is_left_out_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.png", "table.csv", "Thumbs.db", ".hidden.czi", "model.pt", "empty.xyz"):
        (tmp_path / name).touch()
    for folder, name in (("plate", "a.png"), ("texts", "a.txt"), (".cache", "a.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    assert [path.name for path in list_left_out(tmp_path)] == ["empty.xyz", "plate"]
    with pytest.raises(ReadError, match="No such file"):
        list_left_out(tmp_path / "nowhere")
