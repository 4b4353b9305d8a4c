"""What in a folder is an image, and what may be one but is not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import ReadError
from pixelwise.images.listing import explain_left_out, iter_image_files, list_left_out
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


TIFF, PNG = b"II*\0" + bytes(20), b"\x89PNG" + bytes(20)


def test_an_unknown_suffix_lets_the_content_decide(tmp_path: Path) -> None:
    mrc = (FOLDER / "map.mrc").read_bytes()
    for name, content in {
        "slide.svs": TIFF, "a.lsm": TIFF, "picture": PNG, "b.jfif": b"\xff\xd8\xff" + bytes(9),
        "raw.nef": TIFF, "a.tif.ovr": TIFF, "BMW.dat": b"BMW is no picture", "a.mat": b"MATLAB 5.0",
        "notes.txt": PNG, "labels.map": b"0 background", "density.map": mrc,
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    found = [path.name for path in iter_image_files(tmp_path)]
    assert found == ["a.lsm", "b.jfif", "density.map", "picture", "slide.svs"]
    left = [path.name for path in list_left_out(tmp_path)]
    assert left == ["BMW.dat", "a.mat", "a.tif.ovr", "labels.map", "raw.nef"]


def test_what_is_left_out_of_a_folder(tmp_path: Path) -> None:
    for name in ("a.png", "table.csv", "Thumbs.db", ".hidden.czi", "model.pt", "empty.xyz"):
        (tmp_path / name).touch()
    for folder, name in (("plate", "a.png"), ("texts", "a.txt"), (".cache", "a.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    assert [path.name for path in list_left_out(tmp_path)] == ["empty.xyz", "plate"]
    with pytest.raises(ReadError, match="No such file"):
        list_left_out(tmp_path / "nowhere")


def test_what_is_left_out_is_explained() -> None:
    assert explain_left_out(Path("a.mat")).startswith("a MATLAB file. In MATLAB, imwrite(")
    assert explain_left_out(Path("a.xyz")) == ""


def test_iter_image_files_of_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="No such file"):
        list(iter_image_files(tmp_path / "nowhere"))


def test_pickles_of_cellpose_are_no_images(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 3)))
    np.save(tmp_path / "a_seg.npy", np.array({"masks": 0}, object), allow_pickle=True)
    assert [path.name for path in iter_image_files(tmp_path)] == ["a.npy"]
    assert [path.name for path in list_left_out(tmp_path)] == ["a_seg.npy"]
