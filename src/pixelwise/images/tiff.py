"""TIFF, OME-TIFF, ImageJ TIFF and BigTIFF, through tifffile."""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tifffile

from pixelwise.axes import AXES, NamedAxes, guess_axes
from pixelwise.errors import DataError, PixelwiseError, ReadError
from pixelwise.images.pixel_size import read_calibration
from pixelwise.images.source import Header, Palette, Region, RegionReader

Array = npt.NDArray[Any]

_DAMAGE: Final = (
    OSError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError,
    ZeroDivisionError, NotImplementedError, RuntimeError, struct.error,
)  # fmt: skip
_LIBTIFF: Final = (5, 8, 32773, 32946)
"""LZW, deflate, PackBits."""
_ALPHA: Final = (1, 2)
_SMALL_BYTES: Final = 16 << 20
_HIGHEST_STRIP: Final = 2048
_HIGHEST_PAGE: Final = 8192
_DAMAGE_WORDS: Final = (
    *("corrupted", "circular", "invalid offset", "invalid page offset", "failed to reshape"),
    *("zeroed", "missing", "not match", "incompletely", "out of range"),
)
_KINDS: Final = {"ome": "OME metadata", "imagej": "ImageJ metadata"}


def read_header(path: Path, palette: Palette) -> Header:
    """Shape without alpha, dtype, axes and calibration of the first series of a TIFF."""
    with _explaining_damage(path), _open_series(path) as series:
        shape, axes = _find_layout(series, palette)
        small = series.dtype == bool or _has_colormap(series, palette)
        dtype = np.dtype("uint8" if small else series.dtype).newbyteorder("=")
        calibration = read_calibration(series, axes.names)
        return Header(shape, dtype, axes, calibration, regions=_has_regions(series))


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Decode the first series; alpha is dropped, with a note where it hid anything."""
    with _explaining_damage(path), _open_series(path) as series:
        _require_whole(path, series)
        pixels: Array = _decode_strips(path, series) if _is_plain(series) else series.asarray()
        notes: tuple[str, ...] = ()
        if len(series.keyframe.parent.series) > 1:
            notes = (f"holds {len(series.keyframe.parent.series)} series, the first was read",)
        pixels, alpha_notes = _finish_colors(series, pixels, palette)
        return pixels, notes + alpha_notes


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:
    """Give a function that decodes the strips or tiles a region touches, and no others.

    Regions are those of the image as `decode` gives it; of a pyramid, of its largest level.
    """
    import zarr

    with ExitStack() as stack:
        with _explaining_damage(path):
            series = stack.enter_context(_open_series(path))
            _require_whole(path, series)
            if series.dataoffset is not None:
                stored = series.asarray(out="memmap")
            else:
                stored = zarr.open_array(series.aszarr(level=0), mode="r")

        def read(region: Region) -> Array:
            wanted, kept = _plan_region(series, region, palette)
            with _explaining_damage(path):
                found, _ = _finish_colors(series, np.asarray(stored[wanted]), palette)
                colors: Array = found[kept]
                return colors

        yield read


def _has_regions(series: Any) -> bool:
    """Whether parts can be read for less than the price of the whole.

    Small images are decoded whole, which is faster. So are those in one compressed strip, or in
    strips so high that every block of rows would decode them again, unless there are many pages.
    """
    if series.nbytes <= _SMALL_BYTES:
        return False
    page = series.keyframe
    highest = _HIGHEST_STRIP if len(series.pages) == 1 else _HIGHEST_PAGE
    return series.dataoffset is not None or page.is_tiled or page.rowsperstrip <= highest


def _plan_region(series: Any, region: Region, palette: Palette) -> tuple[Region, tuple[Any, ...]]:
    """Region of the stored array to read, and what to keep of its colours: they come together."""
    if _has_colormap(series, palette):
        return region[:-1], (..., region[-1])
    if not _count_alpha(series):
        return region, (...,)
    at = series.axes.index("S")
    if len(region) < len(series.shape):
        return (*region[:at], slice(None), *region[at:]), (...,)
    kept = (*[slice(None)] * at, region[at], ...)
    return (*region[:at], slice(None), *region[at + 1 :]), kept


def _finish_colors(series: Any, pixels: Array, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Turn stored values into those of the image: colours, no alpha, no bool, native byte order."""
    if _has_colormap(series, palette):
        colors = np.asarray(series.keyframe.colormap) >> 8
        return np.moveaxis(colors.astype("uint8")[:, pixels], 0, -1), ()
    pixels, notes = _drop_alpha(series, pixels)
    pixels = pixels.astype("uint8") if pixels.dtype == bool else pixels
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False), notes


@contextmanager
def _open_series(path: Path) -> Iterator[Any]:
    """First series of a TIFF file, if tifffile does not complain of damage until the end."""
    with _LISTENER.listening() as heard, tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        _require_sound(series, heard)
        yield series
        with _explaining_damage(path):
            _require_sound(series, heard)


@contextmanager
def _explaining_damage(path: Path) -> Iterator[None]:
    """Turn whatever tifffile and its decoders raise into a `ReadError`."""
    try:
        yield
    except PixelwiseError:
        raise
    except _DAMAGE as error:
        raise ReadError(
            f"{path} is damaged, cut off, or compressed in an unknown way: {error}. "
            "Save it again or leave it out."
        ) from error


class _Listener(logging.Filter):
    """Hears what tifffile only logs: pages that are missing, and zeros in their place.

    One listener is on tifffile's logger for good; it keeps apart what each thread does, and lets
    pass what is logged while nobody listens.
    """

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """Give the messages of this thread, which grow while the block runs."""
        heard: list[str] = []
        self._local.heard = heard
        try:
            yield heard
        finally:
            self._local.heard = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a message for the thread that listens; let it pass if none does."""
        heard: list[str] | None = getattr(self._local, "heard", None)
        if heard is None:
            return True
        heard.append(record.getMessage())
        return False


_LISTENER: Final = _Listener()
logging.getLogger("tifffile").addFilter(_LISTENER)


def _require_sound(series: Any, heard: list[str]) -> None:
    """Raise if there is no image, or if tifffile complained of damage."""
    if not {"Y", "X"} <= set(series.axes):
        raise ValueError("it holds no image")
    for message in heard:
        if any(word in message for word in _DAMAGE_WORDS):
            raise ValueError(message)


def _require_whole(path: Path, series: Any) -> None:
    """Raise if strips or tiles lie beyond the end of the file, which decoders may fill with 0."""
    size = path.stat().st_size
    for page in series.pages:
        if page is None or page.parent is not series.parent:  # OME files can share a series
            continue
        ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends, default=0) > size:
            raise ReadError(
                f"{path} is cut off: its pixels should end at byte {max(ends)}, "
                f"the file has {size}. Copy or save it again."
            )


def _is_plain(series: Any) -> bool:
    """Whether libtiff can decode the series: one page of 8- or 16-bit grey or RGB, lossless."""
    page = series.keyframe
    return (
        len(series.pages) == 1
        and page.compression in _LIBTIFF
        and page.photometric in (1, 2)
        and page.planarconfig == 1
        and (page.bitspersample, series.dtype.name) in ((8, "uint8"), (16, "uint16"))
        and page.index == 0
    )


def _decode_strips(path: Path, series: Any) -> Array:
    """Decode with libtiff: four times as fast where strips are short, and free of the GIL."""
    import imagecodecs

    pixels: Array = imagecodecs.tiff_decode(path.read_bytes(), index=0)
    if pixels.shape != series.keyframe.shape or pixels.dtype.name != series.dtype.name:
        raise ValueError(f"libtiff found shape {pixels.shape} of {pixels.dtype}")
    return pixels.reshape(series.shape)


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
