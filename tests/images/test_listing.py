"""What in a folder is an image, and what may be one but is not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import ReadError
from pixelwise.images.listing import iter_image_files, list_left_out
from tests.fixtures.formats.write import FOLDER


def test_iter_image_files_leaves_out_what_is_no_image(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.tiff", "Thumbs.db", ".hidden.png", "._a.tif", "notes.txt", "c.json"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in iter_image_files(tmp_path)] == ["a.tiff", "b.PNG"]


def test_iter_image_files_takes_all_formats(tmp_path: Path) -> None:
    names = ["a.GIF", "b.npy", "c.h5", "d.nii.gz", "e.czi", "f.svs", "g.dcm", "h.jp2", "i.pgm"]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in iter_image_files(tmp_path)] == names


def test_a_suffix_that_others_have_too_counts_for_its_content(tmp_path: Path) -> None:
    (tmp_path / "labels.map").write_text("0 background")
    (tmp_path / "density.map").write_bytes((FOLDER / "map.mrc").read_bytes())
    assert [path.name for path in iter_image_files(tmp_path)] == ["density.map"]


def test_files_in_foreign_formats_are_named(tmp_path: Path) -> None:
    for name in ("a.mat", "b.heic", "c.png", "notes.txt", ".d.psd"):
        (tmp_path / name).touch()
    assert [path.name for path in list_left_out(tmp_path)] == ["a.mat", "b.heic"]


def test_sub_folders_with_images_are_left_out_too(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.png").touch()
    (tmp_path / "texts").mkdir()
    assert [path.name for path in list_left_out(tmp_path)] == ["more"]


def test_a_file_of_unknown_name_is_known_by_its_content(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "scan", "PNG")
    (tmp_path / "raw.dng").write_bytes((tmp_path / "scan").read_bytes())
    (tmp_path / "letter").write_bytes(b"BM, two letters")
    assert [path.name for path in iter_image_files(tmp_path)] == ["scan"]
    assert [path.name for path in list_left_out(tmp_path)] == ["letter", "raw.dng"]


def test_pickles_of_cellpose_are_no_images(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 3)))
    np.save(tmp_path / "a_seg.npy", np.array({"masks": 0}, object), allow_pickle=True)
    assert [path.name for path in iter_image_files(tmp_path)] == ["a.npy"]
    assert [path.name for path in list_left_out(tmp_path)] == ["a_seg.npy"]


def test_iter_image_files_of_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="No such file"):
        list(iter_image_files(tmp_path / "nowhere"))
