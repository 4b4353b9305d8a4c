"""Whether an image is stored as those of a model's training: dtype, and range of intensities.

A model with a fixed normalisation expects the numbers that it was trained on. An image of 12 bits,
or of 0 to 1, would look white or black to a model of 8 bits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from pixelwise.axes import planes_shape
from pixelwise.cards import Card
from pixelwise.errors import ConfigError, DataError
from pixelwise.images import ImageSource
from pixelwise.models.files import Model
from pixelwise.normalization import rescale

_WHITES: Final = (1, 255, 1023, 4095, 16383, 65535, 4294967295)
_FAR: Final = 12
"""An image that reaches so many times less than the training images is stored otherwise."""
_BEYOND: Final = 4
_SAMPLED_ROWS: Final = 64
_SAMPLES: Final = 8


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


def scale_to(model: Model, white: float | None) -> Model:
    """Return the model for images with another white.

    Raises
    ------
    ConfigError
        The model normalises each image by itself.
    """
    if white is None:
        return model
    card = model.card
    if card.normalization.kind != "fixed":
        raise ConfigError(
            f"The model normalises by {card.normalization.source}, so images of any range are "
            "treated alike: leave out --white."
        )
    factor = find_white(card) / white
    reach = card.intensities and (card.intensities[0] / factor, card.intensities[1] / factor)
    scaled = {"normalization": rescale(card.normalization, factor), "intensities": reach}
    return replace(model, card=card.model_copy(update=scaled))


def require_intensities(source: ImageSource, card: Card, *, white: float | None = None) -> None:
    """Refuse an image that is stored otherwise than the training images.

    Pixels are looked at, in some of the rows, only if its dtype does not settle it.

    Raises
    ------
    DataError
        Another dtype, or another range; the message names the option that scales the image.
    """
    if card.normalization.kind != "fixed":
        return
    known = card.intensities
    if white is None and not _fits(source.dtype, card):
        raise DataError(_describe(source, card, _find_largest(source)))
    if source.dtype == np.uint8 or (white is None and known is None):
        return
    expected = white or max(known or (0.0, 1.0))
    largest = _find_largest(source)
    if largest > _BEYOND * expected or 0 < largest < expected / _FAR:
        raise DataError(_describe(source, card, largest, white=white))


def describe_darkness(card: Card, dtype: np.dtype[Any], largest: float) -> str | None:
    """Say that an image of 8 bits is all but black beside the training images; None if it is not.

    An image may be dark, so this is no reason to refuse it.
    """
    known = card.intensities
    if card.normalization.kind != "fixed" or known is None or dtype != np.uint8:
        return None
    if not 0 < largest < known[1] / _FAR:
        return None
    advice = ": if 1 is white in it, say --white 1" if largest == 1 else ""
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


def _find_largest(source: ImageSource) -> float:
    """Greatest value in some rows of some planes; NaN is left to the reading."""
    axes = source.axes.names
    sizes = dict(zip(axes, source.shape, strict=True))
    planes, _, height, _ = planes_shape(axes, source.shape)
    tops = np.linspace(0, max(height - _SAMPLED_ROWS, 0), _SAMPLES).astype(int)
    largest = 0.0
    with source.reading() as read:
        for number, top in zip(np.linspace(0, planes - 1, _SAMPLES).astype(int), tops, strict=True):
            place = dict(zip("TZ", divmod(int(number), sizes.get("Z", 1)), strict=True))
            parts = {letter: slice(i, i + 1) for letter, i in place.items()}
            parts["Y"] = slice(int(top), min(int(top) + _SAMPLED_ROWS, height))
            rows = read(tuple(parts.get(letter, slice(0, sizes[letter])) for letter in axes))
            finite = rows[np.isfinite(rows)] if rows.dtype.kind == "f" else rows
            largest = max(largest, float(finite.max())) if finite.size else largest
    return largest


def _describe(
    source: ImageSource, card: Card, largest: float, *, white: float | None = None
) -> str:
    """Say what was expected and found, and which option scales the image."""
    known = card.intensities
    held = f" ({known[0]:g} to {known[1]:g})" if known else ""
    if white is not None:
        held += f", and --white says {white:g}"
    message = (
        f"The image holds {source.dtype} values that reach {largest:g}; the model was trained on "
        f"{card.dtype}{held} and normalises by {card.normalization.source}: expected the same."
    )
    if (found := guess_white(largest)) is None:
        return f"{message} Convert the image to {card.dtype}."
    target = find_white(card)
    return (
        f"{message} If {found:g} is white in it, say --white {found:g}; or convert it, in Python: "
        f"(image / {found:g} * {target:g}).astype('{card.dtype}')."
    )
