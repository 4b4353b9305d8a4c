"""Named axes: what each dimension of an array is, said and never guessed silently.

An axes string names every dimension with one letter of ``TZCYX`` (time, depth, channel, row,
column), in the order of the array's shape: an RGB picture is ``YXC``, a confocal stack ``ZCYX``.
Planes are the one form that the engine computes on: ``(N, C, Y, X)``, where N runs over T and Z.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy.typing as npt

from pixelwise.errors import DataError

AXES = "TZCYX"
_CANONICAL = {2: "YX", 3: "ZYX", 4: "ZCYX", 5: "TZCYX"}
_COLOUR_CHANNELS = (3, 4)

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
    """

    names: str
    reason: str

    def __str__(self) -> str:
        return f"read as {self.names} ({self.reason})"


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
            f"Axes {names!r} hold {', '.join(wrong)}: expected letters of {AXES} only, e.g. 'ZYX'."
        )
    if len(set(text)) != len(text) or not {"Y", "X"} <= set(text):
        raise DataError(f"Axes {names!r} must hold Y and X, and each letter once.")
    if len(text) != ndim:
        raise DataError(
            f"Axes {names!r} name {len(text)} dimensions, but the image has {ndim}: "
            "give one letter per dimension."
        )
    return text


def guess_axes(shape: tuple[int, ...]) -> NamedAxes:
    """Name the axes of an array that carries no names, and say that it is a guess.

    A last dimension of 3 or 4 is read as colour, one dimension before Y and X as Z, and of two the
    one of up to 4 as channels; the reason says that the shape was all there was to go by.

    Raises
    ------
    DataError
        The array has fewer than 2 or more than 5 dimensions.
    """
    ndim = len(shape)
    if not 2 <= ndim <= len(AXES):
        raise DataError(
            f"An image of shape {shape} has {ndim} dimensions; expected 2 to {len(AXES)}."
        )
    if ndim in (3, 4) and shape[-1] in _COLOUR_CHANNELS and min(shape[-3:-1]) > shape[-1]:
        names = "YXC" if ndim == 3 else "ZYXC"
        return NamedAxes(names, "guessed from the shape: last axis looks like colour")
    if ndim == 4 and shape[0] <= max(_COLOUR_CHANNELS) < shape[1]:
        return NamedAxes("CZYX", "guessed from the shape: first axis looks like channels")
    return NamedAxes(_CANONICAL[ndim], "plain image" if ndim == 2 else "guessed from the shape")


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
