"""Detects damaged TIFFs from what tifffile and its decoders raise or only log."""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pixelwise.errors import PixelwiseError, ReadError, quote
from pixelwise.images.damage import DAMAGE

_LOGGER: Final = logging.getLogger("tifffile")
_DAMAGE_WORDS: Final = (
    *("corrupted", "circular", "invalid offset", "invalid page offset", "failed to reshape"),
    *("zeroed", "missing", "not match", "incompletely", "out of range"),
)


@contextmanager
def explaining_damage(path: Path) -> Iterator[None]:
    """Turn whatever tifffile and its decoders raise into a `ReadError`."""
    try:
        yield
    except PixelwiseError:
        raise
    except DAMAGE as error:
        raise ReadError(
            f"{path} is damaged, truncated, or compressed in an unknown way {quote(error)}. "
            "Save it again or leave it out."
        ) from error


class _Listener(logging.Filter):
    """Collects what tifffile only logs: missing pages, replaced by zeros.

    It is on tifffile's logger while any thread listens, and collects messages per thread. A filter
    per thread would not do: while one is removed, the logger may skip another.
    """

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()
        self._lock, self._listening = threading.Lock(), 0

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """Yield the list of this thread's messages, filled while the block runs."""
        heard: list[str] = []
        with self._lock:
            self._listening += 1
            _LOGGER.addFilter(self)
        self._local.heard = heard
        try:
            yield heard
        finally:
            self._local.heard = None
            with self._lock:
                self._listening -= 1
                if not self._listening:
                    _LOGGER.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Collect a message if its thread is listening; otherwise let it pass."""
        heard: list[str] | None = getattr(self._local, "heard", None)
        if heard is None:
            return True
        heard.append(record.getMessage())
        return False


LISTENER: Final = _Listener()


def require_sound(heard: Iterable[str]) -> None:
    """Raise `ValueError` if tifffile logged damage."""
    for message in heard:
        if any(word in message for word in _DAMAGE_WORDS):
            raise ValueError(message)


def require_end_of_pages(tiff: Any) -> None:
    """Raise `ValueError` if the chain of pages is circular: tifffile would follow it forever.

    If it leads out of the file, tifffile ends it and logs that.
    """
    form, file = tiff.tiff, tiff.filehandle
    offset, seen = tiff.pages.first.offset, set[int]()
    while 0 < offset < file.size:
        if offset in seen:
            raise ValueError(f"circular: the page at byte {offset} recurs after {len(seen)} pages")
        seen.add(offset)
        file.seek(offset)
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(offset + form.tagnosize + count * form.tagsize)
        (offset,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))


def require_whole(path: Path, series: Any) -> None:
    """Raise if strips or tiles are beyond the end of the file; decoders may fill them with 0."""
    size = path.stat().st_size
    for page in series.pages:
        if page is None or page.parent is not series.parent:
            continue
        ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends, default=0) > size:
            raise ReadError(
                f"{path} is truncated: its pixels should end at byte {max(ends)}, "
                f"the file has {size}. Copy or save it again."
            )
