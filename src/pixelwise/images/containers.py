"""Files that hold several images: ``file.h5/exported_data`` is the path of one of them.

The part after the file's own path is the inner path: a data set in HDF5, a key in .npz, or a
series, scene or position in a microscope file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.errors import DataError, quote_value

_MOST_NAMES: Final = 8


def split_inner(path: Path) -> tuple[Path, str]:
    """Split a path into file and inner path (with ``/``, empty if there is none)."""
    if path.exists():
        return path, ""
    for parent in path.parents:
        if parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return path, ""


def find_file(path: Path) -> Path:
    """File or folder that holds an image: the path without its inner path."""
    return split_inner(path)[0]


def name_image(path: Path) -> str:
    """Name of an image for results and samples: the stem of its file, plus the inner path."""
    file, inner = split_inner(path)
    stem = file.name[:-7] if file.name.lower().endswith(".nii.gz") else file.stem
    return f"{stem}-{inner.replace('/', '-')}" if inner else stem


def list_inner(file: Path, names: Sequence[str]) -> str:
    """Paths of the images in a file, for a message."""
    shown = ", ".join(f'"{file}/{name}"' for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


@dataclass(frozen=True)
class Choice:
    """Which series, scene or position of a file is read.

    Attributes
    ----------
    number : int
        Its index in the file.
    notes : tuple of str
        What else the file holds, if the user did not choose.
    ambiguous : str
        The same, if others are just as large; empty otherwise.
    """

    number: int
    notes: tuple[str, ...] = ()
    ambiguous: str = ""


def choose_inner(path: Path, names: Sequence[str], sizes: Sequence[int], *, kind: str) -> Choice:
    """Find the series, scene or position that a path names, or the largest one.

    Parameters
    ----------
    path : path
        Path of the file, or with an inner path: a name, or a number from 0.
    names : sequence of str
        Names of all series, in file order.
    sizes : sequence of int
        Pixels of each.
    kind : str
        Plural for messages: series, scenes, positions.

    Raises
    ------
    DataError
        There is no such series, or several have that name.
    """
    file, inner = split_inner(path)
    if not inner:
        return _choose_largest(file, names, sizes, kind=kind)
    found = [i for i, name in enumerate(names) if name.strip("/") == inner]
    if not found and inner.isdecimal() and int(inner) < len(names):
        found = [int(inner)]
    if len(found) != 1:
        count = "no" if not found else f"{len(found)}"
        wanted = [str(i) for i in found] if found else [*names]
        raise DataError(
            f"{file} has {count} {kind} named {quote_value(inner)}: expected one of "
            f"{list_inner(file, wanted)}."
        )
    return Choice(found[0])


def _choose_largest(file: Path, names: Sequence[str], sizes: Sequence[int], *, kind: str) -> Choice:
    """Choose the largest series, the first if tied, and name the others."""
    number = sizes.index(max(sizes))
    if len(names) == 1:
        return Choice(number)
    others = list_inner(file, [name for i, name in enumerate(names) if i != number])
    note = (
        f"holds {len(names)} {kind}; {quote_value(names[number])} was read, the others are {others}"
    )
    return Choice(number, (note,), note if [*sizes].count(sizes[number]) > 1 else "")
