"""Turns exceptions of other packages into errors that users understand."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pixelwise.errors import PixelwiseError, ReadError, quote

DAMAGE: Final = (
    OSError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, AssertionError,
    RuntimeError, NotImplementedError, ArithmeticError, SyntaxError, NameError, UnicodeError,
    struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, MemoryError, StopIteration,
)  # fmt: skip
"""What packages raise for damaged files; a MemoryError comes from absurd sizes in a header."""


@contextmanager
def explaining_damage(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Turn what a package raises (`DAMAGE` and `others`) into a `ReadError`; our own errors pass.

    Raises
    ------
    ReadError
        The file is damaged, or of a variant that the package does not support.
    """
    expected: tuple[type[Exception], ...] = (*DAMAGE, *others)
    try:
        yield
    except PixelwiseError:
        raise
    except expected as error:
        raise ReadError(
            f"{path} is damaged, truncated, or of an unsupported variant {quote(error)}. "
            "Save it again or leave it out."
        ) from error
