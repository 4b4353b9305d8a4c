"""Which image of a TIFF is read, and its axes.

A file can hold several series: previews, slide labels, further images. The largest is read. A file
of a multi-file set is read alone, never the other files that its metadata name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import tifffile

from pixelwise.axes import AXES, NamedAxes, guess_axes
from pixelwise.images.ome_files import OwnPlanes, read_own_planes
from pixelwise.images.tiff_damage import (
    LISTENER,
    explaining_damage,
    require_end_of_pages,
    require_sound,
)

_KINDS: Final = {"ome": "OME metadata", "imagej": "ImageJ metadata"}
_MOST_NAMES: Final = 5
_REDUCED_OR_MASK: Final = 1 | 4
"""Bits of NewSubfileType: a smaller copy of another page, and a transparency mask."""


@dataclass(frozen=True)
class Chosen:
    """A tifffile series to read.

    Attributes
    ----------
    series : TiffPageSeries
    shape, letters : tuple of int, str
        As stored, with tifffile's letters: S are samples of a colour, I and Q are unknown.
    kind : str
        tifffile's kind of series, "own" for planes of a multi-file set.
    notes : tuple of str
        What else the file holds.
    ambiguous : str
        Why another series may be meant instead; empty if the choice is clear.
    """

    series: Any
    shape: tuple[int, ...]
    letters: str
    kind: str
    notes: tuple[str, ...] = ()
    ambiguous: str = ""


@contextmanager
def opening_series(path: Path) -> Iterator[Chosen]:
    """Open the largest series of a TIFF; damage that tifffile logs is raised.

    Raises
    ------
    ReadError
        The file is damaged, or holds no image.
    """
    with LISTENER.listening() as heard, tifffile.TiffFile(path, _multifile=False) as tiff:
        require_end_of_pages(tiff)
        stay_in_file(tiff)
        _require_short_shape(tiff)
        chosen = _choose(path, tiff)
        require_sound(heard)
        yield chosen
        with explaining_damage(path):
            require_sound(heard)


def stay_in_file(tiff: Any) -> None:
    """Disable tifffile's reading of other files of a set, where there is no option for it."""
    if tiff.is_ndtiff:
        tiff.is_ndtiff = False
    if tiff.is_mmstack:
        settings = tiff.micromanager_metadata or {}
        summary, planes = settings.get("Summary", {}), settings.get("IndexMap", ())
        counts = [int(summary.get(name, 1) or 1) for name in _MICRO_MANAGER]
        if prod(counts) > len(planes):
            tiff.is_mmstack = False


def _require_short_shape(tiff: Any) -> None:
    """Refuse a description whose shape has so many sizes that tifffile would take minutes."""
    description = tiff.pages.first.description if len(tiff.pages) else ""
    shape = _SHAPE.search(description)
    if shape is not None and len(shape[1]) > _LONGEST_SHAPE:
        raise ValueError("its description gives a shape of more axes than an image has")


_SHAPE: Final = re.compile(r'"shape"\s*:\s*\[([^\]]*)')
_LONGEST_SHAPE: Final = 1000  # characters
_MICRO_MANAGER: Final = ("Frames", "Slices", "Channels", "Positions")


def _choose(path: Path, tiff: Any) -> Chosen:
    """Choose the largest series, preferring full images to previews and masks."""
    own = read_own_planes(tiff.ome_metadata, path.name) if tiff.is_ome else None
    series = [one for one in tiff.series if {"Y", "X"} <= set(one.axes)]
    if not series:
        raise ValueError("it holds no image")
    ranks = [(not _is_reduced(one), _count_pixels(one)) for one in series]
    largest = max(ranks)
    number = ranks.index(largest)
    shape, letters, kind, notes = _find_own_layout(series[number], own)
    ambiguous = ""
    if len(series) > 1:
        others = [one for i, one in enumerate(series) if i != number]
        is_tie = ranks.count(largest) > 1
        note = _describe(series, others, is_tie=is_tie)
        notes += (note,)
        ambiguous = note if is_tie else ""
    return Chosen(series[number], shape, letters, kind, notes, ambiguous)


def _is_reduced(series: Any) -> bool:
    """Whether a series is a preview of another one, or a transparency mask."""
    return bool(int(series.keyframe.subfiletype) & _REDUCED_OR_MASK)


def _count_pixels(series: Any) -> int:
    """Count the pixels of all planes and channels; colour samples count once."""
    return prod(n for n, letter in zip(series.shape, series.axes, strict=True) if letter != "S")


def _describe(series: Sequence[Any], others: Sequence[Any], *, is_tie: bool) -> str:
    """Describe which series was read, and name the others."""
    names = [f"{one.name or 'series'} {' x '.join(map(str, one.shape))}" for one in others]
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    which = "the first of the largest" if is_tie else "the largest"
    left = ", ".join([*names[:_MOST_NAMES], *more])
    return f"holds {len(series)} series, {which} was read; left out: {left}"


def _find_own_layout(
    series: Any, own: OwnPlanes | None
) -> tuple[tuple[int, ...], str, str, tuple[str, ...]]:
    """Shape, letters, kind and notes of a series, which may belong to a multi-file set."""
    shape, letters = tuple(series.shape), str(series.axes)
    if own is None:
        return shape, letters, series.kind, ()
    plane = letters.lstrip("IQ")
    count = prod(shape[: len(letters) - len(plane)])
    sizes = shape[len(letters) - len(plane) :]
    if count != prod(own.sizes):
        return shape, letters, "own", (own.note,)
    return (*own.sizes, *sizes), own.letters + plane, "own", (own.note,)


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

    Returns
    -------
    NamedAxes
        With a doubt if there are both colour samples and a channel axis, or if the shape is
        ambiguous.
    """
    if "S" in letters and "C" in letters:
        message = (
            f"A TIFF of shape {shape} has both channels and colour samples (axes {letters}); "
            "save it with one channel axis."
        )
        return NamedAxes("", "not named", message)
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
    """Describe the source of complete axes names."""
    if letters == "YX":
        return "plain image"
    if letters in ("YXS", "SYX"):
        return "colour pixels of the file"
    return {**_KINDS, "own": _KINDS["ome"]}.get(kind, "the file's metadata")
