"""Infers what mask values mean, if the user does not say, and explains the result.

Every mask is surveyed by itself, then they are combined. If two interpretations are equally
plausible, the error offers both as options.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pixelwise.classes import VOID
from pixelwise.datasets.codes import (
    NEGATIVE_VOID,
    WHITES,
    Readings,
    are_indices,
    find_void,
    name_codes,
)
from pixelwise.datasets.color_codes import read_colors
from pixelwise.datasets.greys import (
    HALF,
    can_cut,
    cut_between,
    find_cut,
    find_grey_fault,
    may_be_codes,
    may_be_index,
)
from pixelwise.datasets.instances import Verdict, judge_values
from pixelwise.datasets.mapping import (
    BINARY_NAMES,
    VOID_NAME,
    ClassScheme,
    create_named_scheme,
)
from pixelwise.datasets.numbered import (
    find_doubtful,
    note_numbers,
    read_numbered,
    refuse_numbers,
)
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.surveys import MaskOfImage, MaskSurvey, UnclearMasksError, survey_masks
from pixelwise.datasets.wording import spell_classes
from pixelwise.errors import ConfigError

_CODES: Final = 64
"""More values than this are not class codes, unless they are 0, 1, 2, ... without a gap."""
_INSTANCES: Final = "--classes instances"


@dataclass(frozen=True)
class _Masks:
    """Surveys of the masks, and the values to ignore."""

    surveys: tuple[MaskSurvey, ...]
    ignored: frozenset[int]

    @property
    def present(self) -> list[int]:
        """Values in any mask, ascending."""
        return sorted({v for survey in self.surveys for v in survey.values} - self.ignored)

    @property
    def marked(self) -> list[set[int]]:
        """Values of each mask except 0."""
        return [set(survey.values) - self.ignored - {0} for survey in self.surveys]

    @property
    def colors(self) -> bool:
        """Whether any mask has colours."""
        return any(survey.colors for survey in self.surveys)

    @property
    def seen(self) -> list[int]:
        """Values in any mask, all as colours if there are colours."""
        if not self.colors:
            return self.present
        held = {v for survey in self.surveys for v in survey.as_colors().values}
        return sorted(held - self.ignored)

    def ignore(self, values: Iterable[int]) -> _Masks:
        """Return the masks with more values to ignore."""
        return replace(self, ignored=self.ignored | set(values))


def infer_scheme(
    masks: Sequence[MaskOfImage], *, void: Iterable[float] = (), sparse: bool = False
) -> tuple[ClassScheme, list[Problem]]:
    """Read masks (all, or 128 spread over the data set) and infer what their values mean.

    Recognised are two values (also 0/1 in some masks and 0/255 in others), indices 0, 1, 2, ...
    with 255 as void, codes such as 0, 128, 255, instance labels (connected, different from image to
    image), colours, and greys of lossy masks with two levels. Values below 0 are void.

    Parameters
    ----------
    masks : sequence
        Masks with the headers of their images.
    void : iterable of float
        Values to ignore.
    sparse : bool
        0 means 'not annotated'; classes start from 1.

    Returns
    -------
    scheme : ClassScheme
        The interpretation, with words that also say how many masks were read.
    problems : list of Problem
        Masks that could not be read, and notes on the interpretation.

    Raises
    ------
    UnclearMasksError
        The values have no interpretation, or several; the message says what was found and how to
        name the classes.
    """
    surveys, problems, count = survey_masks(masks)
    if not surveys:
        shown = f" {problems[0]}" if problems else ""
        raise UnclearMasksError(f"No mask could be read, so the classes are unknown.{shown}")
    ignored = frozenset(int(value) for value in void) | (frozenset((0,)) if sparse else frozenset())
    held = _Masks(tuple(surveys), ignored)
    try:
        scheme, notes = _interpret(held, sparse=sparse)
    except ConfigError as error:
        only = held.present[0] if len(held.present) == 1 and held.present[0] > 0 else None
        pairs = {"0": BINARY_NAMES[0], str(only): BINARY_NAMES[1]} | _name_void(ignored - {0})
        advice = f" If 0 is the background of other masks, use {spell_classes(pairs)}."
        raise UnclearMasksError(
            f"The masks do not show what the classes are: {error}{advice if only else ''}",
            held.seen,
            colors=held.colors,
        ) from error
    except UnclearMasksError as error:
        error.seen, error.colors = tuple(held.seen), held.colors
        raise
    where = str(surveys[0].path.parent)
    problems += [Problem("values", where, note) for note in notes]
    return replace(
        scheme, words=f"{scheme.words} (values of {count} masks)", seen=tuple(held.seen)
    ), problems


def _interpret(masks: _Masks, *, sparse: bool) -> tuple[ClassScheme, list[str]]:
    """Interpret the masks by their kind, with notes."""
    if not masks.present:
        raise UnclearMasksError(
            "The masks hold only ignored values "
            f"({', '.join(map(str, sorted(masks.ignored)))}): nothing is annotated."
        )
    if masks.colors:
        scheme, notes = read_colors(masks.surveys, masks.ignored, sparse=sparse)
        return (scheme.for_sparse() if sparse else scheme), notes
    masks = masks.ignore(_find_negative_void(masks, sparse=sparse))
    fault = find_grey_fault(masks.surveys, masks.ignored)
    if fault is not None:
        return _read_greys(masks, fault, sparse=sparse)
    if sparse:
        return _read_sparse(masks), []
    return _read_dense(masks)


def _find_negative_void(masks: _Masks, *, sparse: bool) -> set[int]:
    """Values below 0, which are void; refused if unusual, or if fewer than two classes are left."""
    negative = {value for value in masks.present if value < 0}
    if not negative:
        return negative
    others = [value for value in masks.present if value >= 0]
    if negative <= set(NEGATIVE_VOID) and len(others) > (1 if masks.present else 0):
        return negative
    listed = ", ".join(map(str, sorted(negative)))
    names = {str(v): "background" if v == 0 else f"value {v}" for v in [*others, *sorted(negative)]}
    if sparse or len(names) < 2:
        raise UnclearMasksError(
            f"The masks hold values below 0 ({listed}); expected only -1 beside classes, as void. "
            "Save them with values from 0 on."
        )
    ignoring = names | {str(value): VOID_NAME for value in negative}
    readings = f"{spell_classes(names)} if they are classes"
    if len(others) > 1:
        readings = f"{spell_classes(ignoring)} to leave them out, or {readings}"
    raise UnclearMasksError(
        f"The masks hold values below 0 ({listed}), whose meaning is unclear. Use {readings}."
    )


def _read_greys(masks: _Masks, fault: str, *, sparse: bool) -> tuple[ClassScheme, list[str]]:
    """Threshold greys halfway between two levels if that is safe, else refuse them."""
    present = masks.present
    found = f"{len(present)} different values ({present[0]} to {present[-1]})"
    if not sparse and can_cut(masks.surveys, masks.ignored):
        pairs = {f"0-{HALF}": BINARY_NAMES[0], f"{HALF + 1}-{VOID}": BINARY_NAMES[1]}
        scheme = create_named_scheme(
            pairs | _name_void(masks.ignored), f"greys cut in two, over {HALF} is foreground"
        )
        note = (
            f"the masks hold {found}: {fault}. Values over {HALF} were read as foreground; masks "
            "saved as PNG, without smoothing, need no threshold"
        )
        return scheme, [note]
    levels = find_cut(masks.surveys, masks.ignored)
    advice = "Save the masks again, as PNG and without smoothing"
    certain = levels[:1] == [0] and present[-1] <= VOID and not may_be_index(masks.surveys)
    if certain and not sparse and len(levels) > 1:
        cut = spell_classes(cut_between(levels, VOID))
        advice += f", or cut the greys into ranges: {cut}"
    if not sparse and may_be_codes(masks.surveys):
        names = {str(v): BINARY_NAMES[0] if v == 0 else f"value {v}" for v in present}
        advice += f", or say that each value is a class: {spell_classes(names)}"
    raise UnclearMasksError(
        f"The masks are not clean: they hold {found}, neither class indices nor codes, and "
        f"{fault}. Expected one value per class. {advice}."
    )


def _read_sparse(masks: _Masks) -> ClassScheme:
    """Interpret sparse annotation: 0 is void, classes start at 1."""
    present = masks.present
    void = find_void(masks.surveys, present, first=1)
    if isinstance(void, Readings):
        raise _refuse_readings(void, masks)
    pairs = {str(value): f"class {value}" for value in present if value not in void}
    if len(pairs) < 2:
        raise UnclearMasksError(
            f"With sparse annotation the masks hold only one class (value {', '.join(pairs)}; 0 "
            "means 'not annotated'). Draw at least two classes, e.g. 1 for background."
        )
    scheme = create_named_scheme(
        pairs | _name_void(masks.ignored | void), "sparse annotation, 0 is not annotated"
    )
    return scheme.for_sparse()


def _read_dense(masks: _Masks) -> tuple[ClassScheme, list[str]]:
    """Interpret binary masks, instances, or class codes."""
    marked = {value for values in masks.marked for value in values}
    alone = all(len(values) < 2 for values in masks.marked)
    if marked <= set(WHITES):
        scheme = _read_white(masks, marked) if alone else _read_white_and_void(masks, marked)
        if scheme is not None:
            return scheme, []
    doubtful = find_doubtful(masks.surveys, masks.present)
    verdict = judge_values(masks.surveys, masks.ignored | doubtful)
    if verdict is Verdict.OBJECTS:
        return read_numbered(masks.surveys, masks.ignored, doubtful)
    if alone and len(marked) > 1 and not are_indices(sorted({0, *marked})):
        raise _refuse_readings(_doubt_whites(sorted(marked)), masks)
    scheme = _read_codes(masks, verdict)
    if verdict is Verdict.MAYBE_OBJECTS:
        codes = [v for v, index in scheme.class_map.table if index != VOID]
        return scheme, note_numbers(masks.surveys, masks.ignored, codes)
    return scheme, []


def _read_white(masks: _Masks, marked: set[int]) -> ClassScheme:
    """One foreground, whatever is white in each mask; 1 or 255 if all masks are empty."""
    high = sorted(marked) or [1, VOID]
    pairs = {"0": BINARY_NAMES[0]} | {str(value): BINARY_NAMES[1] for value in high}
    *others, last = map(str, masks.present)
    shown = f"{', '.join(others)} and {last}" if others else last
    words = f"mask value{'s' * (len(masks.present) > 1)} {shown} read as binary"
    if len(marked) > 1:
        words += " (no mask holds several of them beside 0, so they are one class)"
    return create_named_scheme(pairs | _name_void(masks.ignored), words)


def _read_white_and_void(masks: _Masks, marked: set[int]) -> ClassScheme | None:
    """0, 1 and void; None if that is not what the masks hold."""
    top = max(marked)
    if 0 not in masks.present or len(marked) > 2 or 1 not in marked:
        return None
    pairs = {"0": BINARY_NAMES[0], "1": BINARY_NAMES[1], str(top): VOID_NAME}
    if any(values == {top} for values in masks.marked):
        question = (
            f"some masks hold 0, 1 and {top}, others {top} without 1, so {top} can be 'void' "
            "(ignored) or the foreground"
        )
        one_class = pairs | {str(top): BINARY_NAMES[1]}
        raise _refuse_readings(Readings(question, (pairs, one_class)), masks)
    words = f"2 mask values read as binary ({top} beside indices is void by convention)"
    return create_named_scheme(pairs | _name_void(masks.ignored), words)


def _doubt_whites(marked: Sequence[int]) -> Readings:
    """Interpretations of masks with one value each beside 0, but not the same one."""
    listed = " or ".join(map(str, marked))
    one = {"0": BINARY_NAMES[0]} | dict.fromkeys(map(str, marked), BINARY_NAMES[1])
    several = name_codes([0, *marked])
    with_void = one | {str(VOID): VOID_NAME}
    return Readings(
        f"each mask holds one value beside 0 ({listed}), so they can be one class or several",
        (one, several, with_void) if VOID in marked else (one, several),
    )


def _read_codes(masks: _Masks, verdict: Verdict) -> ClassScheme:
    """Read indices 0, 1, 2, ... or any few grey values: one class each, in ascending order."""
    present = masks.present
    void = find_void(masks.surveys, present)
    if isinstance(void, Readings):
        if verdict is Verdict.UNDECIDED:
            raise refuse_numbers(masks.surveys, masks.ignored, void.pairs[0])
        raise _refuse_readings(void, masks)
    codes = [value for value in present if value not in void]
    contiguous = codes == list(range(len(codes)))
    if len(codes) > (VOID if contiguous else _CODES):
        raise UnclearMasksError(_describe_many(codes))
    pairs = name_codes(codes) | _name_void(masks.ignored | void)
    if verdict is Verdict.UNDECIDED:
        raise refuse_numbers(masks.surveys, masks.ignored, pairs)
    if len(codes) == 2 and codes[0] == 0:
        kind = "binary"
    else:
        kind = "class indices" if are_indices(codes) else "one class per value"
    reason = f"{len(codes)} mask values read as {kind}"
    if void:
        listed = " and ".join(map(str, sorted(void)))
        reason += f" ({listed} beside indices is void by convention)"
    return create_named_scheme(pairs, reason)


def _describe_many(codes: Sequence[int]) -> str:
    """Describe values that are too many for class codes; 8-bit ones look like a photograph."""
    advice = "Are these the masks? Save them with one value per class, without lossy compression"
    if codes[-1] > VOID:
        advice = (
            f"If every value but 0 is foreground, use {_INSTANCES}; else save the masks again "
            "with one value per class"
        )
    return (
        f"The masks hold {len(codes)} different values ({codes[0]} to {codes[-1]}), which are "
        "neither class indices nor codes of a few classes nor instances (one connected region per "
        f"value). {advice}."
    )


def _refuse_readings(readings: Readings, masks: _Masks) -> UnclearMasksError:
    """Refuse values with several meanings, and give each as an option."""
    ignored = _name_void(masks.ignored)
    options = [spell_classes(pairs | ignored) for pairs in readings.pairs]
    return UnclearMasksError(
        f"The masks can be read in {'two' if len(options) == 2 else 'several'} ways: "
        f"{readings.question}. Use {', or '.join(options)}."
    )


def _name_void(ignored: Iterable[int]) -> dict[str, str]:
    """Pairs that ignore values."""
    return {str(value): VOID_NAME for value in sorted(ignored)}
