"""Interprets masks whose values number objects, or may do so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from pixelwise.classes import VOID
from pixelwise.datasets.codes import Readings, are_indices, find_void
from pixelwise.datasets.instances import may_be_classes
from pixelwise.datasets.mapping import (
    BINARY_NAMES,
    VOID_NAME,
    ClassScheme,
    create_instance_scheme,
)
from pixelwise.datasets.surveys import MaskSurvey, UnclearMasksError, count_pixels
from pixelwise.datasets.wording import spell_classes

_INSTANCES: Final = "--classes instances"
_MOST_PIXELS: Final = 0.5
"""A value with a larger fraction of the pixels is the background, not an object."""


def find_doubtful(surveys: Sequence[MaskSurvey], present: Sequence[int]) -> set[int]:
    """Values to leave out when deciding whether the others number objects."""
    found = find_void(surveys, present)
    return {VOID} if isinstance(found, Readings) else found


def read_numbered(
    surveys: Sequence[MaskSurvey], ignored: Collection[int], doubtful: Collection[int]
) -> tuple[ClassScheme, list[str]]:
    """Read every value but 0 as an object; 255 and all bits set may be void.

    Raises
    ------
    UnclearMasksError
        255 can be an object or void, or a value other than 0 is the background.
    """
    present = sorted(_find_present(surveys, ignored))
    void = _find_instance_void(surveys, present, doubtful)
    left_out = {*ignored, *void}
    if (ground := find_ground(surveys, left_out)) is not None:
        option = _spell_objects(surveys, left_out, ground)
        raise UnclearMasksError(
            f"The values number objects, and {ground}, not 0, fills most of the masks. Use "
            f"{option} if {ground} is the background, or {_INSTANCES} if it is an object."
        )
    scheme = create_instance_scheme(
        f"{len(set(present) - void - {0})} values that number connected objects, read as instances"
    ).ignore(sorted(left_out))
    if not may_be_classes(surveys, left_out):
        return scheme, []
    pairs = {str(v): BINARY_NAMES[0] if v == 0 else str(v) for v in present if v not in void}
    option = spell_classes(pairs | _name_void(left_out))
    return scheme, [f"the values were read as object numbers; if they name classes, use {option}"]


def note_numbers(
    surveys: Sequence[MaskSurvey], ignored: Collection[int], codes: Sequence[int]
) -> list[str]:
    """Note how to read values as objects that were read as classes, if each is one region."""
    if len(codes) < 3 or not (are_indices(codes) or are_indices([0, *codes])):
        return []
    left_out = {*ignored, *(_find_present(surveys, ignored) - set(codes))}
    option = _spell_instances(surveys, left_out)
    note = (
        "each value of the masks is one connected region: if the values number objects and do not "
        f"name classes, use {option}"
    )
    return [note]


def refuse_numbers(
    surveys: Sequence[MaskSurvey], ignored: Collection[int], pairs: dict[str, str]
) -> UnclearMasksError:
    """Refuse values that can number objects or name classes."""
    values = sorted(_find_present(surveys, ignored) - {0})
    left_out = {*ignored, *(int(key) for key, name in pairs.items() if name == VOID_NAME)}
    return UnclearMasksError(
        f"Each of the {len(values)} values of the masks ({values[0]} to {values[-1]}) is one "
        "connected region, so they can number objects or name classes. Use "
        f"{_spell_instances(surveys, left_out)} if they number objects, or "
        f"{spell_classes(pairs)} if they name classes."
    )


def find_ground(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> int | None:
    """Value other than 0 that fills more than half of the pixels; None if there is none."""
    pixels = {v: n for v, n in count_pixels(surveys).items() if v not in ignored}
    value = max(pixels, key=lambda v: pixels[v], default=0)
    return value if value and pixels[value] > _MOST_PIXELS * sum(pixels.values()) else None


def _spell_instances(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> str:
    """Option that reads values as objects; without 0 the most frequent value is background."""
    ground = find_ground(surveys, ignored)
    pixels = {v: n for v, n in count_pixels(surveys).items() if v not in ignored}
    if ground is None and 0 in pixels:
        return _INSTANCES
    return _spell_objects(surveys, ignored, ground or max(pixels, key=lambda v: pixels[v]))


def _spell_objects(surveys: Sequence[MaskSurvey], ignored: Collection[int], ground: int) -> str:
    """Option that makes one value (and 0) background, and all others objects."""
    values = sorted(_find_present(surveys, ignored))
    pairs = {str(value): BINARY_NAMES[0] for value in values if value in (0, ground)}
    run: list[int] = []
    for value in [*values, None]:
        if value is not None and value not in (0, ground):
            run.append(value)
        elif run:
            key = f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0])
            pairs[key], run = "object", []
    return spell_classes(pairs | _name_void(ignored))


def _find_instance_void(
    surveys: Sequence[MaskSurvey], present: Collection[int], doubtful: Collection[int]
) -> set[int]:
    """Values that are void, not objects: in many regions, or in most of the masks."""
    void = {value for value in doubtful if value != VOID}
    holding = [survey for survey in surveys if VOID in survey.values]
    if not holding or max(present) not in {VOID, *void}:
        return void
    pieces = [s.pieces.regions.get(VOID, 1) for s in holding if s.pieces is not None]
    counted = all(set(range(1, VOID)) <= set(survey.values) for survey in holding)
    if counted or (len(holding) == 1 and max(pieces, default=1) == 1):
        return void
    if 2 * len(holding) > len(surveys) or max(pieces, default=1) > 1:
        return void | {VOID}
    raise UnclearMasksError(
        "The values number objects, and 255 can be an object or 'void' (ignored). Use "
        f"{_INSTANCES} --void 255 if it is void, or {_INSTANCES} if not."
    )


def _find_present(surveys: Sequence[MaskSurvey], ignored: Collection[int]) -> set[int]:
    """Values of any mask, without those to ignore."""
    return {value for survey in surveys for value in survey.values} - set(ignored)


def _name_void(ignored: Collection[int]) -> dict[str, str]:
    """Pairs that ignore values."""
    return {str(value): VOID_NAME for value in sorted(ignored)}
