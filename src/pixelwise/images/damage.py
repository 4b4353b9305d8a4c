"""One way to turn what other packages raise into an error that a person understands."""

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
"""What packages raise at files that are damaged; memory runs out at sizes that are no sizes."""


@contextmanager
def explaining_damage(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Turn whatever a package raises into a `ReadError`; the project's own errors pass.

    Parameters
    ----------
    path : path
        Of the file, for the message.
    *others : type
        Errors of the package's own.

    Raises
    ------
    ReadError
        The file is damaged, or of a variant that the package does not know.
    """
    expected: tuple[type[Exception], ...] = (*DAMAGE, *others)
    try:
        yield
    except PixelwiseError:
        raise
    except expected as error:
        raise ReadError(
            f"{path} is damaged, cut off, or of a variant that cannot be read {quote(error)}. "
            "Save it again or leave it out."
        ) from error
