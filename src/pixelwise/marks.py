"""What made a result, kept in the file itself: a mark with a checksum.

A TIFF has it in the tag Software, an OME-Zarr in its group's attributes, a table (CSV) in a file
beside it, ``NAME_objects.csv.json``. It tells the results of this program from everybody else's
files, and those that were changed afterwards from those that were not. There is no time and no path
in it: the same model, image and settings give the same bytes. A figure has a checksum only.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from pixelwise.atomic import replacing
from pixelwise.checksums import (
    BLANK_CHECKSUM,
    WORD,
    Checksum,
    add_checksum,
    check_checksum,
    hash_content,
)
from pixelwise.frozen import Config

_HEAD_BYTES: Final = 4 << 20
"""A mark begins in this part of a file, as its checksum does."""
_MOST_BYTES: Final = 1 << 16
"""Longer ones are not read."""
_COMMENTS: Final = {".pdf": "\n% {}\n", ".png": "\n{}\n", ".svg": "\n<!-- {} -->\n"}
"""What may stand after the end of a figure, which the programs that show it leave out."""


class Mark(Config):
    """What made a result.

    Attributes
    ----------
    checksum : str
        Of the file or folder, see `checksums`; it comes first, because it is what is looked for.
    pixelwise : str
        Version that wrote it.
    model : str
        SHA-256 of the model file; of card and weights, where the model was no file.
    image : str or None
        SHA-256 of the image's file or folder; None for an array.
    axes : str
        Axes of the image, as it was read.
    settings : dict
        Fields of `PredictConfig` that change the result.
    content : str or None
        SHA-256 of the table that the mark lies beside.
    """

    checksum: str = BLANK_CHECKSUM
    pixelwise: str
    model: str
    image: str | None
    axes: str
    settings: dict[str, Any] = Field(default_factory=dict)
    content: str | None = None


def name_mark(path: Path) -> Path:
    """File that holds the mark of a result."""
    if path.is_dir():
        return path / "zarr.json"
    return path.with_name(f"{path.name}.json") if path.suffix.lower() == ".csv" else path


def read_mark(path: Path) -> Mark | None:
    """Read the mark of a file, table or OME-Zarr; None if it has none that can be read.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    file = name_mark(path)
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES + _MOST_BYTES)
    word = head.find(WORD.encode(), 0, _HEAD_BYTES)
    start = head.rfind(b"{", 0, max(word, 0))
    text = head[start : start + _MOST_BYTES].decode("utf-8", "replace")
    with suppress(ValueError, RecursionError, ValidationError):
        found, _ = json.JSONDecoder().raw_decode(text) if start >= 0 else (None, 0)
        return Mark.model_validate(found)
    return None


def check_mark(path: Path) -> Checksum:
    """Say whether a path has a mark, and whether it is still what was written with it.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    if path.suffix.lower() in _COMMENTS:
        return check_checksum(path)
    mark = read_mark(path)
    if mark is None:
        return Checksum.MISSING
    found = check_checksum(name_mark(path), folder=path if path.is_dir() else None)
    if path.suffix.lower() == ".csv" and (not path.is_file() or hash_content(path) != mark.content):
        return Checksum.WRONG
    return found


def mark_figure(path: Path, suffix: str) -> None:
    """Put a checksum after the end of a figure that was drawn as PNG, SVG or PDF."""
    with path.open("ab") as file:
        file.write(_COMMENTS[suffix.lower()].format(BLANK_CHECKSUM).encode())
    if path.stat().st_size <= _HEAD_BYTES:  # else it is too large to be found
        add_checksum(path)


def write_mark_beside(table: Path, mark: Mark, *, content: str) -> None:
    """Write the mark of a table that has no room for one; `content` is the table's SHA-256.

    Raises
    ------
    WriteError
        The folder cannot be written.
    """
    values = mark.model_copy(update={"content": content}).model_dump(mode="json")
    with replacing(name_mark(table)) as temp:
        temp.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        add_checksum(temp)
