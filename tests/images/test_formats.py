"""Which files are images, and which module reads each."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.errors import ReadError
from pixelwise.images.formats import FORMATS, find_format, iter_image_files


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
