"""Rows that are kept on the disk: what is damaged there, and what is not ours."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.errors import WriteError
from pixelwise.prediction import result_spool
from pixelwise.prediction.result_spool import ResultSpool, name_spool, opening_spool

SHAPE = (2, 3, 100, 40)
VALUES = np.random.default_rng(5).integers(0, 250, SHAPE).astype(np.uint8)
BLOCKS = [(plane, start) for plane in range(2) for start in (0, 32, 64, 96)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_spool, "BLOCK_ROWS", 32)
    monkeypatch.setattr(result_spool, "SMALL_BYTES", 0)
    monkeypatch.setattr(result_spool, "_CHUNK_COLUMNS", 16)


@contextmanager
def opening(output: Path, about: Any = "the same") -> Iterator[ResultSpool]:
    with opening_spool(output, {"a": about}, shape=SHAPE, dtype=VALUES.dtype) as spool:
        yield spool


def leave(output: Path) -> Path:
    """Write a spool and stop before it is used; gives its folder."""
    with pytest.raises(KeyboardInterrupt), opening(output) as spool:
        complete(spool)
        raise KeyboardInterrupt
    return name_spool(output)


def complete(spool: ResultSpool) -> list[tuple[int, int]]:
    """Write what a spool lacks, and give the blocks."""
    missing = [block for block in BLOCKS if block not in spool.done]
    for plane, start in missing:
        spool.record(plane, start, spool.write(plane, start, VALUES[plane, :, start : start + 32]))
    return missing


def read(spool: ResultSpool) -> np.ndarray:
    return np.stack([spool.read(plane, slice(0, 100)) for plane in range(2)])


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_what_is_sound_is_taken_up(tmp_path: Path) -> None:
    leave(tmp_path / "a.tif")
    with opening(tmp_path / "a.tif") as spool:
        assert not complete(spool)
        np.testing.assert_array_equal(read(spool), VALUES)


@pytest.mark.parametrize("name", ["rows", "done", "about.json"])
def test_a_flipped_bit_is_computed_again(tmp_path: Path, name: str) -> None:
    output, draw = tmp_path / "a.tif", random.Random(3)
    for _ in range(5):
        folder = leave(output)
        files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.stat().st_size]
        files = [file for file in files if file.relative_to(folder).parts[0] == name]
        chosen = draw.choice(files)
        flip(chosen, draw.randrange(chosen.stat().st_size * 8))
        with opening(output) as spool:
            assert complete(spool)
            np.testing.assert_array_equal(read(spool), VALUES)


def test_a_block_that_is_gone_is_computed_again(tmp_path: Path) -> None:
    folder = leave(tmp_path / "a.tif")
    next(folder.glob("rows/c/1/2/2/*")).unlink()
    with opening(tmp_path / "a.tif") as spool:
        assert complete(spool) == [(1, 64)]
        np.testing.assert_array_equal(read(spool), VALUES)


def test_blocks_of_zeros_alone_have_no_files_and_are_sound(tmp_path: Path) -> None:
    zeros = np.zeros((3, 32, 40), np.uint8)
    with pytest.raises(KeyboardInterrupt), opening(tmp_path / "a.tif") as spool:
        spool.record(0, 32, spool.write(0, 32, zeros))
        raise KeyboardInterrupt
    assert not [*name_spool(tmp_path / "a.tif").glob("rows/c/0/*/1/*")]
    with opening(tmp_path / "a.tif") as spool:
        assert [*spool.done] == [(0, 32)]
        np.testing.assert_array_equal(spool.read(0, slice(32, 64)), zeros)


def test_what_changes_before_the_result_is_made_is_noticed(tmp_path: Path) -> None:
    output = tmp_path / "a.tif"
    with (
        pytest.raises(
            WriteError, match=r"Rows 32 to 64 .* have changed.*computes these rows again"
        ),
        opening(output) as spool,
    ):
        complete(spool)
        flip(name_spool(output) / "rows/c/0/1/1/2", 77)
        spool.read(0, slice(0, 32), 1)  # is sound
        spool.read(0, slice(40, 41), 1)
    with opening(output) as spool:
        assert complete(spool) == [(0, 32)]
        np.testing.assert_array_equal(read(spool), VALUES)


def test_lines_of_older_versions_do_not_count(tmp_path: Path) -> None:
    folder = leave(tmp_path / "a.tif")
    with (folder / "done").open("w") as file:
        file.write("\n0 0 .\n0 32 .")
    with opening(tmp_path / "a.tif") as spool:
        assert complete(spool) == BLOCKS


def write_precious(folder: Path) -> Path:
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "thesis").write_text("precious")
    (folder / "done").write_text("precious")
    return folder


def list_content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["", "rows", "rows/c/0", "done", "about.json", "lock", "changed"])
def test_nothing_is_written_or_emptied_through_a_link(tmp_path: Path, name: str) -> None:
    precious = write_precious(tmp_path / "precious")
    before = list_content(precious)
    place = leave(tmp_path / "a.tif") / name
    if place.is_dir():
        place.rename(tmp_path / "away")
    place.unlink(missing_ok=True)
    target = precious / "done" if "." in name or name in ("done", "lock") else precious
    place.symlink_to(target)
    for about in ("the same", "another"):
        with pytest.raises(WriteError, match="is a link to"), opening(tmp_path / "a.tif", about):
            pytest.fail("opened")
    assert list_content(precious) == before
    assert place.is_symlink()


def test_a_folder_with_files_of_others_is_not_emptied(tmp_path: Path) -> None:
    folder = write_precious(name_spool(tmp_path / "a.tif"))
    before = list_content(folder)
    with (
        pytest.raises(WriteError, match="holds 'docs', which no prediction wrote"),
        opening(tmp_path / "a.tif"),
    ):
        pytest.fail("opened")
    assert list_content(folder) == before
