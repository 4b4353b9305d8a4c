"""Nikon ND2, plane by plane, through the package nd2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import nd2
import numpy as np
import numpy.typing as npt

from pixelwise.axes import Calibration, NamedAxes
from pixelwise.errors import DataError
from pixelwise.images.containers import Choice, choose_inner, split_inner
from pixelwise.images.damage import DAMAGE, explaining_damage
from pixelwise.images.frames import Frames
from pixelwise.images.pixel_size import calibrate
from pixelwise.images.reader import Header, Palette, RegionReader

Array = npt.NDArray[Any]

_LOOPS: Final = {"TimeLoop": "T", "NETimeLoop": "T", "ZStackLoop": "Z", "XYPosLoop": "P"}
_RGB: Final = 3


@dataclass(frozen=True)
class _Image:
    """One position of an open file; `loops` are the letters and sizes of the frame axes."""

    file: Any
    loops: tuple[tuple[str, int], ...]
    choice: Choice
    notes: tuple[str, ...]

    @property
    def outer(self) -> tuple[tuple[str, int], ...]:
        """Loops except the one over positions."""
        return tuple(loop for loop in self.loops if loop[0] != "P")

    @property
    def inner(self) -> tuple[tuple[str, int], ...]:
        """Letters and sizes of a frame."""
        found = self.file.attributes
        rows = (("Y", found.heightPx), ("X", found.widthPx))
        if self.file.components_per_channel == _RGB and (found.channelCount or 1) == 1:
            return (*rows, ("C", _RGB))
        channels = found.componentCount
        return (("C", channels), *rows) if channels > 1 else rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image: loops, then the axes of a frame."""
        return tuple(size for _, size in (*self.outer, *self.inner))

    def read_frame(self, index: tuple[int, ...]) -> Array:
        """Decode one frame, indexed by the loops without positions."""
        found = self.file.attributes
        places = iter(index)
        full = [self.choice.number if letter == "P" else next(places) for letter, _ in self.loops]
        number = int(np.ravel_multi_index(full, [n for _, n in self.loops])) if full else 0
        channels, parts = found.channelCount or 1, self.file.components_per_channel
        frame: Array = self.file.read_frame(number)
        frame = frame.reshape(channels, found.heightPx, found.widthPx, parts)
        sizes = tuple(size for _, size in self.inner)
        if sizes[-1] == _RGB and sizes[0] == found.heightPx and len(sizes) == _RGB:
            return np.asarray(frame[0])
        return np.moveaxis(frame, 3, 1).reshape(sizes)


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  the Reader protocol
    """Shape, dtype, axes and calibration of a position."""
    with _opening(path) as image, explaining_damage(path):
        letters = "".join(letter for letter, _ in (*image.outer, *image.inner))
        axes = NamedAxes(letters, "ND2 metadata")
        dtype = np.dtype(image.file.dtype)
        return Header(
            image.shape,
            dtype,
            axes,
            _calibrate(image, letters),
            notes=image.notes,
            ambiguous=image.choice.ambiguous,
        )


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Read all planes of a position."""
    with reading_regions(path, palette) as read, _opening(path) as image, explaining_damage(path):
        return read(tuple(slice(0, n) for n in image.shape)), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that reads only the planes a region touches."""
    with _opening(path) as image:
        with explaining_damage(path):
            dtype, shape = np.dtype(image.file.dtype), image.shape
        outer = len(image.outer)
        yield Frames(path, shape, dtype, outer=outer, read=image.read_frame).read_region


@contextmanager
def _opening(path: Path) -> Iterator[_Image]:
    """Open the position that a path names, or the first one.

    Raises
    ------
    DataError
        It has loops other than time, depth and positions, or both colours and channels.
    """
    file = split_inner(path)[0]
    with ExitStack() as stack:
        with explaining_damage(file):
            opened = stack.enter_context(nd2.ND2File(file))
            loops = _list_loops(file, opened)
            names = [str(i) for i in range(dict(loops).get("P", 1))]
            choice = choose_inner(path, names, [1] * len(names), kind="positions")
            notes = (*choice.notes, *_describe_gaps(opened, loops))
        yield _Image(opened, loops, choice, notes)


def _list_loops(file: Path, opened: Any) -> tuple[tuple[str, int], ...]:
    """Letters and sizes of the loops over frames: T, Z, and P for positions."""
    loops = tuple((_LOOPS.get(loop.type, "?"), loop.count) for loop in opened.experiment)
    loops = tuple(loop for loop in loops if loop[0] != "?" or loop[1] > 1)
    letters = [letter for letter, _ in loops]
    if "?" in letters or len(set(letters)) < len(letters):
        raise DataError(
            f"{file} has an unsupported order of planes: "
            f"{', '.join(loop.type for loop in opened.experiment)}. Export it as TIFF."
        )
    found = opened.attributes
    if found.compressionType == "lossy" or found.tileWidthPx is not None:
        raise DataError(f"{file} has lossy compression or tiles. Export it as TIFF.")
    if opened.components_per_channel == _RGB and (found.channelCount or 1) > 1:
        raise DataError(f"{file} has colours and channels. Export one of them as TIFF.")
    return loops


def _describe_gaps(opened: Any, loops: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Note planes that are missing in the file: nd2 returns zeros for them."""
    total = prod(size for _, size in loops)
    offsets = getattr(getattr(opened, "_rdr", None), "_frame_offsets", None)
    missing = total - len([i for i in offsets if i < total]) if offsets is not None else 0
    if missing == total:
        raise ValueError("all its planes are missing")
    note = f"{missing} of {total} planes are not in the file and were read as blank"
    return (note,) if missing else ()


def _calibrate(image: _Image, letters: str) -> Calibration | None:
    """Pixel size in micrometres, and seconds between time points; None if they cannot be read."""
    try:
        size = image.file.voxel_size()
        channels = image.file.metadata.channels or ()
        known = channels[0].volume.axesCalibrated if channels else (False,) * 3
    except DAMAGE:
        return None
    found = {
        letter: (float(getattr(size, letter.lower())), "µm")
        for letter, is_known in zip("XYZ", known, strict=False)
        if is_known
    }
    for loop in image.file.experiment:
        period = getattr(loop.parameters, "periodMs", None) or 0
        if _LOOPS.get(loop.type) == "T" and period > 0:
            found["T"] = period / 1000, "s"
    return calibrate(found, letters)
