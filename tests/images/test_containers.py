"""Inner paths: which file holds them, how they are chosen, and how results are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.errors import DataError
from pixelwise.images.containers import choose_inner, find_file, name_image, split_inner


def test_split_inner(tmp_path: Path) -> None:
    file = tmp_path / "a.h5"
    assert split_inner(file / "x") == (file / "x", "")  # there is no file yet
    file.touch()
    assert split_inner(file) == (file, "")
    assert split_inner(file / "volumes" / "raw") == (file, "volumes/raw")
    assert find_file(file / "raw") == file
    assert find_file(tmp_path) == tmp_path


def test_name_image(tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()
    assert name_image(tmp_path / "a.h5" / "volumes" / "raw") == "a-volumes-raw"
    assert name_image(tmp_path / "a.h5") == "a"
    assert name_image(tmp_path / "b.nii.gz") == "b"


def test_choose_inner(tmp_path: Path) -> None:
    file = tmp_path / "a.lif"
    file.touch()
    names = ["one", "Tiles/two", "Tiles/two", "1"]
    assert choose_inner(file, names[:1], kind="series") == (0, ())
    assert choose_inner(file / "Tiles" / "two", names[:2], kind="series") == (1, ())
    assert choose_inner(file / "0", names, kind="series") == (0, ())
    assert choose_inner(file / "1", names, kind="series") == (3, ())  # a name comes first
    number, notes = choose_inner(file, names[:2], kind="series", default=1)
    assert (number, *notes) == (
        1,
        f"holds 2 series; 'Tiles/two' was read, the others are \"{file}/one\"",
    )
    with pytest.raises(DataError, match=r"no series called 'three'.*a\.lif/one"):
        choose_inner(file / "three", names, kind="series")
    with pytest.raises(DataError, match=r"2 series called 'Tiles/two'.*a\.lif/1.*a\.lif/2"):
        choose_inner(file / "Tiles" / "two", names, kind="series")


def test_long_lists_are_cut(tmp_path: Path) -> None:
    (tmp_path / "a.nd2").touch()
    _, notes = choose_inner(tmp_path / "a.nd2", [str(i) for i in range(40)], kind="positions")
    assert notes[0].endswith('a.nd2/8" and 31 more')
