"""Masks that were blurred, resized or saved as JPEG: greys around a few levels, not class codes.

Lossy files have values close to the saved ones (0 to 6, 249 to 255); soft and antialiased ones have
values in between at the edges. None of these is a class. If there are two distant levels, and
nearly all pixels are close to one of them, the threshold is halfway between.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pixelwise.datasets.instances import Verdict, fades, judge_values
from pixelwise.datasets.surveys import MaskSurvey, count_pixels, find_solid, find_thin

WHITE: Final = 255
HALF: Final = 127
"""The largest grey that is still background when masks are thresholded."""

_INDICES: Final = 63
"""Values up to this may be class indices, which are adjacent."""
_NEIGHBOURS: Final = 3
"""Values no further apart than this belong to one crowd."""
_CROWD: Final = 3
"""Smallest number of values in a crowd."""
_FEW: Final = 8
"""Smoothing leaves more values than this; halving the size, like classes, leaves fewer."""
_NEARLY_WHITE: Final = 250
_BRIGHT: Final = 200
_BRIGHT_GREYS: Final = 20
"""This many values from `_BRIGHT` on mean a photograph, not classes."""
_BETWEEN: Final = (64, 191)
_MOST_BETWEEN: Final = 0.25
"""Largest ratio of pixels between the levels to bright pixels for a safe threshold."""
_LEVEL_SHARE: Final = 0.002
_MOST_LEVELS: Final = 8
_MOST_EDGES: Final = 0.1
"""Largest fraction of pixels between levels for which ranges are suggested."""
_STRAYS: Final = 0.001
_AROUND: Final = 12
_PEAK: Final = 1.5
"""A level has this many times the pixels of the values a little further away."""


def find_grey_fault(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> str | None:
    """Explain why values are greys of lossy or soft masks; None if they may be class codes."""
    kept = [_drop(survey, ignored) for survey in surveys]
    pixels = count_pixels(kept)
    if any(survey.is_jpeg and not set(survey.values) <= {0, WHITE} for survey in kept):
        return "they are JPEG files, which change values"
    if len(pixels) < 3 or judge_values(surveys, ignored) is Verdict.OBJECTS:
        return None
    values = sorted(pixels)
    if crowd := _find_crowd(values, find_solid(kept)):
        return (
            f"values such as {', '.join(map(str, crowd[:4]))} are adjacent, as after lossy "
            "compression or smoothing"
        )
    if _are_pictures(kept, values):
        return "they hold all sorts of greys, as soft masks and photographs do"
    thin = find_thin(kept)
    if sum(value > _INDICES for value in thin) > 1:
        return (
            f"the values {', '.join(map(str, thin[:4]))} occur only on edges, as after "
            "antialiasing or resizing"
        )
    return None


def can_cut(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> bool:
    """Whether > 127 is certainly the foreground: two levels, 0 and 255, and little between."""
    kept = [_drop(survey, ignored) for survey in surveys]
    pixels = count_pixels(kept)
    if may_be_index(kept) or may_be_codes(kept) or min(pixels) < 0 or max(pixels) > WHITE:
        return False
    saved = [survey for survey in kept if not survey.is_jpeg]
    if find_solid(saved) - {0, WHITE}:
        return False  # an area of another value may be a class
    if any(survey.plateaus for survey in kept):
        return False  # so may a grey area that is not quite uniform
    if len(saved) == len(kept) and len(find_levels(kept, ())) > 2:
        return False
    low, high = _BETWEEN
    bright = sum(count for value, count in pixels.items() if value > high)
    between = sum(count for value, count in pixels.items() if low <= value <= high)
    frequent = max(pixels, key=lambda value: pixels[value] * (value > high))
    return bright > 0 and between <= _MOST_BETWEEN * bright and frequent >= WHITE - _AROUND


def may_be_codes(surveys: Sequence[MaskSurvey]) -> bool:
    """Whether there are so few values that each may be a class, even a small one."""
    values = count_pixels(surveys)
    between = any(_AROUND < value < WHITE - _AROUND for value in values)
    return between and len(values) <= _FEW and not any(survey.is_jpeg for survey in surveys)


def may_be_index(surveys: Sequence[MaskSurvey]) -> bool:
    """Whether low values may be classes, which a threshold would turn into background.

    They may if a mask has no others, or if they are too far from bright pixels to be artefacts of
    compression.
    """
    strays = sum(survey.strays for survey in surveys)
    alone = any(0 < max(survey.values, default=0) < _BETWEEN[0] for survey in surveys)
    return alone or strays > _STRAYS * sum(sum(survey.counts) for survey in surveys)


def find_levels(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> list[int]:
    """Values that the greys cluster around, ascending: about the values originally saved."""
    pixels = count_pixels(_drop(survey, ignored) for survey in surveys)
    total, levels = sum(pixels.values()), list[int]()
    for value in sorted(pixels, key=lambda v: -pixels[v]):
        if pixels[value] < _LEVEL_SHARE * total:
            break
        near, around = (
            _count_within(pixels, value, distance) for distance in (_NEIGHBOURS, _AROUND)
        )
        is_peak = near >= _PEAK * (around - near)
        if is_peak and all(abs(value - level) > 2 * _AROUND for level in levels):
            levels.append(value)
    return sorted(levels)


def find_cut(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> list[int]:
    """Levels between which greys can be cut into ranges; empty if edges would become classes.

    A level must fill an area: many pixels on smoothed edges share a grey too.
    """
    kept = [_drop(survey, ignored) for survey in surveys]
    levels, areas = find_levels(kept, ()), _join_crowds(find_solid(kept))
    lossy = all(survey.is_jpeg for survey in kept)
    drawn = {value for survey in kept for value in survey.plateaus}
    if not lossy and areas and (len(areas) == 2 or not _are_near(levels, areas)):
        levels = areas
    if not (_are_near(drawn, levels) and _are_near(areas, levels)):
        return []
    if len(levels) > 2 and _measure_edges(kept, levels) > _MOST_EDGES:
        return []
    return levels if len(levels) <= _MOST_LEVELS else []


def _join_crowds(values: Collection[int]) -> list[int]:
    """First value of each crowd, or white if the brightest crowd contains it."""
    crowds: list[int] = []
    last = -WHITE
    for value in sorted(values):
        if value - last > _AROUND:
            crowds.append(value)
        last = value
        if value == WHITE:
            crowds[-1] = WHITE
    return crowds


def _are_near(values: Collection[int], levels: Collection[int]) -> bool:
    """Whether each value is close to a level."""
    return all(any(abs(v - level) <= 2 * _AROUND for level in levels) for v in values)


def _measure_edges(surveys: Sequence[MaskSurvey], levels: Sequence[int]) -> float:
    """Fraction of pixels above the first level that are not close to any level."""
    pixels = count_pixels(surveys)
    marked = sum(count for value, count in pixels.items() if value > levels[0] + _AROUND)
    near = sum(_count_within(pixels, level, _AROUND) for level in levels[1:])
    return 1 - near / max(marked, 1)


def _count_within(pixels: Mapping[int, int], value: int, distance: int) -> int:
    """Pixels of the values up to `distance` from one."""
    return sum(pixels.get(v, 0) for v in range(value - distance, value + distance + 1))


def cut_between(levels: Sequence[int], largest: int) -> dict[str, str]:
    """Ranges of values, one per level, split halfway between: pairs for ``--classes``."""
    stops = [(a + b) // 2 for a, b in itertools.pairwise(levels)] + [largest]
    starts = [0, *(stop + 1 for stop in stops)]
    if len(levels) == 2:
        names = ["background", "foreground"]
    else:
        names = ["background" if level == levels[0] else f"value {level}" for level in levels]
    return {
        f"{start}-{stop}": name for start, stop, name in zip(starts, stops, names, strict=False)
    }


def _are_pictures(surveys: Sequence[MaskSurvey], values: Sequence[int]) -> bool:
    """Whether there are many different bright greys, as in photographs."""
    if sum(value >= _BRIGHT for value in values) < _BRIGHT_GREYS:
        return False
    if values[-1] <= WHITE:
        return True
    return any(survey.is_crowded or fades(survey) for survey in surveys)


def _drop(survey: MaskSurvey, ignored: Collection[int]) -> MaskSurvey:
    """Return a survey without some values."""
    if not set(survey.values) & set(ignored):
        return survey
    pairs = [p for p in zip(survey.values, survey.counts, strict=True) if p[0] not in ignored]
    values, counts = zip(*pairs, strict=True) if pairs else ((), ())
    return replace(survey, values=values, counts=counts)


def _find_crowd(values: Sequence[int], solid: Collection[int]) -> list[int] | None:
    """Adjacent values that are not class indices and of which some fill no 3 x 3 square.

    White with nearly white values is a crowd too.
    """
    eight = [value for value in values if value <= WHITE]
    nearly = [value for value in eight if value >= _NEARLY_WHITE]
    if len(nearly) > 1 and nearly[-1] == WHITE:
        return nearly
    crowd: list[int] = []
    for value in eight:
        if crowd and value - crowd[-1] > _NEIGHBOURS:
            crowd = []
        crowd.append(value)
        if len(crowd) >= _CROWD and crowd[0] > _INDICES and not set(crowd) <= set(solid):
            return crowd
    return None
