"""Decides from all masks together whether values number objects or name classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import mean, median
from typing import Final

from pixelwise.classes import VOID
from pixelwise.datasets.surveys import MaskSurvey

_ONE_REGION: Final = 0.9
"""Values may number objects if at least this fraction is one connected region each."""
_MANY: Final = 20
"""A mask with more values than this numbers objects, or is an atlas of many regions."""
_LEAST_AREA: Final = 6
"""Mean pixels of an object; values of noise and photographs have fewer."""
_SOFT_RIM: Final = 0.25
"""Fading greys start at the edge with values below this fraction of the largest."""
_SEVERAL: Final = 10
"""This many values, each in only one mask, number objects of many images."""
_CODES: Final = 64
"""Class values with gaps are fewer than this."""
_FEW: Final = 5
"""More values than this that recur, as one region each, are ambiguous."""
_MOSTLY: Final = 0.5


class Verdict(Enum):
    """What the values appear to be."""

    OBJECTS = "objects"
    CLASSES = "classes"
    MAYBE_OBJECTS = "classes, each of which is one region"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class _Facts:
    """Statistics that distinguish object numbers from classes.

    Attributes
    ----------
    masks : int
        Masks with any value.
    kinds : int
        Different values.
    largest : int
    most, typical : float
        Largest and mean number of values in one mask.
    once : float
        Fraction of values that occur in only one mask.
    alike : float
        Fraction of masks with the most frequent set of values.
    is_counted : bool
        Each mask holds 1, 2, 3, … without a gap.
    is_numbered : bool
        Most masks hold nearly all values from 1 to a largest one, which varies.
    """

    masks: int
    kinds: int
    largest: int
    most: int
    typical: float
    once: float
    alike: float
    is_counted: bool
    is_numbered: bool


def judge_values(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> Verdict:
    """Decide whether values other than 0 and `ignored` number objects.

    Classes can be one region each too (organs, a cell and its nucleus), and object numbers can have
    gaps (crops, removed objects), so several signs are combined: object numbers differ between
    masks, are many, or have no gaps; classes recur. If both are plausible, the verdict says so.
    """
    own = [set(survey.values) - set(ignored) - {0} for survey in surveys]
    own = [values for values in own if values]
    if not own or not _lie_in_one_piece(surveys, ignored):
        return Verdict.CLASSES
    facts = _measure(own)
    if facts.kinds < 2 and facts.largest <= VOID:
        return Verdict.CLASSES
    if surveys[0].colors:
        return _judge_colors(facts)
    return _judge_many(facts) if _look_numbered(facts) else _judge_few(facts)


def may_be_classes(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> bool:
    """Whether values judged to be object numbers are so few that they may be classes."""
    own = [set(survey.values) - set(ignored) - {0} for survey in surveys]
    own = [values for values in own if values]
    facts = _measure(own)
    few = facts.kinds < _CODES and facts.most <= _MANY
    return few and (bool(surveys[0].colors) or facts.largest <= VOID)


def _look_numbered(facts: _Facts) -> bool:
    """Whether a mask has many values, or they go beyond 8 bits."""
    return facts.most > _MANY or facts.largest > VOID


def _judge_many(facts: _Facts) -> Verdict:
    """Judge values of which there are many, or large ones."""
    if facts.masks == 1:
        return Verdict.OBJECTS
    if facts.alike == 1.0:
        return Verdict.UNDECIDED  # an atlas, codes of 16 bits, or a film of the same objects
    differ = facts.once >= _MOSTLY or facts.is_counted or facts.is_numbered
    deep = facts.largest > VOID and facts.kinds > _SEVERAL
    return Verdict.OBJECTS if differ or deep else Verdict.UNDECIDED


def _judge_few(facts: _Facts) -> Verdict:
    """Judge a few values of 8 bits."""
    if facts.is_counted and facts.largest > 2 and facts.alike <= 0.6:
        # Classes of which the last are missing in some masks look the same.
        return Verdict.OBJECTS if facts.largest > _FEW else Verdict.UNDECIDED
    if facts.masks > 1 and facts.once >= _MOSTLY:
        many = facts.kinds >= _SEVERAL and facts.typical >= 3
        return Verdict.OBJECTS if many else Verdict.UNDECIDED
    come_back = facts.masks > 2 and facts.alike >= _MOSTLY
    if (facts.kinds > _FEW and not come_back) or (
        facts.masks == 1 and not facts.is_counted and facts.kinds > 3
    ):
        return Verdict.UNDECIDED
    return Verdict.MAYBE_OBJECTS


def _judge_colors(facts: _Facts) -> Verdict:
    """Judge colours, which have no order."""
    if facts.once >= _MOSTLY and facts.kinds >= _SEVERAL and facts.typical >= 3:
        return Verdict.OBJECTS
    come_back = facts.masks > 2 and facts.alike == 1.0
    if (facts.masks > 1 and facts.once >= _MOSTLY) or (facts.kinds > _FEW and not come_back):
        return Verdict.UNDECIDED
    return Verdict.MAYBE_OBJECTS


def _measure(own: Sequence[set[int]]) -> _Facts:
    """Compute the statistics of the values in each mask."""
    found = Counter(value for values in own for value in values)
    sets = Counter(frozenset(values) for values in own)
    tops = [max(values) for values in own]
    filled = median(len(values) / max(values) for values in own)
    varied = len(set(tops)) > len(own) * _MOSTLY or max(tops) > 2 * median(tops)
    return _Facts(
        masks=len(own),
        kinds=len(found),
        largest=max(tops),
        most=max(map(len, own)),
        typical=mean(map(len, own)),
        once=sum(count == 1 for count in found.values()) / len(found),
        alike=max(sets.values()) / len(own),
        is_counted=all(len(values) == max(values) for values in own),
        is_numbered=varied and filled >= _MOSTLY,
    )


def _lie_in_one_piece(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> bool:
    """Whether nearly every value of a mask is one region, and not a fading grey."""
    values = regions = pixels = 0
    for survey in surveys:
        if survey.pieces is None:
            continue
        kept = [v for v in survey.pieces.regions if v not in ignored]
        if not kept:
            continue
        if not survey.colors and len(kept) > _MANY and fades(survey):
            return False
        sizes = dict(zip(survey.values, survey.counts, strict=True))
        values += len(kept)
        regions += sum(survey.pieces.regions[value] for value in kept)
        pixels += sum(sizes[value] for value in kept)
    return regions > 0 and values / regions >= _ONE_REGION and pixels / regions >= _LEAST_AREA


def fades(survey: MaskSurvey) -> bool:
    """Whether values start low at the edge, as in a soft mask or a gradient."""
    pieces, largest = survey.pieces, max(survey.values, default=0)
    return pieces is not None and pieces.rim is not None and pieces.rim < _SOFT_RIM * largest
