"""Detects smoothed or lossy masks whose grey edges would count as objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pixelwise.datasets.greys import HALF, WHITE, find_grey_fault
from pixelwise.datasets.surveys import MaskOfImage, survey_masks

_ADVICE: Final = "Save the masks again, as PNG and without smoothing"


def find_unclean(masks: Sequence[MaskOfImage], name: str) -> str | None:
    """Explain why mask values are greys of edges, not objects; None if they may be objects.

    Parameters
    ----------
    masks : sequence
        Masks with the headers of their images; up to 128 are read.
    name : str
        Name of the class of all values but 0, for the message.
    """
    surveys, _, _ = survey_masks(masks)
    if not surveys:
        return None
    if any(survey.colors for survey in surveys):
        jpeg = next((survey.path for survey in surveys if survey.is_jpeg), None)
        return None if jpeg is None else f"{jpeg} is a JPEG, which changes colours. {_ADVICE}."
    fault = find_grey_fault(surveys, frozenset())
    if fault is None:
        return None
    cut = f"--classes 0-{HALF}=background,{HALF + 1}-{WHITE}={name}"
    return (
        f"The masks are not clean: {fault}. Grey edges would count as {name} too. "
        f"{_ADVICE}, or threshold the greys: {cut}."
    )
