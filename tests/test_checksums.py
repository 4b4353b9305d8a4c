from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pixelwise.checksums import (
    BLANK_CHECKSUM,
    WORD,
    Checksum,
    add_checksum,
    check_checksum,
    find_checksum,
    hash_content,
)
from pixelwise.errors import ReadError


def write(path: Path, *, before: bytes = b"about ", after: bytes = b" pixels" * 999) -> Path:
    path.write_bytes(before + BLANK_CHECKSUM.encode() + after)
    return path


def flip_bit(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


def test_every_flipped_bit_shows(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    digits = add_checksum(path)
    assert check_checksum(path) is Checksum.RIGHT
    assert find_checksum(path) == digits
    bits = random.Random(0).sample(range(path.stat().st_size * 8), 300)
    for place in [*bits, *range(6 * 8, (6 + len(BLANK_CHECKSUM)) * 8)]:
        flip_bit(path, place)
        assert check_checksum(path) is not Checksum.RIGHT
        flip_bit(path, place)
    assert check_checksum(path) is Checksum.RIGHT


@pytest.mark.parametrize("change", [lambda b: b + b"x", lambda b: b[:-1]], ids=["longer", "cut"])
def test_another_length_shows(tmp_path: Path, change: object) -> None:
    path = write(tmp_path / "a", after=bytes(9 << 20))
    add_checksum(path)
    assert check_checksum(path) is Checksum.RIGHT
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    assert check_checksum(path) is Checksum.WRONG


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    for ask in (check_checksum, find_checksum, hash_content):
        with pytest.raises(ReadError, match="is a pipe"):
            ask(tmp_path / "a")


def test_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"nothing of ours")
    assert check_checksum(path) is Checksum.MISSING
    with pytest.raises(ValueError, match="no blank"):
        add_checksum(path)
    path.write_bytes(b"cut off " + WORD.encode() + b"12")
    assert check_checksum(path) is Checksum.WRONG


def test_the_place_of_the_folder_does_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "0").write_bytes(b"chunk")
    index = write(folder / "zarr.json")
    add_checksum(index, folder=folder)
    moved = folder.rename(tmp_path / "b")
    assert check_checksum(moved / "zarr.json", folder=moved) is Checksum.RIGHT


@pytest.mark.parametrize("what", ["changed", "renamed", "new", "gone"])
def test_a_change_in_a_folder_shows(tmp_path: Path, what: str) -> None:
    chunk = tmp_path / "c"
    chunk.write_bytes(b"chunk")
    index = write(tmp_path / "zarr.json")
    add_checksum(index, folder=tmp_path)
    if what == "changed":
        chunk.write_bytes(b"Chunk")
    elif what == "renamed":
        chunk.rename(tmp_path / "d")
    elif what == "new":
        (tmp_path / "d").write_bytes(b"")
    else:
        chunk.unlink()
    assert check_checksum(index, folder=tmp_path) is Checksum.WRONG


def test_a_name_that_is_no_utf_8_counts(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder, name in zip(folders, (b"\xff", b"\xfe"), strict=True):
        folder.mkdir()
        try:
            (folder / os.fsdecode(name)).write_bytes(b"x")
        except OSError:
            pytest.skip("this disk takes UTF-8 only")
    assert len({hash_content(folder) for folder in folders}) == 2
