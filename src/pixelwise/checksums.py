"""Files and folders that carry the SHA-256 of what they hold, so that a later change shows.

The checksum stands in the file itself, after a word that is easy to find. It is that of all bytes,
with zeros in the place of its own digits. It finds accidents: a bit that flipped, a copy that was
cut off, pixels that somebody has corrected. It does not find who changes it together with the rest.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pixelwise.parsing import open_regular

WORD: Final = "pixelwise-sha256:"
"""Stands before the digits of a checksum."""
BLANK_CHECKSUM: Final = WORD + "0" * 64
"""What is written first; `add_checksum` puts the digits in the place of the zeros."""

_HEAD_BYTES: Final = 4 << 20
"""The checksum begins in this part of a file."""
_BLOCK_BYTES: Final = 1 << 20


class Checksum(enum.Enum):
    """What a file's checksum says of its content."""

    MISSING = "missing"
    RIGHT = "right"
    WRONG = "wrong"


def add_checksum(path: Path, *, folder: Path | None = None) -> str:
    """Write the checksum of a file that holds `BLANK_CHECKSUM` into it; gives its digits.

    Parameters
    ----------
    path : path
    folder : path, optional
        The checksum is that of all files in this folder, `path` among them.

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
    """Digits of a file's checksum, or of the folder's whose checksum it holds."""
    if folder is None:
        return _hash_file(path, blank=True)
    return _hash_files(folder, path)


def _hash_files(folder: Path, marked: Path) -> str:
    """SHA-256 of the names and contents of all files in a folder; `marked` holds the checksum."""
    whole = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = file.relative_to(folder).as_posix()
        whole.update(f"{_hash_file(file, blank=file == marked)} {name}\n".encode())
    return whole.hexdigest()


def _hash_file(path: Path, *, blank: bool) -> str:
    """SHA-256 of a file, as if its checksum had not been written yet if `blank`."""
    found = hashlib.sha256()
    for number, block in enumerate(_iter_blocks(path)):
        found.update(_blank(block) if blank and not number else block)
    return found.hexdigest()


def _iter_blocks(path: Path) -> Iterator[bytes]:
    """Bytes of a file: first those in which its checksum is."""
    with open_regular(path) as file:
        yield file.read(_HEAD_BYTES)
        while block := file.read(_BLOCK_BYTES):
            yield block


def _blank(head: bytes) -> bytes:
    """Put zeros in the place of the first checksum."""
    place = head.find(WORD.encode())
    if place < 0:
        return head
    return head[:place] + BLANK_CHECKSUM.encode() + head[place + len(BLANK_CHECKSUM) :]
