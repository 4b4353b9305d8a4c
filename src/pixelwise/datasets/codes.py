"""Which of the mask values are ignored by convention, and what the others are called."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from pixelwise.classes import VOID
from pixelwise.datasets.mapping import BINARY_NAMES, VOID_NAME
from pixelwise.datasets.surveys import MaskSurvey

NEGATIVE_VOID: Final = (-1, -100)
"""Common values of ignored pixels; the second is PyTorch's."""
ALL_BITS: Final = (0xFFFF, 0xFFFFFFFF)
"""-1 in unsigned masks of 16 and 32 bits; also white in 16 and 32 bits."""
WHITES: Final = (1, VOID, *ALL_BITS)
"""Common foreground values of binary masks."""

_INDICES: Final = 63
_FEWEST_STEPS, _MOST_STEPS = 2, 9
_STEP_TOLERANCE: Final = 1.5
_BESIDE: Final = 0.5
_FAR: Final = 0.25


@dataclass(frozen=True)
class Readings:
    """Ambiguous values: the question, and the value-name pairs of each interpretation."""

    question: str
    pairs: tuple[dict[str, str], ...]


def name_codes(present: Sequence[int], void: Collection[int] = ()) -> dict[str, str]:
    """Pairs of value and name, one class per value, in ascending order.

    0 and one other value are binary; indices become "class 3", other values "value 128".
    """
    codes = [value for value in present if value not in void]
    ignored = {str(value): VOID_NAME for value in sorted(void)}
    if len(codes) == 2 and codes[0] == 0:
        return dict(zip(map(str, codes), BINARY_NAMES, strict=True)) | ignored
    word = "class" if are_indices(codes) else "value"
    return {str(v): BINARY_NAMES[0] if v == 0 else f"{word} {v}" for v in codes} | ignored


def are_indices(codes: Sequence[int]) -> bool:
    """Whether values are class indices: 0, 1, 2, ... without a gap, or at least small values."""
    contiguous = list(codes) == list(range(len(codes)))
    return contiguous or (len(codes) > 0 and codes[0] == 0 and codes[-1] <= _INDICES)


def find_void(
    surveys: Sequence[MaskSurvey], present: Sequence[int], *, first: int = 0
) -> set[int] | Readings:
    """Values to ignore by convention: 255, or all bits set, beside indices.

    Parameters
    ----------
    surveys : sequence of MaskSurvey
    present : sequence of int
        All counted values, ascending, none below 0.
    first : int
        Lowest class index: 1 with sparse annotation.

    Returns
    -------
    set of int, or Readings
        Values to ignore; or the two interpretations of 255 if it is ambiguous.
    """
    deep = {v for v in present[1:] if v in ALL_BITS and _far_above(v, present)}
    others = [value for value in present if value not in deep and value != VOID]
    classes = [value for value in others if value >= max(first, 1)]
    if VOID not in present or not classes or len(others) < 2:
        return deep
    if _are_greys([*classes, VOID]) and classes[-1] > _INDICES:
        return deep
    contiguous = others == list(range(others[0], others[0] + len(others))) and others[0] <= 1
    indices = classes[-1] <= _INDICES and not _are_greys([*classes, VOID])
    if (contiguous or indices) and _is_beside(surveys, classes):
        return deep | {VOID}
    return Readings(
        f"255 can be a class or 'void' (not to be counted) beside {_list(others)}",
        (name_codes(present, deep | {VOID}), name_codes(present, deep)),
    )


def _far_above(value: int, present: Sequence[int]) -> bool:
    """Whether a value is far above all others, so that it is not a grey among them."""
    others = [other for other in present if other < value]
    return 0 < max(others) < value * _FAR


def _are_greys(values: Sequence[int]) -> bool:
    """Whether values are multiples of an equal step up to 255, such as 64, 128, 255."""
    for count in range(_FEWEST_STEPS, _MOST_STEPS + 1):
        step = VOID / count
        places = [round(value / step) for value in values]
        near = all(
            abs(value - step * place) <= _STEP_TOLERANCE
            for value, place in zip(values, places, strict=True)
        )
        if near and min(places) > 0 and len(set(places)) == len(places):
            return True
    return False


def _is_beside(surveys: Sequence[MaskSurvey], classes: Sequence[int]) -> bool:
    """Whether at least half of the masks with 255 also contain a class."""
    holding = [set(survey.values) for survey in surveys if VOID in survey.values]
    beside = sum(bool(values & set(classes)) for values in holding)
    return beside >= _BESIDE * len(holding)


def _list(values: Sequence[int]) -> str:
    shown = ", ".join(map(str, values[:8]))
    return f"{shown}, ..." if len(values) > 8 else shown
