"""Check that an image has the channels, dtype and intensity range of a model's training images.

A model with a fixed normalisation expects the numbers that it was trained on. An image of 12 bits
would look white to a model of 8 bits, and an image of 0 to 1 would look black.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pixelwise.axes import plane_region, planes_shape
from pixelwise.cards import Card
from pixelwise.errors import DataError
from pixelwise.images import ImageSource
from pixelwise.normalization import rescale

_WHITES: Final = (1, 255, 1023, 4095, 16383, 65535, 4294967295)
_FAR: Final = 12
"""An image whose maximum is so many times smaller than in training has another range."""
_BEYOND: Final = 4
_NOISE: Final = 0.01
"""Values may lie below 0 by this fraction of the greatest value, as after interpolation."""
_DIM: Final = 6
"""An 8-bit image whose maximum is so many times smaller than in training is dark."""
_DIM_WHITES: Final = (1, 3, 7, 15, 31)
_SAMPLED_ROWS: Final = 64
_SAMPLES: Final = 8
_AXES: Final = {3: ("ZYX", "CYX", "YXC"), 4: ("TZYX", "ZCYX", "CZYX", "ZYXC")}
"""Common axes of images, by the number of dimensions."""
_LEAST_SIDE: Final = 16
_RGB: Final = 3


def shape_planes(source: ImageSource, card: Card) -> tuple[int, int, int, int]:
    """Shape (N, C, Y, X) of an image's planes with the channels that a model takes.

    Raises
    ------
    DataError
        Another channel count, no pixels, or no numbers.
    """
    planes, channels, height, width = planes_shape(source.axes.names, source.shape)
    if not planes * channels * height * width:
        raise DataError(f"The image has no pixels: its shape is {source.shape}.")
    if source.dtype.kind not in "biuf":
        raise DataError(f"Images of dtype {source.dtype} cannot be predicted; expected numbers.")
    is_grey = channels == 1 < card.in_channels == 3
    if channels != card.in_channels and not is_grey:
        fitting = _find_axes(source, card)
        advice = "Convert the image, or take a model of its channels."
        if fitting:
            advice = f"If the axes were read wrongly, say --axes {fitting}."
        raise DataError(
            f"The image has {channels} channels, the model takes {card.in_channels}: expected the "
            f"same ({source.axes}). {advice}"
        )
    return planes, card.in_channels, height, width


def _find_axes(source: ImageSource, card: Card) -> str | None:
    """Find other axes by which the image would have the channels that the model takes."""
    for axes in _AXES.get(len(source.shape), ()):
        _, channels, height, width = planes_shape(axes, source.shape)
        fits = channels == card.in_channels or (channels == 1 and card.in_channels == _RGB)
        if fits and min(height, width) >= _LEAST_SIDE:
            return axes
    return None


def find_white(card: Card) -> float:
    """Intensity of white in the images that a model was trained on."""
    dtype = np.dtype(card.dtype)
    if dtype == np.uint8:
        return 255.0
    if card.intensities is not None and (white := guess_white(card.intensities[1])) is not None:
        return white
    return 1.0 if dtype.kind in "bf" else float(np.iinfo(dtype).max)


def guess_white(largest: float) -> float | None:
    """White of images that reach `largest`: 1, or the end of 8, 10, 12, 14, 16 or 32 bits."""
    return next((float(white) for white in _WHITES if 0 < largest <= white), None)


def scale_card(card: Card, white: float | None) -> Card:
    """Return what a model with a fixed normalisation expects of images with another white."""
    if white is None:
        return card
    factor = find_white(card) / white
    reach = card.intensities and (card.intensities[0] / factor, card.intensities[1] / factor)
    scaled = {"normalization": rescale(card.normalization, factor), "intensities": reach}
    return card.model_copy(update=scaled)


def require_sign(card: Card, dtype: np.dtype[Any], *, least: float, largest: float) -> None:
    """Refuse values below 0, of which the training images had none, or none so far below.

    Parameters
    ----------
    card : Card
        Scaled to the image, if it has another white.
    dtype : dtype
        Of the image.
    least, largest : float
        Of some of its values.

    Raises
    ------
    DataError
        The message says how to shift and scale the image, in Python.
    """
    known = card.intensities
    if least >= 0 or card.normalization.kind != "fixed":
        return
    if known is None and np.dtype(card.dtype).kind in "if":
        return
    low, high = known or (0.0, 0.0)
    if least >= _BEYOND * min(low, 0) - _NOISE * min(high, largest):
        return
    black, white = _guess_ends(dtype, least, largest)
    target = _spell(find_white(card))
    held = f" ({_spell(low)} to {_spell(high)})" if known else ""
    raise DataError(
        f"The image holds {dtype} values from {_spell(least)} to {_spell(largest)}; expected "
        f"values like those of the training, {card.dtype}{held}. If {_spell(black)} is black and "
        f"{_spell(white)} is white in it, shift and scale it, in Python: "
        f"((image.astype(float) + {_spell(-black)}) / {_spell(white - black)} * {target})"
        f".clip(0, {target}).astype('{card.dtype}')."
    )


def _guess_ends(dtype: np.dtype[Any], least: float, largest: float) -> tuple[float, float]:
    """Black and white of an image with values below 0: -1 and 1, or the ends of some bits."""
    most = max(-least, largest)
    if dtype.kind == "f" and most <= 1:
        return -1.0, 1.0
    half = 2.0 ** int(np.ceil(np.log2(max(-least, largest + 1, 1))))
    return -half, half - 1


def _spell(value: float) -> str:
    """Write a number so that it can be typed: whole ones with all their digits."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"


def require_intensities(source: ImageSource, card: Card, *, white: float | None = None) -> None:
    """Refuse an image with another dtype or range than the training images.

    Some of its rows are read if the dtype alone does not settle it.

    Raises
    ------
    DataError
        Another dtype, or another range; the message names the option that scales the image, or
        how to shift one with values below 0.
    """
    if card.normalization.kind != "fixed":
        return
    known = card.intensities
    is_other = white is None and not _fits(source.dtype, card)
    if source.dtype == np.uint8 and not is_other:
        return
    least, largest = _find_extent(source)
    require_sign(scale_card(card, white), source.dtype, least=least, largest=largest)
    if is_other:
        raise DataError(_describe(source, card, largest))
    if white is None and known is None:
        return
    expected = white or max(known or (0.0, 1.0))
    if largest > _BEYOND * expected or 0 < largest < expected / _FAR:
        raise DataError(_describe(source, card, largest, white=white))


def describe_darkness(card: Card, dtype: np.dtype[Any], largest: float) -> str | None:
    """Say that an 8-bit image is almost black compared to the training images, else None.

    An image may be dark, so this is no reason to refuse it.
    """
    known = card.intensities
    if card.normalization.kind != "fixed" or known is None or dtype != np.uint8:
        return None
    if not 0 < largest < known[1] / _DIM:
        return None
    white = next((white for white in _DIM_WHITES if largest <= white), None)
    advice = f": if {white} is white in it, say --white {white}" if white else ""
    return f"its values reach {largest:g} only, those of the training images {known[1]:g}{advice}"


def _fits(dtype: np.dtype[Any], card: Card) -> bool:
    """Whether a dtype can hold what the training images held; a range can then be compared."""
    wanted = np.dtype(card.dtype)
    if dtype == wanted:
        return True
    alike = dtype.kind == wanted.kind == "f" or (
        {dtype.kind, wanted.kind} <= set("iu") and min(dtype.itemsize, wanted.itemsize) > 1
    )
    return alike and card.intensities is not None


def _find_extent(source: ImageSource) -> tuple[float, float]:
    """Least value (or 0) and greatest in some rows of some planes; NaN is refused later."""
    axes = source.axes.names
    planes, _, height, _ = planes_shape(axes, source.shape)
    tops = np.linspace(0, max(height - _SAMPLED_ROWS, 0), _SAMPLES).astype(int)
    least = largest = 0.0
    with source.reading() as read:
        for number, top in zip(np.linspace(0, planes - 1, _SAMPLES).astype(int), tops, strict=True):
            wanted = slice(int(top), min(int(top) + _SAMPLED_ROWS, height))
            rows = read(plane_region(axes, source.shape, int(number), rows=wanted))
            finite = rows[np.isfinite(rows)] if rows.dtype.kind == "f" else rows
            if finite.size:
                least = min(least, float(finite.min()))
                largest = max(largest, float(finite.max()))
    return least, largest


def _describe(
    source: ImageSource, card: Card, largest: float, *, white: float | None = None
) -> str:
    """Say what was expected and found, and which option scales the image."""
    known = card.intensities
    held = f" ({_spell(known[0])} to {_spell(known[1])})" if known else ""
    if white is not None:
        held += f", and --white says {_spell(white)}"
    message = (
        f"The image holds {source.dtype} values that reach {_spell(largest)}; the model was "
        f"trained on {card.dtype}{held} and normalises by {card.normalization.source}: "
        "expected the same."
    )
    if (found := guess_white(largest)) is None:
        return f"{message} Convert the image to {card.dtype}."
    target = find_white(card)
    return (
        f"{message} If {_spell(found)} is white in it, say --white {_spell(found)}; or convert "
        f"it, in Python: (image / {_spell(found)} * {_spell(target)}).astype('{card.dtype}')."
    )
