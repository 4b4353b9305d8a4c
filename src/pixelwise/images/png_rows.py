"""Whether a PNG holds all its rows: Pillow gives zeros for those that are missing at its end."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
_PASSES: Final = (  # of an interlaced image: first row, distance of rows, the same of columns
    (0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)
)  # fmt: skip
_ALL_AT_ONCE: Final = ((0, 1, 0, 1),)
_READ, _BLOCK = 1 << 16, 1 << 20  # bytes, compressed and not


@dataclass(frozen=True)
class PngHeader:
    """Start of a PNG, of at least 29 bytes: size, depth, colour type and interlacing."""

    start: bytes

    @property
    def is_interlaced(self) -> bool:
        """Whether the pixels are stored in seven passes."""
        return self.start[28] == 1

    def count_bytes(self) -> int:
        """Count the bytes of the pixels before compression; a row has one more, for its filter."""
        width, height = struct.unpack(">II", self.start[16:24])
        bits = self.start[24] * _SAMPLES.get(self.start[25], 1)
        passes = _PASSES if self.is_interlaced else _ALL_AT_ONCE
        sides = [(-(-(height - y) // dy), -(-(width - x) // dx)) for y, dy, x, dx in passes]
        return sum(
            rows * (1 + -(-columns * bits // 8))
            for rows, columns in sides
            if rows > 0 and columns > 0
        )


def require_all_rows(file: IO[bytes], header: PngHeader) -> None:
    """Refuse a PNG whose compressed data ends before its last row.

    Raises
    ------
    OSError
        Bytes are missing.
    """
    promised, found = header.count_bytes(), 0
    for block in _iter_unpacked(file):
        found += len(block)
        if found >= promised:
            return
    raise OSError(f"{promised - found} of its {promised} bytes are missing")


def _iter_unpacked(file: IO[bytes]) -> Iterator[bytes]:
    """Bytes of the pixels before compression, in blocks."""
    unpacking = zlib.decompressobj()
    for kind, size in iter_chunks(file):
        while kind == b"IDAT" and (data := file.read(min(size, _READ))) and not unpacking.eof:
            size -= len(data)
            while data and not unpacking.eof:
                yield unpacking.decompress(data, _BLOCK)
                data = unpacking.unconsumed_tail
    yield unpacking.flush()


def iter_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each chunk of a PNG, with the file positioned at its data."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[:4], "big")
        end = file.tell() + size + 4
        yield head[4:], size
        file.seek(end, os.SEEK_SET)
