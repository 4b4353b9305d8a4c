"""What the colours of RGB masks mean: one class each, or one object each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from pixelwise.classes import VOID
from pixelwise.datasets.instances import Verdict, judge_values, may_be_classes
from pixelwise.datasets.mapping import (
    BINARY_NAMES,
    VOID_NAME,
    ClassScheme,
    create_instance_scheme,
    create_named_scheme,
    format_value,
)
from pixelwise.datasets.surveys import MaskSurvey, UnclearMasksError, count_pixels, find_thin
from pixelwise.datasets.wording import spell_classes

VOC_VOID: Final = 0xE0E0C0
"""PASCAL VOC's border around objects, which is ignored."""

_COLORS: Final = 64
_NEAR: Final = 12
_RARE: Final = 10
_FEW: Final = 3
_COMPARED: Final = 512
_INSTANCES: Final = "--classes instances"


def read_colors(
    surveys: Sequence[MaskSurvey], ignored: Collection[int], *, sparse: bool = False
) -> tuple[ClassScheme, list[str]]:
    """Infer what colours mean, with notes.

    Classes are sorted by colour, black first, so that their order is reproducible.

    Raises
    ------
    UnclearMasksError
        The message says what was found and what to do.
    """
    _require_one_kind(surveys)
    surveys = [survey.as_colors() for survey in surveys]
    pixels = {v: n for v, n in count_pixels(surveys).items() if v not in ignored}
    verdict = Verdict.CLASSES if sparse else judge_values(surveys, ignored)
    if verdict is Verdict.OBJECTS and all(0 in survey.values for survey in surveys):
        reason = f"{len(pixels) - 1} colours of connected objects, read as instances"
        scheme = create_instance_scheme(reason).ignore(sorted(ignored))
        return scheme, _note_objects(surveys, pixels, ignored)
    _require_clean(surveys, pixels)
    void = {*ignored, *({VOC_VOID} & pixels.keys() if len(pixels) > _FEW - 1 else ())}
    pairs = _name_colors(sorted(pixels.keys() - void), void)
    if verdict in (Verdict.UNDECIDED, Verdict.OBJECTS):
        raise UnclearMasksError(
            f"Each of the {len(pixels)} colours of the masks is one connected region, so they can "
            f"mark objects or classes. Use {_INSTANCES} if each is an object on black, or "
            f"{spell_classes(pairs)} if they are classes."
        )
    scheme = create_named_scheme(pairs, f"{len(pixels.keys() - void)} colours, one class each")
    if verdict is Verdict.MAYBE_OBJECTS and len(pixels) > _FEW:
        note = (
            "each colour of the masks is one connected region: if the colours mark objects, not "
            f"classes, use {_INSTANCES}"
        )
        return scheme, [note]
    return scheme, []


def _note_objects(
    surveys: Sequence[MaskSurvey], pixels: Mapping[int, int], ignored: Collection[int]
) -> list[str]:
    """Note how to read colours as classes that were read as objects, if that is plausible."""
    if not may_be_classes(surveys, ignored):
        return []
    pairs = _name_colors(sorted(pixels), ignored)
    return [f"the colours were read as objects; if they name classes, use {spell_classes(pairs)}"]


def _name_colors(values: Sequence[int], void: Collection[int]) -> dict[str, str]:
    """Pairs of colour and name, black first as background."""
    keys = [format_value(value, colors=True) for value in values]
    names = [BINARY_NAMES[0] if key == "#000000" else key for key in keys]
    if len(keys) == 2 and keys[0] == "#000000":
        names = list(BINARY_NAMES)
    pairs = dict(zip(keys, names, strict=True))
    return pairs | {format_value(value, colors=True): VOID_NAME for value in sorted(void)}


def _require_one_kind(surveys: Sequence[MaskSurvey]) -> None:
    """Refuse grey masks among colour masks, unless the values are greys of these colours."""
    seen = {value for survey in surveys if survey.colors for value in survey.values}
    greys = {0, VOID, *(value & 0xFF for value in seen if value == (value & 0xFF) * 0x010101)}
    for survey in surveys:
        if survey.channels == 1 and not set(survey.values) <= greys:
            colored = next(s for s in surveys if s.colors)
            shown = ", ".join(map(str, survey.values[:5]))
            raise UnclearMasksError(
                f"{colored.path} is an RGB mask, {survey.path} holds single values ({shown}); "
                "expected one kind. Save all masks in the same way, or in separate folders."
            )


def _require_clean(surveys: Sequence[MaskSurvey], pixels: Mapping[int, int]) -> None:
    """Refuse photographs, and masks whose colours were changed by lossy compression."""
    advice = "Are these the masks, and were they saved without lossy compression? Save them as PNG"
    if len(pixels) > _COLORS:
        objects = f", or, if every colour is an object on black, use {_INSTANCES}"
        is_lossy = any(s.is_jpeg or s.is_crowded for s in surveys) or _are_smeared(pixels)
        raise UnclearMasksError(
            f"The masks are RGB images with {len(pixels)} colours; expected one colour per class "
            f"and at most {_COLORS}. {advice}{'' if is_lossy else objects}."
        )
    if found := _find_fault(surveys, pixels):
        raise UnclearMasksError(
            f"The colours of the masks are not clean: {len(pixels)} were found, and {found}; "
            f"expected one colour per class. {advice}."
        )


def _find_fault(surveys: Sequence[MaskSurvey], pixels: Mapping[int, int]) -> str | None:
    """Explain why colours were changed after drawing; None if they look unchanged."""
    for survey in surveys:
        if survey.is_jpeg and not set(survey.values) <= {0, 0xFFFFFF}:
            return f"{survey.path} is a JPEG"
    if _are_smeared(pixels):
        return "some differ only slightly from frequent ones"
    if thin := find_thin(surveys):
        shown = ", ".join(format_value(value, colors=True) for value in thin[:4])
        return f"{shown} occur only on edges, as after smoothing"
    return None


def _are_smeared(pixels: Mapping[int, int]) -> bool:
    """Whether at least half of the colours are rare and close to a frequent colour."""
    values = np.array(sorted(pixels, key=lambda value: -pixels[value])[:_COMPARED])
    counts = np.array([pixels[value] for value in values.tolist()])
    channels = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1)
    apart = np.abs(channels[:, None] - channels[None]).max(axis=2)
    much_rarer = counts[:, None] * _RARE < counts[None]
    smeared = ((apart <= _NEAR) & much_rarer).any(axis=1)
    return bool(smeared.sum() >= max(len(values) / 2, _FEW))
