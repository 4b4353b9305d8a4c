"""Counts of true and false positives and negatives, by image and class, as CSV.

One row is one class of one image: what every score and interval is computed from, and what other
programs can give to be compared with.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.errors import DataError, ReadError, quote_value
from pixelwise.parsing import read_text
from pixelwise.scores import SCORE_NAMES, Counts, Scores, count_one_vs_rest, divide_counts

COLUMNS: Final = ("model", "image", "class", "tp", "fp", "fn", "tn")
_CSV_BYTES: Final = 256 << 20
_LARGEST: Final = 2**53
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ImageCounts:
    """Counts of one model on several images.

    Attributes
    ----------
    images : tuple of str
        Names of the images.
    classes : tuple of str
        Names of the classes.
    values : ndarray, (images, classes, 4)
        True positives, false positives, false negatives, true negatives, in pixels.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    values: Array

    @classmethod
    def create(cls, scores: Mapping[str, Scores]) -> ImageCounts:
        """Count by the confusion matrix of each image, one or more."""
        first = next(iter(scores.values()))
        values = [np.stack(count_one_vs_rest(one.matrix), axis=-1) for one in scores.values()]
        return cls(tuple(scores), first.names, np.stack(values))

    def select(self, images: tuple[str, ...]) -> ImageCounts:
        """Choose images, in this order."""
        places = {name: number for number, name in enumerate(self.images)}
        values = self.values[[places[name] for name in images]]
        return ImageCounts(images, self.classes, values)

    def add(self, other: ImageCounts) -> ImageCounts:
        """Join two: the counts of an image that both have are summed."""
        if self.classes != other.classes:
            raise DataError(
                f"Classes {', '.join(self.classes)} and {', '.join(other.classes)} cannot be "
                "scored together: expected the same, in the same order."
            )
        images = tuple(dict.fromkeys((*self.images, *other.images)))
        places = {name: number for number, name in enumerate(images)}
        values = np.zeros((len(images), len(self.classes), 4))
        for counts in (self, other):
            values[[places[name] for name in counts.images]] += counts.values
        return ImageCounts(images, self.classes, values)

    def dice_by_image(self, background: int | None) -> Array:
        """Dice of each image, the mean over its foreground classes; NaN if none is there."""
        by_class = divide_counts(Counts(*np.moveaxis(self.values, -1, 0)))
        dice = by_class[SCORE_NAMES.index("dice")]
        front = [i for i in range(len(self.classes)) if i != background]
        defined = ~np.isnan(dice[:, front])
        summed = np.where(defined, dice[:, front], 0).sum(axis=1)
        return np.where(defined.any(axis=1), summed / defined.sum(axis=1).clip(min=1), np.nan)

    def total(self) -> Counts:
        """Sum over the images; the counts have the shape (classes,)."""
        return Counts(*self.values.sum(axis=0).T)


def write_counts(found: Mapping[str, ImageCounts]) -> str:
    """Write the counts of models by name as CSV."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for model, counts in found.items():
        for image, by_class in zip(counts.images, counts.values, strict=True):
            for name, values in zip(counts.classes, by_class, strict=True):
                writer.writerow([model, image, name, *map(int, values)])
    return text.getvalue()


def read_counts(path: Path) -> dict[str, ImageCounts]:
    """Read a CSV of counts, by model.

    Raises
    ------
    ReadError
        The file cannot be read, or is no such table; the message names the line.
    """
    lines = csv.reader(StringIO(read_text(path, what="table of counts", most=_CSV_BYTES)))
    header = next(lines, [])
    if tuple(header) != COLUMNS:
        raise ReadError(
            f"{path} begins with {quote_value(','.join(header))}; expected the columns "
            f"{','.join(COLUMNS)}, one row for each class of each image."
        )
    found: dict[str, dict[str, dict[str, list[int]]]] = {}
    for number, row in enumerate(_iter_rows(lines, path), start=2):
        if len(row) != len(COLUMNS):
            raise ReadError(f"{path}, line {number}: {len(row)} values, expected {len(COLUMNS)}.")
        model, image, name, *rest = row
        by_class = found.setdefault(model, {}).setdefault(image, {})
        if name in by_class:
            raise ReadError(f"{path}, line {number}: {image}, {name} is there twice for {model}.")
        by_class[name] = [_parse_count(text, path, number) for text in rest]
    if not found:
        raise ReadError(f"{path} holds no counts: expected a row for each class of each image.")
    return {model: _stack(images, path, model) for model, images in found.items()}


def _iter_rows(lines: Any, path: Path) -> Any:
    """Rows of a table; what the csv module refuses is a `ReadError`."""
    try:
        yield from lines
    except csv.Error as error:
        raise ReadError(f"{path} is no table of comma-separated values ({error}).") from error


def _parse_count(text: str, path: Path, number: int) -> int:
    """Read a whole number of pixels."""
    if not (text.isascii() and text.isdigit() and int(text[:20]) < _LARGEST):
        raise ReadError(
            f"{path}, line {number}: expected a number of pixels, got {quote_value(text)}."
        )
    return int(text)


def _stack(images: Mapping[str, Mapping[str, list[int]]], path: Path, model: str) -> ImageCounts:
    """Stack the counts of one model; every image needs the same classes."""
    classes = tuple(next(iter(images.values())))
    for image, by_class in images.items():
        if set(by_class) != set(classes):
            raise ReadError(
                f"{path}: {image} has the classes {', '.join(by_class)} for {model}, other images "
                f"{', '.join(classes)}; expected the same for all."
            )
    values = [[by_class[name] for name in classes] for by_class in images.values()]
    return ImageCounts(tuple(images), classes, np.array(values, np.float64))
