"""Every error of the project: each subclasses `PixelwiseError` and the matching builtin.

A message says what was expected, what was found, where, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from textwrap import shorten
from typing import Final

MEMORY_ADVICE = (
    "The memory of the device is full. Take a smaller batch (--batch-size), smaller patches "
    "(--size, or --tile in prediction) or a smaller network; or close what else uses the device."
)
_MEMORY_SIGNS = re.compile(
    "out of memory|can't allocate memory|cannot allocate memory|not enough memory|bad_alloc"
    "|invalid buffer size"  # MPS
    "|alloc_failed|cublas_status_not_initialized|unable to find an engine"  # cuBLAS and cuDNN
    # oneDNN; not "primitive descriptor", which means that the operation is not implemented
    "|could not create a memory object|could not create a primitive(?! descriptor)",
    re.IGNORECASE,
)
_LONGEST_QUOTE = 160  # characters
LONGEST_VALUE: Final = 200
"""Characters shown of a value from a file or from the user."""
LONGEST_MESSAGE: Final = 4_000
"""Characters shown of a whole message."""

_UNSEEN = re.compile(
    # C0 without tab and line feed, DEL and C1; text directions and their overrides; line and
    # paragraph separators; surrogates, which stand for bytes that are not UTF-8
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = LONGEST_VALUE
_repr.maxlist = _repr.maxtuple = _repr.maxdict = 20


class PixelwiseError(Exception):
    """Base of all errors that are raised on purpose; the command line prints one message.

    Of a message longer than `LONGEST_MESSAGE`, which quotes a damaged file, the middle is left out.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(_shorten_message(message))


class ConfigError(PixelwiseError, ValueError):
    """A setting has an invalid value, or one that conflicts with another setting."""


class UnknownNameError(ConfigError):
    """A name that does not exist; the message lists those that do."""


class DataError(PixelwiseError, ValueError):
    """The content of an image, a mask or a data set is not what the job needs."""


class AxesError(DataError):
    """The axes of an image are not named, and a guess from its shape may be wrong."""


class ReadError(PixelwiseError, OSError):
    """A file or folder is missing, damaged or of an unknown kind."""


class WriteError(PixelwiseError, OSError):
    """A file or folder cannot be written."""


class BudgetError(PixelwiseError, MemoryError):
    """An image or a job would need more memory than the budget allows."""


class ModelFileError(PixelwiseError, ValueError):
    """A model file or checkpoint is damaged, not ours, or does not fit the job."""


class WeightsError(PixelwiseError, RuntimeError):
    """Pre-trained weights are not available or do not fit the network."""


class DivergedError(PixelwiseError, FloatingPointError):
    """The loss or the weights are repeatedly not finite."""


class MissingPackageError(PixelwiseError, ImportError):
    """An optional package is needed for what was asked."""


class RunError(PixelwiseError, RuntimeError):
    """A run folder is not in the state that the job needs."""


def require_name(kind: str, name: str, names: Iterable[str]) -> str:
    """Return `name` if it is one of `names`; else raise with the list and the nearest names.

    Raises
    ------
    UnknownNameError
        `name` is not in `names`.
    """
    known = sorted(names)
    if name in known:
        return name
    near = get_close_matches(name[:LONGEST_VALUE], known, n=3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise UnknownNameError(f"Unknown {kind} {quote_value(name)}.{hint} Known: {', '.join(known)}.")


def is_memory_error(error: Exception) -> bool:
    """Whether memory ran out, on the host or on a GPU, in the wording of any torch backend.

    Some of these texts have other, rarer causes, so messages quote them: see `quote`.
    """
    return isinstance(error, MemoryError) or bool(_MEMORY_SIGNS.search(str(error)))


def explain_memory_error(error: Exception) -> str:
    """Explain that memory ran out and what to do, and quote the original message."""
    return f"{MEMORY_ADVICE} {quote(error)}"


def describe_failure(error: Exception) -> str:
    """Return the message of any error; if memory ran out, also what to do."""
    if is_memory_error(error) and not isinstance(error, PixelwiseError):
        return explain_memory_error(error)
    return str(error) or type(error).__name__


def quote(error: Exception) -> str:
    """Return the start of an error's own message, in parentheses."""
    return f"({shorten(str(error) or type(error).__name__, _LONGEST_QUOTE)})"


def quote_value(value: object) -> str:
    """Return the repr of a value, cut to 200 characters: it may come from a file."""
    try:
        shown = _repr.repr(value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return f"a value of type {type(value).__name__} that is too long to show"
    if len(shown) > LONGEST_VALUE:
        return f"{shown[: LONGEST_VALUE - 3]}..."
    return shown


def show_text(text: str, *, most: int | None = None) -> str:
    r"""Make a text safe to show on a terminal, in a log or in a window.

    Characters that control a terminal, change the text direction, or break lines are escaped as
    ``\u001b``, as in JSON, so that JSON stays valid. Tabs and line feeds stay.

    Parameters
    ----------
    text : str
    most : int, optional
        Characters to show; the middle of a longer text is left out.
    """
    text = text if most is None else _shorten_message(text, most)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _shorten_message(text: str, most: int = LONGEST_MESSAGE) -> str:
    """Leave out the middle of a text of more than `most` characters."""
    if len(text) <= most:
        return text
    cut = f" [... {len(text) - most} characters are not shown ...] "
    return f"{text[: most // 2]}{cut}{text[-(most - most // 2) :]}"


def has_control(text: str) -> bool:
    """Whether a text has control characters (see `show_text`), tabs or line feeds."""
    return bool(_UNSEEN.search(text)) or "\n" in text or "\t" in text
