"""Problems of a data set, and notes on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal[
    "unpaired", "unreadable", "shape", "channels", "values", "empty", "nan", "duplicate", "note"
]


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes
    ----------
    kind : str
        unpaired (image without mask or mask without image), unreadable, shape, channels, values
        (mask values without a class), empty (no class but background), nan, duplicate, note.
    where : str
        File or folder.
    message : str
        What was found and what to do.
    fatal : bool
        Whether this must be fixed before training.
    """

    kind: Kind
    where: str
    message: str
    fatal: bool = False

    def __str__(self) -> str:
        return self.message if self.where in self.message else f"{self.where}: {self.message}"


def merge_notes(notes: Iterable[tuple[Path, str]]) -> list[Problem]:
    """Convert notes on files to problems; equal notes on many files become one with a count."""
    files: dict[str, list[Path]] = {}
    for path, note in notes:
        files.setdefault(note, []).append(path)
    return [
        Problem(
            "note",
            str(paths[0]),
            note if len(paths) == 1 else f"{len(paths)} files, e.g. {paths[0]}: {note}",
        )
        for note, paths in files.items()
    ]
