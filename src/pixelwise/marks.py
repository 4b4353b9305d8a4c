"""Marks: the provenance and checksum of a result, kept in the file itself.

A TIFF has it in the tag Software, an OME-Zarr in its group's attributes, a table (CSV) in a file
beside it, ``NAME_objects.csv.json``. It distinguishes this program's results from other files, and
changed results from unchanged ones. It holds no time and no path: the same model, image and
settings give the same bytes. Figures and reports have only a checksum.
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
from pixelwise.config_base import Config

_HEAD_BYTES: Final = 4 << 20
"""A mark and its checksum start within this many bytes."""
_MOST_BYTES: Final = 1 << 16
"""Longer marks are not read."""
_COMMENTS: Final = {".pdf": "\n% {}\n", ".png": "\n{}\n", ".svg": "\n<!-- {} -->\n"}
"""Comments that viewers ignore after the end of a figure."""


class Mark(Config):
    """Provenance of a result.

    Attributes
    ----------
    checksum : str
        Of the file or folder, see `checksums`; first, because `read_mark` searches for it.
    pixelwise : str
        Version that wrote the result.
    model : str
        SHA-256 of the model file, or of card and weights if the model was not a file.
    image : str or None
        SHA-256 of the image's file or folder; None for an array.
    axes : str
        Axes of the image, as it was read.
    settings : dict
        Fields of `PredictConfig` that change the result.
    content : str or None
        SHA-256 of the table that the mark belongs to.
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
        mark = Mark.model_validate(found)
        mark.model_dump(mode="json")  # one nested too deeply could be neither shown nor compared
        return mark
    return None


def check_mark(path: Path) -> Checksum:
    """Check a result against its mark: missing, right or wrong.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    if path.suffix.lower() in (*_COMMENTS, ".html", ".safetensors"):
        return check_checksum(path)
    mark = read_mark(path)
    if mark is None:
        return Checksum.MISSING
    found = check_checksum(name_mark(path), folder=path if path.is_dir() else None)
    if path.suffix.lower() == ".csv" and (not path.is_file() or hash_content(path) != mark.content):
        return Checksum.WRONG
    return found


def mark_figure(path: Path, suffix: str) -> None:
    """Append a checksum to a figure in PNG, SVG or PDF."""
    with path.open("ab") as file:
        file.write(_COMMENTS[suffix.lower()].format(BLANK_CHECKSUM).encode())
    if path.stat().st_size <= _HEAD_BYTES:  # otherwise the checksum would not be found
        add_checksum(path)


def write_mark_beside(table: Path, mark: Mark, *, content: str) -> None:
    """Write the mark of a table to a file beside it; `content` is the table's SHA-256.

    Raises
    ------
    WriteError
        The folder cannot be written.
    """
    values = mark.model_copy(update={"content": content}).model_dump(mode="json")
    with replacing(name_mark(table)) as temp:
        temp.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        add_checksum(temp)
