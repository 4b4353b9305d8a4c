"""Intervals and differences of scores by the bootstrap over source images.

Pixels and patches of one image are alike, so whole source images are drawn, with replacement
(Efron & Tibshirani 1993). A difference of two models is judged on the same draws for both, and the
p-values of all pairs are corrected for their number (Holm 1979).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from pixelwise.comparison.counts import ImageCounts
from pixelwise.comparison_summary import FEWEST
from pixelwise.scores import SCORE_NAMES, Counts, divide_counts

DRAWS: Final = 4000
LEVEL: Final = 0.95
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A score and its bootstrap interval of 95 %; NaN where it is undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Headline score of one model minus that of another.

    Attributes
    ----------
    models : (str, str)
    interval : Interval
        Not corrected for the number of pairs.
    p : float
        Two-sided, corrected (Holm): how often chance alone would give a difference as large.
    """

    models: tuple[str, str]
    interval: Interval
    p: float

    @property
    def is_clear(self) -> bool:
        """Whether the difference is larger than chance explains."""
        return self.p < 1 - LEVEL


@dataclass(frozen=True)
class Judgement:
    """Scores of all models, and their differences.

    Attributes
    ----------
    means : dict of str to dict of str to Interval
        By model and score: the mean over the foreground classes; accuracy is over all pixels.
    classes : dict of str to dict of str to Interval
        By model and class: Dice.
    differences : tuple of Difference
        Of the mean Dice, one for each pair of models.
    groups : int
        Source images that were drawn from.
    """

    means: dict[str, dict[str, Interval]]
    classes: dict[str, dict[str, Interval]]
    differences: tuple[Difference, ...]
    groups: int

    @property
    def is_sound(self) -> bool:
        """Whether there are enough source images for intervals to mean something."""
        return self.groups >= FEWEST


def judge(
    found: Mapping[str, ImageCounts],
    groups: Mapping[str, str],
    *,
    background: int | None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Judgement:
    """Score all models, with intervals, and judge the differences.

    Parameters
    ----------
    found : mapping of str to ImageCounts
        By model: the same images and classes, in the same order.
    groups : mapping of str to str
        Source image of each image.
    background : int or None
        Class that is not foreground.
    draws : int
        Bootstrap samples.
    seed : int
        Of the draws.
    """
    first = next(iter(found.values()))
    names, numbers = np.unique([groups[image] for image in first.images], return_inverse=True)
    membership = np.zeros((len(names), len(first.images)))
    membership[numbers, np.arange(len(first.images))] = 1
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    weights = np.concatenate([np.ones((1, len(names))), weights])  # the set itself comes first
    chosen = [i for i in range(len(first.classes)) if i != background]
    scored = {model: _score(weights @ membership, counts.values) for model, counts in found.items()}
    means = {model: _average(scores, chosen) for model, scores in scored.items()}
    dice = SCORE_NAMES.index("dice")
    return Judgement(
        means={
            model: {name: _interval(values[i]) for i, name in enumerate(SCORE_NAMES)}
            for model, values in means.items()
        },
        classes={
            model: {name: _interval(s[dice][:, i]) for i, name in enumerate(first.classes)}
            for model, (s, _) in scored.items()
        },
        differences=_compare({model: values[dice] for model, values in means.items()}),
        groups=len(names),
    )


def _score(weights: Array, counts: Array) -> tuple[tuple[Array, ...], Array]:
    """All scores (draws, classes) of weighted images, and the share of right pixels (draws,)."""
    sums = np.tensordot(weights, counts, axes=1)  # (draws, classes, 4)
    pooled = Counts(*np.moveaxis(sums, -1, 0))
    pixels = sums[:, 0].sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return divide_counts(pooled), pooled.tp.sum(axis=-1) / pixels


def _average(scores: tuple[tuple[Array, ...], Array], chosen: Sequence[int]) -> list[Array]:
    """Mean of each score over the chosen classes, (draws,); accuracy is the share of pixels."""
    by_class, accuracy = scores
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all classes undefined in a draw
        means = [np.nanmean(values[:, chosen], axis=1) for values in by_class]
    means[SCORE_NAMES.index("accuracy")] = accuracy
    return means


def _interval(values: Array) -> Interval:
    """Find the value of the set, which comes first, and the interval of the draws."""
    drawn = values[1:][~np.isnan(values[1:])]
    if not drawn.size:
        return Interval(float(values[0]), np.nan, np.nan)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), float(low), float(high))


def _compare(scores: Mapping[str, Array]) -> tuple[Difference, ...]:
    """Differences of all pairs, the better model first."""
    pairs, raw, intervals = [], [], []
    for one, other in combinations(scores, 2):
        better, worse = (one, other) if scores[one][0] >= scores[other][0] else (other, one)
        values = scores[better] - scores[worse]
        drawn = values[1:][~np.isnan(values[1:])]
        below, above = (drawn <= 0).sum(), (drawn >= 0).sum()
        raw.append(min(1.0, 2 * (int(min(below, above)) + 1) / (drawn.size + 1)))
        pairs.append((better, worse))
        intervals.append(_interval(values))
    corrected = correct_by_holm(raw)
    return tuple(
        Difference(pair, interval, p)
        for pair, interval, p in zip(pairs, intervals, corrected, strict=True)
    )


def correct_by_holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number: the smallest times n, the next times n - 1, and so on.

    Each is at least as large as the one before it, and at most 1.
    """
    corrected, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        highest = max(highest, min(1.0, values[place] * (len(values) - rank)))
        corrected[place] = highest
    return corrected
