"""Inner paths: which file holds them, how they are chosen, and how results are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.errors import DataError
from pixelwise.images.containers import Choice, choose_inner, find_file, name_image, split_inner


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
    names, sizes = ["one", "Tiles/two", "Tiles/two", "1"], [1, 1, 1, 1]
    for inner, number in (("one", 0), ("0", 0), ("1", 3), ("2", 2)):  # a name comes first
        assert choose_inner(file / inner, names, sizes, kind="series") == Choice(number)
    assert choose_inner(file / "Tiles" / "two", names[:2], sizes, kind="series") == Choice(1)
    with pytest.raises(DataError, match=r"no series named 'three'.*a\.lif/one"):
        choose_inner(file / "three", names, sizes, kind="series")
    with pytest.raises(DataError, match=r"2 series named 'Tiles/two'.*a\.lif/1.*a\.lif/2"):
        choose_inner(file / "Tiles" / "two", names, sizes, kind="series")


def test_the_largest_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.lif"
    file.touch()
    assert choose_inner(file, ["one"], [7], kind="series") == Choice(0)
    note = f"holds 2 series; 'two' was read, the others are \"{file}/one\""
    assert choose_inner(file, ["one", "two"], [7, 9], kind="series") == Choice(1, (note,))
    tie = choose_inner(file, ["one", "two"], [7, 7], kind="series")
    assert tie.number == 0
    assert tie.notes == (tie.ambiguous,) != ("",)


def test_long_lists_are_cut(tmp_path: Path) -> None:
    (tmp_path / "a.nd2").touch()
    names = [str(i) for i in range(40)]
    choice = choose_inner(tmp_path / "a.nd2", names, [1] * 40, kind="positions")
    assert choice.notes[0].endswith('a.nd2/8" and 31 more')
