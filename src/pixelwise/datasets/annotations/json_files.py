"""Untrusted JSON: read within limits, and navigated so that errors name the place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from pixelwise.errors import DataError, quote_value
from pixelwise.parsing import parse_json, read_text

Points = npt.NDArray[np.float64]

LARGEST_COORDINATE: Final = 1e6
"""In pixels; no image is this wide, and larger ones would overload drawing."""
_QUOTED: Final = 60


def read_json(path: Path) -> JsonNode:
    """Read a JSON file of up to 1 GiB.

    Raises
    ------
    ReadError
        The file is missing, too large, nested too deeply, or not JSON.
    """
    return JsonNode(parse_json(read_text(path, what="annotation"), str(path)), path)


@dataclass(frozen=True, slots=True)
class JsonNode:
    """A value inside a JSON file, with its place for messages.

    Attributes
    ----------
    value
        As parsed by `json`; None if a key is absent.
    path : Path
        The file.
    place : str
        Such as ``annotations[3].segmentation``; empty for the whole file.
    """

    value: Any
    path: Path
    place: str = ""

    def __str__(self) -> str:
        return f"{self.path}, {self.place}" if self.place else str(self.path)

    def __getitem__(self, key: str) -> JsonNode:
        """Value of a key of this object; a node of None if it is absent."""
        if not isinstance(self.value, dict):
            self.fail("an object with keys")
        return JsonNode(self.value.get(key), self.path, f"{self.place}.{key}".lstrip("."))

    def __iter__(self) -> Iterator[JsonNode]:
        """Items of this list."""
        if not isinstance(self.value, list):
            self.fail("a list")
        for number, item in enumerate(self.value):
            yield JsonNode(item, self.path, f"{self.place}[{number}]")

    @property
    def absent(self) -> bool:
        """Whether there is nothing: no such key, null, or an empty list, object or text."""
        return self.value is None or (isinstance(self.value, list | dict | str) and not self.value)

    def fail(self, expected: str) -> NoReturn:
        """Raise a `DataError` that says what was expected here and what was found."""
        shown = quote_value(self.value)
        shown = shown if len(shown) <= _QUOTED else f"{shown[:_QUOTED]}..."
        raise DataError(f"{self}: expected {expected}, found {shown}.")

    def text(self) -> str:
        """Text without surrounding blanks, at least one character."""
        if not isinstance(self.value, str) or not self.value.strip():
            self.fail("a text")
        return str(self.value).strip()

    def number(self) -> float:
        """Return a finite number."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail("a number")
        if not -LARGEST_COORDINATE <= value <= LARGEST_COORDINATE:
            self.fail(f"a number between -{LARGEST_COORDINATE:g} and {LARGEST_COORDINATE:g}")
        return float(value)

    def size(self) -> int:
        """Return a whole number from 1 to a million: a height or width in pixels."""
        value = self.number()
        if value < 1 or value != int(value):
            self.fail("a whole number of pixels from 1 on")
        return int(value)

    def identity(self) -> int | str:
        """Return an identifier: a whole number or a text."""
        value = self.value
        if isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
            self.fail("an id (a whole number or a text)")
        return int(value)

    def points(self, *, least: int) -> Points:
        """Points (V, 2) as (x, y) in pixels, at least `least` of them.

        A third number (GeoJSON's elevation) is ignored.
        """
        found = self._numbers("a list of points [x, y]")
        if found.ndim != 2 or found.shape[1] not in (2, 3) or len(found) < least:
            self.fail(f"at least {least} points [x, y]")
        return np.ascontiguousarray(found[:, :2])

    def flat_points(self) -> Points:
        """Points (V, 2) as (x, y) in pixels of a list x, y, x, y, ..."""
        found = self._numbers("a list of numbers x, y, x, y, ...")
        if found.ndim != 1 or found.size % 2:
            self.fail("an even count of numbers x, y, x, y, ...")
        return found.reshape(-1, 2)

    def _numbers(self, expected: str) -> Points:
        """Finite numbers within the limit, of any shape."""
        if not isinstance(self.value, list):
            self.fail(expected)
        try:
            found = np.asarray(self.value)
        except ValueError:
            self.fail(expected)
        if found.size and found.dtype.kind not in "iuf":
            self.fail(expected)
        if not (np.abs(found) <= LARGEST_COORDINATE).all():
            self.fail(f"finite coordinates up to {LARGEST_COORDINATE:g} px")
        return found.astype(np.float64)
