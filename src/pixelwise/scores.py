"""All scores of a segmentation, from one confusion matrix over the whole set.

Counts are summed first and divided last: a set's score is never the mean of its batches' scores.
Pixels that are void in the truth are not counted. An undefined score, such as the sensitivity to a
class that never occurs, is NaN; it is left out of means and is null in JSON.

Definitions (one class against the rest): accuracy (TP+TN)/all, sensitivity TP/(TP+FN),
specificity TN/(TN+FP), precision TP/(TP+FP), Dice = F1 = 2TP/(2TP+FP+FN), IoU TP/(TP+FP+FN).
Macro is the mean over classes, micro pools their counts; "foreground" leaves out the background.
The accuracy over all classes is the fraction of pixels with the right class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import isnan
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pixelwise.classes import VOID
from pixelwise.errors import DataError

Matrix = npt.NDArray[np.int64]
Labels = npt.NDArray[np.integer[Any]]
_Array = npt.NDArray[np.float64]

_PART = 1 << 20  # pixels that are counted at a time


def count_confusion(truth: Labels, prediction: Labels, classes: int) -> Matrix:
    """Count how often each class was predicted for each true class.

    Parameters
    ----------
    truth : integer ndarray
        Class indices, any shape; `VOID` (255) is not counted.
    prediction : integer ndarray
        Class indices 0 … classes-1, same shape.
    classes : int
        Number of classes C.

    Returns
    -------
    int64 ndarray, (C, C)
        Rows are the truth, columns the prediction.

    Raises
    ------
    DataError
        The shapes differ, or a counted value is not a class.
    """
    if truth.shape != prediction.shape:
        raise DataError(
            f"Truth has shape {truth.shape} and prediction {prediction.shape}: expected the same."
        )
    counts = np.zeros(classes * classes, np.int64)
    flat_truth, flat_prediction = truth.reshape(-1), prediction.reshape(-1)
    for part in _iter_parts(truth.size):
        counted = flat_truth[part] != VOID
        true = flat_truth[part][counted].astype(np.int64)
        predicted = flat_prediction[part][counted].astype(np.int64)
        for name, values in (("Truth", true), ("Prediction", predicted)):
            if values.size and not (values.min() >= 0 and values.max() < classes):
                raise DataError(
                    f"{name} has values {values.min()} to {values.max()}; expected classes 0 to "
                    f"{classes - 1}, or {VOID} (void) in the truth."
                )
        counts += np.bincount(true * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def count_values(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Count the pixels of each value, (256,), of a class mask of any shape."""
    counts, flat = np.zeros(VOID + 1, np.int64), mask.reshape(-1)
    for part in _iter_parts(mask.size):
        counts += np.bincount(flat[part], minlength=VOID + 1)
    return counts


def _iter_parts(size: int) -> Iterator[slice]:
    """Parts of a flat array, because counting takes many bytes per pixel."""
    for start in range(0, size, _PART):
        yield slice(start, start + _PART)


class Counts(NamedTuple):
    """Pixels by one class against the rest: a number for each class, or arrays of them."""

    tp: Any
    fp: Any
    fn: Any
    tn: Any


def _score(share: Callable[[Counts], tuple[Any, Any]]) -> Any:
    """Field of a score: how its numerator and denominator are counted."""
    return field(metadata={"share": share})


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one class, or of several together; each 0 to 1, or NaN if undefined."""

    accuracy: float = _score(lambda n: (n.tp + n.tn, n.tp + n.fp + n.fn + n.tn))
    sensitivity: float = _score(lambda n: (n.tp, n.tp + n.fn))
    specificity: float = _score(lambda n: (n.tn, n.tn + n.fp))
    precision: float = _score(lambda n: (n.tp, n.tp + n.fp))
    dice: float = _score(lambda n: (2 * n.tp, 2 * n.tp + n.fp + n.fn))
    iou: float = _score(lambda n: (n.tp, n.tp + n.fp + n.fn))

    def to_dict(self) -> dict[str, float | None]:
        """Scores by name, with None for NaN."""
        return {name: None if isnan(value) else value for name, value in asdict(self).items()}


SCORE_NAMES: Final = tuple(ScoreRow.__dataclass_fields__)
SCORE_DEFINITIONS: Final = {
    "accuracy": "share of pixels that are right, (TP + TN) / all",
    "sensitivity": "share of the class that was found (recall), TP / (TP + FN)",
    "specificity": "share of the rest that was left alone, TN / (TN + FP)",
    "precision": "share of what was predicted that is right, TP / (TP + FP)",
    "dice": "the same as F1, 2·TP / (2·TP + FP + FN)",
    "iou": "Jaccard index, TP / (TP + FP + FN)",
}
"""What each score is, of one class against the rest."""
MEAN_DEFINITIONS: Final = {
    "macro": "mean over all classes",
    "micro": "from the pixels of all classes together",
    "macro, foreground": "mean over the classes but background",
    "micro, foreground": "from the pixels of all classes but background together",
}
"""What the last rows of a table of scores are, see `Scores.rows`."""
_FORMULA: Final = "2·TP / (2·TP + FP + FN)"
SHOWN: Final = ("dice", "iou", "accuracy")
"""Scores that a training shows, and may choose the best epoch by."""


@dataclass(frozen=True)
class Scores:
    """All scores of one confusion matrix.

    Attributes
    ----------
    names : tuple of str
        Class names, in the matrix's order.
    matrix : int64 ndarray, (C, C)
        Rows are the truth, columns the prediction.
    background : int or None
        Class that is not foreground; None if every class is, as in street scenes.
    """

    names: tuple[str, ...]
    matrix: Matrix
    background: int | None = 0

    @property
    def pixels(self) -> int:
        """How many pixels were counted."""
        return int(self.matrix.sum())

    def per_class(self) -> dict[str, ScoreRow]:
        """Each class against the rest."""
        columns = divide_counts(count_one_vs_rest(self.matrix))
        return {
            name: ScoreRow(*(float(column[i]) for column in columns))
            for i, name in enumerate(self.names)
        }

    def macro(self, *, foreground: bool = False) -> ScoreRow:
        """Mean over the classes, without undefined scores."""
        rows = divide_counts(count_one_vs_rest(self.matrix))
        row = ScoreRow(*(_mean(column[self._chosen(foreground)]) for column in rows))
        return self._with_accuracy(row, foreground=foreground)

    def micro(self, *, foreground: bool = False) -> ScoreRow:
        """Scores of the counts pooled over the classes."""
        counts = (c[self._chosen(foreground)].sum() for c in count_one_vs_rest(self.matrix))
        row = ScoreRow(*(float(value) for value in divide_counts(Counts(*counts))))
        return self._with_accuracy(row, foreground=foreground)

    def rows(self) -> dict[str, ScoreRow]:
        """All rows of the score table: each class, then the means, with and without background."""
        return {
            **self.per_class(),
            "macro": self.macro(),
            "micro": self.micro(),
            "macro, foreground": self.macro(foreground=True),
            "micro, foreground": self.micro(foreground=True),
        }

    def _chosen(self, foreground: bool) -> npt.NDArray[np.bool_]:
        """Mask of the classes to average or pool."""
        numbers = np.arange(len(self.names))
        return numbers != self.background if foreground else numbers >= 0

    def _with_accuracy(self, row: ScoreRow, *, foreground: bool) -> ScoreRow:
        """Replace the accuracy over all classes by the fraction of correct pixels."""
        if foreground:
            return row
        accuracy = float(_divide(np.trace(self.matrix), self.matrix.sum()))
        return ScoreRow(**{**asdict(row), "accuracy": accuracy})

    def summary(self) -> dict[str, float | None]:
        """Scores shown during training: accuracy; the others macro, of the foreground."""
        front, whole = self.macro(foreground=True).to_dict(), self.macro().to_dict()
        return {name: (whole if name == "accuracy" else front)[name] for name in SHOWN}

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "pixels": self.pixels,
            "classes": {name: row.to_dict() for name, row in self.per_class().items()},
            "macro": self.macro().to_dict(),
            "micro": self.micro().to_dict(),
            "macro_foreground": self.macro(foreground=True).to_dict(),
            "micro_foreground": self.micro(foreground=True).to_dict(),
            "background": self.background,
            "confusion": self.matrix.tolist(),
        }


def create_scores(matrix: Matrix, names: Sequence[str], *, background: int | None = 0) -> Scores:
    """Scores of a confusion matrix (C, C) with one class name per row."""
    if matrix.shape != (len(names), len(names)):
        raise DataError(f"A matrix of shape {matrix.shape} does not fit {len(names)} class names.")
    return Scores(tuple(names), matrix, background)


def count_one_vs_rest(matrix: Matrix) -> Counts:
    """TP, FP, FN and TN of each class."""
    hits = np.diag(matrix).astype(np.float64)
    false_positives = matrix.sum(axis=0) - hits
    false_negatives = matrix.sum(axis=1) - hits
    rest = matrix.sum() - hits - false_positives - false_negatives
    return Counts(hits, false_positives, false_negatives, rest)


def divide_counts(counts: Counts) -> tuple[_Array, ...]:
    """All scores, in the order of `ScoreRow`, each of the shape of the counts."""
    return tuple(_divide(*item.metadata["share"](counts)) for item in fields(ScoreRow))


def _divide(numerator: Any, denominator: Any) -> _Array:
    """Quotient, NaN where the denominator is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(denominator == 0, np.nan, np.divide(numerator, denominator)))


def _mean(values: _Array) -> float:
    """Mean of the values that are defined, NaN when none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def describe_headline(scores: Scores, counted: str) -> tuple[str, str]:
    """Give the mean Dice of the foreground and its definition, as a title and a sentence."""
    dice = scores.macro(foreground=True).dice
    rows = list(scores.per_class().values())
    front = [i for i in range(len(rows)) if i != scores.background]
    used = [i for i in front if not isnan(rows[i].dice)]
    of = "all classes" if scores.background is None else "the foreground"
    without = _describe_background(scores)
    if isnan(dice):
        return f"Dice of {of}: not defined", f"No class of it occurs; {without}; {counted}."
    if len(front) == 1:
        title = f"Dice of {of} {dice:.3f}"
        return title, f"{_FORMULA} of {scores.names[front[0]]}, {without}; {counted}."
    occur = "" if len(used) == len(front) else f" ({len(used)} of them occur)"
    mean = f"Mean of {_FORMULA} over {len(front)} classes{occur}"
    return f"Mean Dice of {of} {dice:.3f}", f"{mean}, {without}; {counted}."


def _describe_background(scores: Scores) -> str:
    """Say which class is left out as background, if any is."""
    if scores.background is None:
        return "no class is background"
    name = scores.names[scores.background]
    return "without the background" + (f" ({name})" if name != "background" else "")
