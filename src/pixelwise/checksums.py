"""Files and folders that carry the SHA-256 of their content, so that later changes are detected.

The checksum is in the file itself, after a fixed word. It covers all bytes, with zeros in place of
its own digits. It detects accidents: flipped bits, truncated copies, pixels edited by hand. It does
not detect someone who changes the content and the checksum together.
"""

from __future__ import annotations

import enum
import hashlib
from pathlib import Path
from typing import Final

from pixelwise.parsing import open_regular

WORD: Final = "pixelwise-sha256:"
"""Precedes the digits of a checksum."""
BLANK_CHECKSUM: Final = WORD + "0" * 64
"""Placeholder that is written first; `add_checksum` replaces the zeros by the digits."""

_HEAD_BYTES: Final = 4 << 20
"""The checksum starts within this many bytes."""
_BLOCK_BYTES: Final = 1 << 20


class Checksum(enum.Enum):
    """Result of comparing a file with its checksum."""

    MISSING = "missing"
    RIGHT = "right"
    WRONG = "wrong"


def add_checksum(path: Path, *, folder: Path | None = None) -> str:
    """Replace the `BLANK_CHECKSUM` in a file by its checksum, and return the digits.

    Parameters
    ----------
    path : path
    folder : path, optional
        Compute the checksum of all files in this folder, including `path`.

    Raises
    ------
    ValueError
        The file holds no blank checksum in its first 4 MiB.
    """
    with path.open("rb+") as file:
        place = file.read(_HEAD_BYTES).find(BLANK_CHECKSUM.encode())
        if place < 0:
            raise ValueError(f"{path} holds no blank checksum.")
        digits = _count(path, folder)
        file.seek(place + len(WORD))
        file.write(digits.encode())
    return digits


def check_checksum(path: Path, *, folder: Path | None = None) -> Checksum:
    """Compare a file, or the folder around it, with the checksum in the file.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    digits = find_checksum(path)
    if digits is None:
        return Checksum.MISSING
    return Checksum.RIGHT if digits == _count(path, folder) else Checksum.WRONG


def find_checksum(path: Path) -> str | None:
    """Read the digits of the checksum in a file; None if there is none."""
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
    place = head.find(WORD.encode())
    if place < 0:
        return None
    return head[place + len(WORD) : place + len(BLANK_CHECKSUM)].decode("ascii", "replace")


def hash_content(path: Path) -> str:
    """Digits of the SHA-256 of a file, or of the names and contents of all files in a folder."""
    return _hash_files(path, path) if path.is_dir() else _hash_file(path, blank=False)


def _count(path: Path, folder: Path | None) -> str:
    """Checksum digits of a file, or of the folder if one is given."""
    if folder is None:
        return _hash_file(path, blank=True)
    return _hash_files(folder, path)


def _hash_files(folder: Path, marked: Path) -> str:
    """SHA-256 of the names and contents of all files in a folder; `marked` holds the checksum."""
    whole = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = file.relative_to(folder).as_posix()
        line = f"{_hash_file(file, blank=file == marked)} {name}\n"
        whole.update(line.encode(errors="surrogateescape"))  # a name may be no UTF-8
    return whole.hexdigest()


def _hash_file(path: Path, *, blank: bool) -> str:
    """SHA-256 of a file; `blank` treats its checksum as not yet written."""
    found = hashlib.sha256()
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
        found.update(_blank(head) if blank else head)
        while block := file.read(_BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()


def _blank(head: bytes) -> bytes:
    """Replace the digits of the first checksum by zeros."""
    place = head.find(WORD.encode())
    if place < 0:
        return head
    return head[:place] + BLANK_CHECKSUM.encode() + head[place + len(BLANK_CHECKSUM) :]
