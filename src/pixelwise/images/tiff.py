"""TIFF, OME-TIFF, ImageJ TIFF and BigTIFF, through tifffile."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tifffile

from pixelwise.axes import AXES, NamedAxes, guess_axes
from pixelwise.errors import DataError, ReadError
from pixelwise.images.source import Header, Palette

Array = npt.NDArray[Any]

_DAMAGE: Final = (
    OSError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError,
    ZeroDivisionError, NotImplementedError, RuntimeError, struct.error,
)  # fmt: skip
_ALPHA: Final = (1, 2)
_KINDS: Final = {"ome": "OME metadata", "imagej": "ImageJ metadata"}


def read_header(path: Path, palette: Palette) -> Header:
    """Shape without alpha, dtype and axes of the first series of a TIFF."""
    with _open_series(path) as series:
        shape, axes = _find_layout(series, palette)
        dtype = (
            np.dtype("uint8")
            if series.dtype == bool or _has_colormap(series, palette)
            else (np.dtype(series.dtype).newbyteorder("="))
        )
        return Header(shape, dtype, axes)


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Decode the first series; alpha is dropped, with a note where it hid anything."""
    with _open_series(path) as series:
        _require_whole(path, series)
        pixels: Array = series.asarray()
        notes: tuple[str, ...] = ()
        if len(series.keyframe.parent.series) > 1:
            notes = (f"holds {len(series.keyframe.parent.series)} series, the first was read",)
        if _has_colormap(series, palette):
            colors = np.asarray(series.keyframe.colormap) >> 8
            return np.moveaxis(colors.astype("uint8")[:, pixels], 0, -1), notes
        pixels, alpha_notes = _drop_alpha(series, pixels)
        pixels = pixels.astype("uint8") if pixels.dtype == bool else pixels
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False), notes + alpha_notes


@contextmanager
def _open_series(path: Path) -> Iterator[Any]:
    """First series of a TIFF file; whatever tifffile raises becomes a `ReadError`."""
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff.series[0]
    except (ReadError, DataError):
        raise
    except _DAMAGE as error:
        raise ReadError(
            f"{path} is damaged, cut off, or compressed in an unknown way: {error}. "
            "Save it again or leave it out."
        ) from error


def _require_whole(path: Path, series: Any) -> None:
    """Raise if strips or tiles lie beyond the end of the file, which decoders may fill with 0."""
    size = path.stat().st_size
    for page in series.pages:
        if page is None or page.parent.filehandle.path != str(path.absolute()):
            continue
        ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends, default=0) > size:
            raise ReadError(
                f"{path} is cut off: its pixels should end at byte {max(ends)}, "
                f"the file has {size}. Copy or save it again."
            )


def _has_colormap(series: Any, palette: Palette) -> bool:
    """Whether palette entries must become colours."""
    page = series.keyframe
    return palette == "color" and page.photometric == 3 and page.colormap is not None


def _count_alpha(series: Any) -> int:
    """Count the samples to drop from the end: the extra ones, if one of them is alpha."""
    extra = tuple(series.keyframe.extrasamples or ())
    return len(extra) if "S" in series.axes and any(e in _ALPHA for e in extra) else 0


def _drop_alpha(series: Any, pixels: Array) -> tuple[Array, tuple[str, ...]]:
    """Drop alpha samples, with a note if they are not opaque."""
    count = _count_alpha(series)
    if not count:
        return pixels, ()
    axis = series.axes.index("S")
    colors, alpha = np.split(pixels, [pixels.shape[axis] - count], axis)
    if colors.shape[axis] == 1:
        colors = colors.squeeze(axis)
    opaque = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
    if (alpha == opaque).all():
        return np.ascontiguousarray(colors), ()
    return np.ascontiguousarray(colors), ("has transparent pixels; the alpha channel was dropped",)


def _find_layout(series: Any, palette: Palette) -> tuple[tuple[int, ...], NamedAxes]:
    """Shape and axes after alpha is dropped and palette entries became colours."""
    shape = list(series.shape)
    letters: str = series.axes
    if count := _count_alpha(series):
        at = letters.index("S")
        shape[at] -= count
        if shape[at] == 1:
            del shape[at]
            letters = letters.replace("S", "")
    if _has_colormap(series, palette):
        shape.append(3)
        letters += "S"
    return tuple(shape), name_axes(letters, tuple(shape), kind=series.kind)


def name_axes(letters: str, shape: tuple[int, ...], *, kind: str) -> NamedAxes:
    """Translate tifffile's axes letters.

    Parameters
    ----------
    letters : str
        tifffile's: S are the samples of a colour, I are pages, Q is unknown.
    shape : tuple of int
        One size per letter.
    kind : str
        tifffile's kind of series: ome, imagej, shaped, uniform, ...

    Raises
    ------
    DataError
        Colour samples and a channel axis are both there, or there are too many dimensions.
    """
    if "S" in letters and "C" in letters:
        raise DataError(
            f"A TIFF of shape {shape} has both channels and colour samples (axes {letters}); "
            "save it with one channel axis."
        )
    names = letters.replace("S", "C")
    if set(names) <= set(AXES) and len(set(names)) == len(names):
        return NamedAxes(names, _explain_names(letters, kind))
    unknown = [letter for letter in names if letter not in AXES]
    free = [letter for letter in "TZ" if letter not in names][-len(unknown) :]
    if "S" not in letters or len(unknown) > len(free):
        return guess_axes(shape)
    for letter in free:
        at = next(i for i, name in enumerate(names) if name not in AXES)
        names = f"{names[:at]}{letter}{names[at + 1 :]}"
    return NamedAxes(names, f"colour pixels; pages guessed to be {' and '.join(free)}")


def _explain_names(letters: str, kind: str) -> str:
    """Say where complete names came from."""
    if letters == "YX":
        return "plain image"
    if letters in ("YXS", "SYX"):
        return "colour pixels of the file"
    return _KINDS.get(kind, "the file's metadata")
