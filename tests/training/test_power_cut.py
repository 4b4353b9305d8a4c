"""What a power cut leaves: files and names that were not flushed to the disk are gone.

A simulated disk listens to `fsync`. Of a file it keeps what was flushed last, of a folder the names
that it had when it was flushed; or, as a file system may, the newest names of files without their
content. A run is resumed from what is left after every flush.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from pixelwise.runs import RunFolder
from pixelwise.training.fit import fit, resume
from tests.training.conftest import assert_same_run, create_config

Names = dict[str, int]


class Disk:
    """The part of a folder tree that outlasts a power cut, by inode."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.contents: dict[int, bytes] = {}
        self.folders: dict[int, Names] = {root.stat().st_ino: {}}
        self.cuts: list[tuple[dict[int, bytes], dict[int, Names], dict[int, Names]]] = []
        self._held: list[int] = []  # so that no inode is given to another file
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, handle: int) -> None:
        """Keep a file's bytes or a folder's names, and note what would be left of everything."""
        self._fsync(handle)
        status = os.fstat(handle)
        self._held.append(os.dup(handle))
        if stat.S_ISDIR(status.st_mode):
            self.folders[status.st_ino] = read_names(Path(f"/proc/self/fd/{handle}"))
        else:
            self.contents[status.st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()
        live = self._look()
        names = {inode: dict(found) for inode, found in self.folders.items()}
        self.cuts.append((dict(self.contents), names, live))

    def _look(self) -> dict[int, Names]:
        """Names in all folders now; another thread may change them meanwhile."""
        while True:
            with suppress(FileNotFoundError):
                folders = self.root, *self.root.rglob("*/")
                return {path.stat().st_ino: read_names(path) for path in folders}

    def close(self) -> None:
        for handle in self._held:
            os.close(handle)

    def write_remains(self, number: int, target: Path, *, newest_names: bool) -> None:
        """Write what is left after a cut into a folder."""
        contents, flushed, live = self.cuts[number]
        folders = live if newest_names else flushed
        known = {inode for cut in self.cuts for inode in (*cut[1], *cut[2])}
        self._copy(self.root.stat().st_ino, target, (contents, folders, known))

    def _copy(
        self, inode: int, target: Path, kept: tuple[dict[int, bytes], dict[int, Names], set[int]]
    ) -> None:
        contents, folders, known = kept
        target.mkdir()
        for name, child in folders.get(inode, {}).items():
            if child in known:
                self._copy(child, target / name, kept)
            else:
                (target / name).write_bytes(contents.get(child, b""))


def read_names(folder: Path) -> Names:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads open files through /proc")
@pytest.mark.parametrize("newest_names", [False, True], ids=["flushed names", "newest names"])
def test_a_power_cut_costs_no_bit(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest_names: bool
) -> None:
    sections = {
        "training": {"previews": 0, "batch_size": 8, "save_minutes": 1e-9},
        "patches": {"size": 32},
    }
    (tmp_path / "disk").mkdir()
    config = create_config(discs, tmp_path / "disk" / "runs" / "run", **sections)
    with monkeypatch.context() as listening:
        disk = Disk(tmp_path / "disk", listening)
        list(fit(config))
    started, seen = 0, set()
    for number in range(len(disk.cuts)):
        remains = tmp_path / f"cut-{number}"
        disk.write_remains(number, remains, newest_names=newest_names)
        run = RunFolder(remains / "runs" / "run")
        if not run.config.exists() or not run.config.stat().st_size:
            assert not started, "a run that was there is gone"
            continue
        started += 1
        files = run.config, run.state, run.state.with_name("previous.pt"), run.model
        left = tuple(path.read_bytes() if path.exists() else None for path in files)
        if left in seen or is_whole(run):
            continue
        seen.add(left)
        list(resume(run.path))
        assert_same_run(config.run, run.path)
    disk.close()
    assert started > 20
    assert len(seen) > 5


def is_whole(run: RunFolder) -> bool:
    """Whether nothing is left to do, which `resume` refuses."""
    return run.events.exists() and '"run_ended"' in run.events.read_text()


def test_the_simulated_disk_forgets_what_was_not_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    disk = Disk(root, monkeypatch)
    (root / "old").write_text("old")
    with (root / "old").open("rb+") as file:
        os.fsync(file.fileno())
    (root / "never").write_text("never")
    handle = os.open(root, os.O_RDONLY)
    os.fsync(handle)
    (root / "old").replace(root / "new")
    with (root / "never").open() as file:
        os.fsync(handle)
        (root / "new").replace(root / "newer")
        os.fsync(file.fileno())
    os.close(handle)
    disk.write_remains(1, tmp_path / "a", newest_names=False)
    assert {p.name: p.read_text() for p in (tmp_path / "a").iterdir()} == {
        "old": "old",
        "never": "",
    }
    disk.write_remains(3, tmp_path / "b", newest_names=False)
    assert {p.name for p in (tmp_path / "b").iterdir()} == {"new", "never"}
    disk.write_remains(3, tmp_path / "c", newest_names=True)
    assert {p.name for p in (tmp_path / "c").iterdir()} == {"newer", "never"}
    disk.close()
