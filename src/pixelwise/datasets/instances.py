"""Whether mask values number objects or name classes: asked of all masks together."""

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
"""Share of values that are one connected region each, from which they may number objects."""
_MANY: Final = 20
"""A mask with more values than this numbers its objects, or is an atlas of many regions."""
_LEAST_AREA: Final = 6
"""Mean pixels of an object; the values of noise and of photographs have fewer."""
_SOFT_RIM: Final = 0.25
"""Greys that fade out begin with values below this share of the largest beside 0."""
_SEVERAL: Final = 10
"""So many values, each in one mask only, number objects of many images."""
_CODES: Final = 64
"""Classes are fewer than this, where their values have gaps."""
_FEW: Final = 5
"""More values than this that come back, in one piece each, can be either."""
_MOSTLY: Final = 0.5


class Verdict(Enum):
    """What the values are, as far as the masks show it."""

    OBJECTS = "objects"
    CLASSES = "classes"
    MAYBE_OBJECTS = "classes, each of which lies in one piece"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class _Facts:
    """Figures that tell numbers of objects from classes.

    Attributes
    ----------
    masks : int
        Masks with any value.
    kinds : int
        Different values.
    largest : int
    most, typical : float
        Values in one mask: most, and on average.
    once : float
        Share of values that occur in one mask only.
    alike : float
        Share of masks that hold the most frequent set of values.
    is_counted : bool
        Each mask holds 1, 2, 3, … without a gap.
    is_numbered : bool
        Most masks hold nearly all of 1 to a largest value of their own.
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
    """Say whether values other than 0 and `ignored` number objects.

    Classes can lie in one piece too (organs, a cell and its nucleus), and numbers can have gaps
    (crops, objects that were taken out), so a single sign is not enough: numbers differ from mask
    to mask, are many, or count without a gap; classes come back. Where both would fit, it says so.
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
    """Whether values that were judged to number objects are so few that they may name classes."""
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
        # Classes of which the last ones are missing in some masks look the same.
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
    """Figures of the values that each mask holds."""
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
    """Whether nearly every value of a mask is one region, and the regions are no fading greys."""
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
    """Whether values rise from low ones at the edge, as in a soft mask or a gradient."""
    pieces, largest = survey.pieces, max(survey.values, default=0)
    return pieces is not None and pieces.rim is not None and pieces.rim < _SOFT_RIM * largest
