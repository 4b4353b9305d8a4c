from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from pixelwise.atomic import (
    create_array,
    forget_cached,
    remove_leftovers,
    remove_temps,
    replacing,
    replacing_folder,
    write_text,
)
from pixelwise.errors import DataError, WriteError


def test_writes_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "ä")
    write_text(tmp_path / "a.txt", "b")
    assert (tmp_path / "a.txt").read_text() == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(DataError), replacing(target) as temporary:
        temporary.write_text("half")
        raise DataError("broken")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"no-folder.+folder exists"):
        write_text(tmp_path / "no-folder" / "a.txt", "x")


def test_a_full_disk_is_a_write_error(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(WriteError, match="No space left"), replacing(target):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_system_that_takes_no_advice_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    (tmp_path / "a").write_text("b")
    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    forget_cached(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "b"


def test_room_for_an_array_is_taken_at_once(tmp_path: Path) -> None:
    array = create_array(tmp_path / "a.npy", dtype="u2", shape=(3, 500))
    array[2] = 7
    assert np.load(tmp_path / "a.npy").sum() == 3500
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 3000, "not sparse"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        with pytest.raises(WriteError, match="room"):
            create_array(tmp_path / "b.npy", dtype="u1", shape=(2000,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    for name in ("old", "new"):
        with replacing_folder(path) as temp:
            (temp / "deep").mkdir()
            (temp / "deep" / name).write_text(name)
            assert temp.suffix == path.suffix
            assert temp.name.startswith(".")
    assert [entry.name for entry in (path / "deep").iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_a_folder_that_cannot_be_moved_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    with replacing_folder(path) as temp:
        (temp / "old").touch()
    rename = Path.rename

    def fail_once(self: Path, target: Path) -> Path:
        if target == path and ".tmp" in self.name and ".old" not in self.name:
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(WriteError, match="Permission denied"), replacing_folder(path) as temp:
        (temp / "new").touch()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert [entry.name for entry in path.iterdir()] == ["old"]


def test_only_leftovers_of_ours_are_removed(tmp_path: Path) -> None:
    """A dot, a token of eight digits and .tmp are a name of ours; links and folders are not."""
    ours = [".last-0123abcd.tmp.pt", ".about-0123abcd.tmp.json", ".x-00000000.tmp"]
    others = [".notes.tmp", ".a-0123.tmp.pt", "a-0123abcd.tmp.pt", ".a-0123ABCD.tmp.pt", ".tmp"]
    for name in ours + others:
        (tmp_path / name).write_text("text")
    (tmp_path / ".folder-0123abcd.tmp").mkdir()
    (tmp_path / ".link-0123abcd.tmp.pt").symlink_to(tmp_path / ".notes.tmp")
    remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*others, ".folder-0123abcd.tmp", ".link-0123abcd.tmp.pt"}


def test_no_link_is_taken_for_what_was_being_made(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("text")
    for name in (".a-0123abcd.tmp.zarr", ".a-0123abcd.tmp.old.zarr"):
        (tmp_path / name).symlink_to(tmp_path / "precious")
    remove_temps(tmp_path / "a.zarr")
    assert (tmp_path / "precious" / "file").read_text() == "text"
    assert not (tmp_path / "a.zarr").is_symlink()
    assert (tmp_path / ".a-0123abcd.tmp.zarr").is_symlink()
