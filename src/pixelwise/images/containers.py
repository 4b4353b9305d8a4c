"""Files that hold several images: ``file.h5/exported_data`` is the path of one of them.

What stands after the file's own path is called inner path: of a data set in HDF5, of a key in .npz,
of a series, scene or position in a microscope's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pixelwise.errors import DataError

_MOST_NAMES: Final = 8


def split_inner(path: Path) -> tuple[Path, str]:
    """Path of a file, and the inner path after it, with ``/``; empty if there is none.

    A path that leads through no file is returned as it is.
    """
    for parent in path.parents:
        if parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return path, ""


def find_file(path: Path) -> Path:
    """File or folder that holds an image; the path itself unless it has an inner path."""
    return split_inner(path)[0]


def name_image(path: Path) -> str:
    """Name of an image for a result or a sample: the stem of its file, with the inner path."""
    file, inner = split_inner(path)
    stem = file.name[:-7] if file.name.lower().endswith(".nii.gz") else file.stem
    return f"{stem}-{inner.replace('/', '-')}" if inner else stem


def list_inner(file: Path, names: Sequence[str]) -> str:
    """Paths of the images in a file, for a message."""
    shown = ", ".join(f'"{file}/{name}"' for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def choose_inner(
    path: Path, names: Sequence[str], *, kind: str, default: int = 0
) -> tuple[int, tuple[str, ...]]:
    """Find the number of the series, scene or position that a path asks for, and notes.

    Parameters
    ----------
    path : path
        Of the file, or with an inner path: a name, or a number from 0.
    names : sequence of str
        Of all series of the file, in its order.
    kind : str
        As messages call several: series, scenes, positions.
    default : int
        The one to take if the path asks for none.

    Returns
    -------
    int
        Of the series.
    tuple of str
        A note that names the others, if there are any and the path chose none.

    Raises
    ------
    DataError
        There is no such series, or several of that name.
    """
    file, inner = split_inner(path)
    if not inner:
        others = [name for i, name in enumerate(names) if i != default]
        note = f"holds {len(names)} {kind}; {names[default]!r} was read"
        return default, (f"{note}, the others are {list_inner(file, others)}",) * bool(others)
    found = [i for i, name in enumerate(names) if name.strip("/") == inner]
    if not found and inner.isdecimal() and int(inner) < len(names):
        found = [int(inner)]
    if len(found) != 1:
        count = "no" if not found else f"{len(found)}"
        wanted = [str(i) for i in found] if found else [*names]
        raise DataError(
            f"{file} holds {count} {kind} called {inner!r}: expected one of "
            f"{list_inner(file, wanted)}."
        )
    return found[0], ()
