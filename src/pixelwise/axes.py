"""Named axes: what each dimension of an array is; guesses are always reported.

An axes string has one letter of ``TZCYX`` (time, depth, channel, row, column) per dimension, in
the order of the array's shape: an RGB image is ``YXC``, a confocal stack ``ZCYX``. The engine
computes on planes only: ``(N, C, Y, X)``, where N runs over T and Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any, Self

import numpy.typing as npt

from pixelwise.errors import AxesError, DataError

AXES = "TZCYX"
_CANONICAL = {2: "YX", 3: "ZYX", 4: "ZCYX", 5: "TZCYX"}
_COLOUR_CHANNELS = (3, 4)
_THINNEST = 2
"""Width in pixels up to which YX planes of a stack are doubted."""
_NARROW = 16
_NARROW_RATIO = 4
"""Planes narrower than `_NARROW`, with other axes this many times longer, may be channels."""
_LONGEST = 16
"""A first axis shorter than this is a stack, even if its planes are smaller."""
_MOST_PLANES = 2000

_MICROMETRES = {
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "kilometer": 1e9,
    "inch": 25_400.0,
}
"""Lengths that OME-Zarr knows, in micrometres."""
_SHORT_UNITS = {
    "Å": "angstrom",
    "pm": "picometer",
    "nm": "nanometer",
    "µm": "micrometer",
    "um": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "km": "kilometer",
    "in": "inch",
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "µs": "microsecond",
    "ns": "nanosecond",
    "min": "minute",
    "h": "hour",
    "d": "day",
}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class NamedAxes:
    """An axes string with the reason for it.

    Attributes
    ----------
    names : str
        One letter of ``TZCYX`` per dimension.
    reason : str
        Where the names come from: a file's metadata, the user, or the shape.
    doubt : str
        Why the names must not be used until the user confirms them; empty if they may be used.
    """

    names: str
    reason: str
    doubt: str = ""

    def __str__(self) -> str:
        return f"read as {self.names} ({self.reason})"

    @property
    def is_guess(self) -> bool:
        """Whether the shape is all there was to go by."""
        return self.reason.startswith("guessed") or not self.names

    def require(self, ask: str = "--axes") -> NamedAxes:
        """Return the axes if they may be used; `ask` is the option that names them.

        Raises
        ------
        AxesError
            The names are an unsafe guess; the message asks for them.
        """
        if self.doubt:
            raise AxesError(self.doubt.replace("--axes", ask))
        return self


@dataclass(frozen=True)
class Calibration:
    """World coordinates of an array's pixels; one value per axis, in the array's order.

    Attributes
    ----------
    scale : tuple of float
        Size of a pixel in `units`, above 0.
    units : tuple of str or None
        Full names such as ``micrometer`` and ``second``; None: pixels.
    translation : tuple of float
        Position of the first pixel in `units`.
    """

    scale: tuple[float, ...]
    units: tuple[str | None, ...]
    translation: tuple[float, ...]

    @classmethod
    def create(
        cls,
        scale: Sequence[float],
        units: Sequence[object] | None = None,
        translation: Sequence[float] | None = None,
    ) -> Self:
        """Create a calibration; units may be short (µm), or "pixel" for none, as in napari layers.

        Raises
        ------
        DataError
            The counts differ, or a scale is not above 0.
        """
        units = [None] * len(scale) if units is None else units
        translation = [0.0] * len(scale) if translation is None else translation
        if not len(scale) == len(units) == len(translation):
            raise DataError(
                f"Expected one scale, unit and translation per axis, got {len(scale)}, "
                f"{len(units)} and {len(translation)}."
            )
        if not all(isfinite(size) and size > 0 for size in scale):
            raise DataError(f"Expected pixel sizes above 0, got {tuple(scale)}.")
        names = tuple(None if unit is None else name_unit(str(unit)) for unit in units)
        return cls(tuple(map(float, scale)), names, tuple(map(float, translation)))

    def select(self, axes: str, kept: str) -> Calibration:
        """Calibration of an array with the axes `kept`, made from one with `axes`.

        New axes and channels get scale 1 and translation 0: a result has channels of its own.
        """
        own = axes.replace("C", "-")
        found = [own.index(letter) if letter in own else None for letter in kept]
        return Calibration(
            tuple(1.0 if i is None else self.scale[i] for i in found),
            tuple(None if i is None else self.units[i] for i in found),
            tuple(0.0 if i is None else self.translation[i] for i in found),
        )

    def pixel_size_um(self, axes: str) -> tuple[float, float] | None:
        """Height and width of a pixel in micrometres, if both are lengths."""
        found = [(self.units[axes.index(x)], self.scale[axes.index(x)]) for x in "YX"]
        if not all(unit in _MICROMETRES for unit, _ in found):
            return None
        height, width = (_MICROMETRES[str(unit)] * scale for unit, scale in found)
        return height, width


def shorten_unit(name: str) -> str:
    """Short form of a unit's full name, as OME-XML wants it: µm for micrometer."""
    return next((short for short, full in _SHORT_UNITS.items() if full == name), name)


def name_unit(text: str) -> str | None:
    """Full name of a unit that may be short; None for pixels and unknown units."""
    plain = text.strip().replace("\\u00B5", "µ").replace("μ", "µ").replace("metre", "meter")
    known = _MICROMETRES.keys() | set(_SHORT_UNITS.values())
    name = _SHORT_UNITS.get(plain, plain.lower())
    return name if name in known else None


def parse_axes(names: str, ndim: int) -> str:
    """Return `names` in upper case if it can name `ndim` dimensions.

    Raises
    ------
    DataError
        A letter is unknown or repeated, Y or X is missing, or the count is not `ndim`.
    """
    text = names.strip().upper()
    wrong = sorted(set(text) - set(AXES))
    if wrong:
        raise DataError(
            f"Axes {names!r} contain {', '.join(wrong)}: expected letters of {AXES}, e.g. 'ZYX'."
        )
    if len(set(text)) != len(text) or not {"Y", "X"} <= set(text):
        raise DataError(f"Axes {names!r} must contain Y and X, and each letter only once.")
    if len(text) != ndim:
        raise DataError(
            f"Axes {names!r} name {len(text)} dimensions, but the image has {ndim}: "
            "give one letter per dimension."
        )
    return text


def guess_axes(shape: tuple[int, ...]) -> NamedAxes:
    """Guess the axes of an unnamed array from its shape; the reason says that it is a guess.

    Axes of size 1 are set aside. Of the others, a last axis of 3 or 4 is colour, one axis before
    YX is Z, and of two such axes a first one of up to 4 is channels. The result carries a doubt
    where another reading is likely: planes only one or two pixels wide, narrow planes, thousands
    of planes, or a first axis longer than the others.

    Returns
    -------
    NamedAxes
        Call `NamedAxes.require` before using it; the names are empty if none can be found.
    """
    ndim = len(shape)
    if not 2 <= ndim <= len(AXES):
        message = f"An image of shape {shape} has {ndim} dimensions; expected 2 to {len(AXES)}."
        return NamedAxes("", "not named", message)
    if ndim == 2:
        return NamedAxes("YX", "plain image")
    kept = _find_long_axes(shape)
    sizes = tuple(shape[i] for i in kept)
    core, reason = _name_long_axes(sizes)
    names = _insert_short_axes(core, kept, ndim)
    long = dict(zip(core, sizes, strict=True))
    return NamedAxes(names, reason, _find_doubt(shape, names, sizes=long))


def _find_long_axes(shape: tuple[int, ...]) -> list[int]:
    """Positions of the axes longer than 1; filled up to two with the last of the others."""
    kept = [i for i, size in enumerate(shape) if size != 1]
    short = [i for i, size in enumerate(shape) if size == 1]
    return sorted(kept + short[len(short) - max(2 - len(kept), 0) :])


def _name_long_axes(shape: tuple[int, ...]) -> tuple[str, str]:
    """Names for the axes of more than one pixel, and why."""
    ndim = len(shape)
    if ndim in (3, 4) and shape[-1] in _COLOUR_CHANNELS and min(shape[-3:-1]) > shape[-1]:
        names = "YXC" if ndim == 3 else "ZYXC"
        return names, "guessed from the shape: last axis looks like colour"
    if ndim == 4 and shape[0] <= max(_COLOUR_CHANNELS) < shape[1]:
        return "CZYX", "guessed from the shape: first axis looks like channels"
    return _CANONICAL[ndim], "guessed from the shape"


def _insert_short_axes(core: str, kept: list[int], ndim: int) -> str:
    """Give axes of size 1 free letters, preferring the usual one for each position."""
    named = dict(zip(kept, core, strict=True))
    for i in range(ndim):
        if i not in named:
            wanted = _CANONICAL[ndim][i] + "CZT"
            named[i] = next(letter for letter in wanted if letter not in named.values())
    return "".join(named[i] for i in range(ndim))


def _find_doubt(shape: tuple[int, ...], names: str, *, sizes: dict[str, int]) -> str:
    """Explain why a guess is not to be trusted; empty if it is."""
    height, width = sizes["Y"], sizes["X"]
    beside = [size for letter, size in sizes.items() if letter not in "YX"]
    if not beside:
        return ""
    is_colour = names.endswith("C")
    planes = prod(sizes.get(letter, 1) for letter in "TZ")
    thin = _is_thin(min(height, width), sorted(sizes.values()), is_colour=is_colour)
    is_long = max(beside) > max(height, width) and max(beside) >= _LONGEST and not is_colour
    if not thin and not is_long and planes < _MOST_PLANES:
        return ""
    fit = _propose_axes(shape) if thin else names
    channels = shape[fit.index("C")] if "C" in fit else 1
    counted = f" ({channels} channels)" if channels > 1 else ""
    return (
        f"Nothing names the axes of the shape {shape}. Read as {names} it would be {planes} planes "
        f"of {height} x {width} pixels, which may be wrong: name the axes, e.g. "
        f"--axes {fit}{counted}."
    )


def _is_thin(narrow: int, sizes: Sequence[int], *, is_colour: bool) -> bool:
    """Whether planes are so narrow that two longer axes may be the real Y and X."""
    compared = not is_colour and narrow < _NARROW
    return narrow <= _THINNEST or (compared and _NARROW_RATIO * narrow <= sizes[-2])


def _propose_axes(shape: tuple[int, ...]) -> str:
    """Propose the two longest axes as Y and X, and the shortest of the others as channels."""
    order = sorted(range(len(shape)), key=lambda i: -shape[i])
    rows, columns = sorted(order[:2])
    rest = sorted(order[2:], key=lambda i: (shape[i] == 1, shape[i]))
    letters = {rows: "Y", columns: "X"} | dict(zip(rest, "CZT", strict=False))
    return "".join(letters[i] for i in range(len(shape)))


def to_planes(array: Array, axes: str) -> Array:
    """View or copy `array` as planes.

    Parameters
    ----------
    array : ndarray
        Any dtype, one dimension per letter of `axes`.
    axes : str
        Axes of `array`.

    Returns
    -------
    ndarray, (N, C, Y, X)
        N = T * Z in that order; C = 1 where the array has no channel axis. Same dtype.
    """
    names = parse_axes(axes, array.ndim)
    order = [names.index(letter) for letter in AXES if letter in names]
    ordered = array.transpose(order)
    sizes = {letter: array.shape[names.index(letter)] for letter in names}
    planes = sizes.get("T", 1) * sizes.get("Z", 1)
    return ordered.reshape(planes, sizes.get("C", 1), sizes["Y"], sizes["X"])


def label_axes(axes: str) -> str:
    """Axes of a label image of an image with `axes`: the same without C."""
    return axes.replace("C", "")


def planes_shape(axes: str, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Shape (N, C, Y, X) that `to_planes` gives for an array of `shape`."""
    sizes = dict(zip(parse_axes(axes, len(shape)), shape, strict=True))
    return sizes.get("T", 1) * sizes.get("Z", 1), sizes.get("C", 1), sizes["Y"], sizes["X"]


def plane_region(
    axes: str, shape: tuple[int, ...], plane: int, *, rows: slice
) -> tuple[slice, ...]:
    """Region of an array of `shape` that holds some rows of one plane, in the order of its axes."""
    sizes = dict(zip(axes, shape, strict=True))
    place = dict(zip("TZ", divmod(plane, sizes.get("Z", 1)), strict=True))
    chosen = {letter: slice(index, index + 1) for letter, index in place.items()} | {"Y": rows}
    return tuple(chosen.get(letter, slice(0, sizes[letter])) for letter in axes)


def from_planes(planes: Array, axes: str, shape: tuple[int, ...]) -> Array:
    """Undo `to_planes`: give planes the axes order and shape they came from.

    Parameters
    ----------
    planes : ndarray
        (N, C, Y, X), or (N, Y, X) when `axes` has no C.
    axes : str
        Axes of the result.
    shape : tuple of int
        Shape of the result, except that a C axis takes the channel count of `planes`.

    Returns
    -------
    ndarray
        A view where possible.
    """
    names = parse_axes(axes, len(shape))
    sizes = dict(zip(names, shape, strict=True))
    if "C" in names:
        sizes["C"] = planes.shape[1]
    ordered = [letter for letter in AXES if letter in names]
    if prod(sizes.values()) != planes.size:
        raise DataError(f"Planes of shape {planes.shape} do not fit axes {axes} of shape {shape}.")
    array = planes.reshape([sizes[letter] for letter in ordered])
    return array.transpose([ordered.index(letter) for letter in names])
