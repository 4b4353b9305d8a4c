"""Masks with an alpha channel: when alpha is redundant, and when it is the mask.

Programs that cut out objects save one colour everywhere and the object in the alpha channel. Others
save colours and make the rest transparent. The colours show which it is: alpha matters if one
colour is visible in one place and fully transparent in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.errors import DataError

Array = npt.NDArray[Any]
Colors = frozenset[tuple[int, ...]]


@dataclass(frozen=True)
class Visibility:
    """Visible and hidden colours of one or more masks."""

    visible: Colors = frozenset()
    hidden: Colors = frozenset()

    def join(self, other: Visibility) -> Visibility:
        """Colours of both."""
        return Visibility(self.visible | other.visible, self.hidden | other.hidden)

    @property
    def conflicts(self) -> Colors:
        """Colours that are visible in one place and transparent in another."""
        return self.visible & self.hidden

    @property
    def is_alpha_the_mask(self) -> bool:
        """Whether all visible pixels have one colour, which hidden pixels have too."""
        return bool(self.conflicts) and len(self.visible) == 1


def survey_visibility(colors: Array, alpha: Array) -> Visibility:
    """Colours of (N, C, Y, X) pixels, by their (N, 1, Y, X) alpha."""
    flat = np.moveaxis(colors, 1, -1).reshape(-1, colors.shape[1])
    is_visible = alpha.ravel() > 0
    return Visibility(_find_colors(flat[is_visible]), _find_colors(flat[~is_visible]))


def _find_colors(flat: Array) -> Colors:
    """Distinct rows of (pixels, channels)."""
    return frozenset(tuple(row) for row in np.unique(flat, axis=0).tolist())


def require_alpha_to_agree(path: Path, colors: Array, alpha: Array) -> None:
    """Raise `DataError` if alpha distinguishes pixels of one colour."""
    conflicts = survey_visibility(colors, alpha).conflicts
    if conflicts:
        raise DataError(describe_conflict(path, conflicts))


def require_one_color(path: Path, colors: Array, alpha: Array) -> None:
    """Raise `DataError` if the visible pixels of a mask in alpha have several colours."""
    visible = survey_visibility(colors, alpha).visible
    if len(visible) > 1:
        raise DataError(
            f"The mask {path} has {len(visible)} colours; in the other masks all pixels have one, "
            "and the objects are in the alpha channel. " + _advise(path)
        )


def describe_conflict(path: Path, conflicts: Colors) -> str:
    """Explain that both alpha and colours contain information, and what to do."""
    return (
        f"In the mask {path} the alpha channel distinguishes pixels of one colour "
        f"({sorted(conflicts)[0]} is visible in some places and transparent in others), and other "
        "colours are visible too: expected the classes in the colours, or in alpha. "
        + _advise(path)
    )


def _advise(path: Path) -> str:
    """Describe how to make transparent pixels black."""
    code = (
        f"from PIL import Image; p = {str(path)!r}; m = Image.open(p).convert('RGBA'); "
        "Image.alpha_composite(Image.new('RGBA', m.size, 'black'), m).convert('RGB').save(p)"
    )
    return f'To make transparent pixels black: python -c "{code}"'
