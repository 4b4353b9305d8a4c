"""Where one attack takes place: folders, and what is drawn for them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Edit:
    """One change of one file: the name of an edit, and the seed of all that it draws."""

    name: str
    seed: int


@dataclass(frozen=True)
class Attack:
    """What is done to one case before it is opened; the same attack gives the same bytes."""

    case: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Stage:
    """Folders of one worker, made anew for every attack.

    Attributes
    ----------
    root : Path
        ``input`` is opened, ``out`` and ``temporary`` may be written; ``victim`` may not be
        touched, and `canary` appears only if planted code runs.
    """

    root: Path

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def temporary(self) -> Path:
        return self.root / "temporary"

    @property
    def victim(self) -> Path:
        return self.root / "victim"

    @property
    def canary(self) -> Path:
        return self.root / "canary"

    def prepare(self, case: Path) -> None:
        """Put a fresh copy of a case on the stage."""
        for folder in (self.input, self.out, self.temporary, self.victim, self.canary):
            remove(folder)
        shutil.copytree(case, self.input, symlinks=True)
        self.out.mkdir()
        self.temporary.mkdir()
        (self.victim / "home").mkdir(parents=True)
        for name in ("notes.txt", "home/letter.tif", "home/letter_labels.tif"):
            (self.victim / name).write_text(f"precious {name}\n" * 20)

    def look(self) -> dict[str, Any]:
        """What lies outside of the folders that may be written."""
        found: dict[str, Any] = {"canary": self.canary.exists()}
        for path in sorted(self.victim.rglob("*")):
            found[str(path)] = path.read_bytes() if path.is_file() else "folder"
        return found


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
