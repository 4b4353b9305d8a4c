"""Zeiss's CZI, tile by tile, through the package czifile.

Of each scene the full resolution is read: tiles are laid where the file says, a later one over an
earlier one, as ZEN shows them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final

import czifile
import imagecodecs
import numpy as np
import numpy.typing as npt
from defusedxml.ElementTree import fromstring

from pixelwise.axes import Calibration, NamedAxes
from pixelwise.errors import DataError
from pixelwise.images.containers import choose_inner, split_inner
from pixelwise.images.damage import explaining_damage
from pixelwise.images.frames import Frames
from pixelwise.images.pixel_size import calibrate
from pixelwise.images.source import Header, Palette, RegionReader

Array = npt.NDArray[Any]

_LOOPS: Final = "TZC"
_FOREIGN: Final = (czifile.czifile.SegmentNotFoundError, Warning)
_JPEG_XR, _ZSTD, _ZSTD_HEADER = 4, 5, 6
_COMPRESSIONS: Final = (0, _JPEG_XR, _ZSTD, _ZSTD_HEADER)
_METRES_TO_UM: Final = 1e6


@dataclass(frozen=True)
class _Tile:
    """A block of pixels: its entry in the directory, and (start, size) along each axis."""

    entry: Any
    spans: dict[str, tuple[int, int]]

    def start(self, letter: str) -> int:
        """First index along an axis."""
        return self.spans.get(letter, (0, 1))[0]

    @property
    def sampled(self) -> np.dtype[Any]:
        """Number format, with the colours of a pixel as its shape."""
        dtype: np.dtype[Any] = np.dtype(self.entry.dtype)
        return dtype

    @property
    def samples(self) -> int:
        """Number of colours."""
        return prod(self.sampled.shape)

    def read(self) -> Array:
        """Decode (Y, X) or (Y, X, C); colours are stored as BGR, except in JPEG XR."""
        kind = self.entry.compression
        data = self.entry.data_segment().data(raw=True)
        height, width = self.spans["Y"][1], self.spans["X"][1]
        shape = (height, width, self.samples) if self.samples > 1 else (height, width)
        if kind == _JPEG_XR:
            decoded: Array = imagecodecs.jpegxr_decode(data)
            return decoded.reshape(shape)
        if kind in (_ZSTD, _ZSTD_HEADER):
            data = _decode_zstd(data, self.sampled.base, has_header=kind == _ZSTD_HEADER)
        pixels = np.frombuffer(data, self.sampled.base).reshape(shape)
        return pixels[..., ::-1] if self.samples > 1 else pixels


@dataclass(frozen=True)
class _Scene:
    """The tiles of one scene, in the order in which they are laid, and notes."""

    path: Path
    tiles: tuple[_Tile, ...]
    notes: tuple[str, ...]

    @cached_property
    def spans(self) -> dict[str, range]:
        """Indices that the tiles cover along each axis."""
        letters = {letter for tile in self.tiles for letter in tile.spans}
        found = {}
        for letter in letters:
            parts = [tile.spans.get(letter, (0, 1)) for tile in self.tiles]
            found[letter] = range(min(a for a, _ in parts), max(a + n for a, n in parts))
        return found

    @property
    def loops(self) -> str:
        """Letters of the axes that count planes."""
        return "".join(x for x in _LOOPS if len(self.spans.get(x, ())) > 1)

    @property
    def samples(self) -> int:
        """Number of colours of a pixel."""
        return self.tiles[0].samples

    @property
    def letters(self) -> str:
        """Axes of the scene."""
        return f"{self.loops}YX" + "C" * (self.samples > 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes in the order of `letters`."""
        sizes = tuple(len(self.spans[x]) for x in f"{self.loops}YX")
        return (*sizes, self.samples) if self.samples > 1 else sizes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number format that holds the values of all channels."""
        return np.result_type(*(tile.sampled.base for tile in self.tiles))

    def find_tiles(self, index: tuple[int, ...]) -> list[_Tile]:
        """Tiles of one plane."""
        wanted = [self.spans[x][i] for x, i in zip(self.loops, index, strict=True)]
        return [t for t in self.tiles if [t.start(x) for x in self.loops] == wanted]

    def read_frame(self, index: tuple[int, ...]) -> Array:
        """Lay the tiles of one plane; 0 where there is none."""
        plane = np.zeros(self.shape[len(self.loops) :], self.dtype)
        rows, columns = self.spans["Y"], self.spans["X"]
        for tile in self.find_tiles(index):
            top, left = tile.start("Y") - rows.start, tile.start("X") - columns.start
            with explaining_damage(self.path, *_FOREIGN):
                pixels = tile.read()
            plane[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return plane


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  one call for all formats
    """Shape, dtype, axes and calibration of a scene."""
    with _opening(path) as (file, scene), explaining_damage(path, *_FOREIGN):
        axes = NamedAxes(scene.letters, "CZI metadata")
        dtype = scene.dtype.newbyteorder("=")
        notes = (*scene.notes, *_describe_gaps(scene))
        return Header(scene.shape, dtype, axes, _calibrate(file, scene.letters), notes=notes)


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Read all planes of a scene."""
    with reading_regions(path, palette) as read, _opening(path) as (_, scene):
        return read(tuple(slice(0, n) for n in scene.shape)), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Give a function that reads the planes a region touches, and no others."""
    with _opening(path) as (_, scene):
        dtype, outer = scene.dtype.newbyteorder("="), len(scene.loops)
        yield Frames(path, scene.shape, dtype, outer=outer, read=scene.read_frame).read_region


@contextmanager
def _opening(path: Path) -> Iterator[tuple[Any, _Scene]]:
    """Open the scene that a path names, or the largest one."""
    file = split_inner(path)[0]
    with ExitStack() as stack:
        with explaining_damage(file, *_FOREIGN), warnings.catch_warnings():
            warnings.simplefilter("error")
            opened = stack.enter_context(czifile.CziFile(file, multifile=False))
            tiles = [_parse_tile(entry) for entry in opened.subblock_directory]
            tiles = [tile for tile in tiles if tile is not None]
            scene = _choose_scene(path, [tile for tile in tiles if tile is not None])
            _require_known(file, opened, scene)
        yield opened, scene


def _parse_tile(entry: Any) -> _Tile | None:
    """Axes of a block; None if it is of a coarser level of a pyramid."""
    if any(axis.size != axis.stored_size for axis in entry.dimension_entries):
        return None
    spans = {axis.dimension: (axis.start, axis.size) for axis in entry.dimension_entries}
    return _Tile(entry, spans)


def _choose_scene(path: Path, tiles: Sequence[_Tile]) -> _Scene:
    """Tiles of the scene that a path names, or of the largest one."""
    scenes: dict[int, list[_Tile]] = {}
    for tile in sorted(tiles, key=lambda tile: tile.start("M")):
        scenes.setdefault(tile.start("S"), []).append(tile)
    if not scenes:
        raise ValueError("it holds no pixels")
    numbers = sorted(scenes)
    areas = [prod(_Scene(path, tuple(scenes[i]), ()).shape) for i in numbers]
    largest = areas.index(max(areas))
    names = [str(number) for number in numbers]
    chosen, notes = choose_inner(path, names, kind="scenes", default=largest)
    return _Scene(path, tuple(scenes[numbers[chosen]]), notes)


def _require_known(file: Path, opened: Any, scene: _Scene) -> None:
    """Raise if pixels are in another file, compressed or arranged in a way that is not known."""
    reason = ""
    others = [x for x, span in scene.spans.items() if x not in "TZCYXSM" and len(span) > 1]
    kinds = {tile.entry.compression for tile in scene.tiles} - {*_COMPRESSIONS}
    if opened.header.file_part or any(tile.entry.file_part for tile in scene.tiles):
        reason = "is one of several files that belong together"
    elif others:
        reason = f"has axes that cannot be read: {', '.join(sorted(others))}"
    elif kinds:
        reason = f"is compressed in a way that is not read (number {min(kinds)} of the format)"
    elif len({tile.samples for tile in scene.tiles}) > 1 or scene.samples == 4:
        reason = "has grey and colours, or colours with alpha"
    elif scene.samples > 1 and "C" in scene.loops:
        reason = "has several channels of colours"
    elif scene.dtype.kind == "c":
        reason = "holds complex numbers"
    if reason:
        raise DataError(f"{file} {reason}. Export it from ZEN as OME-TIFF, channel by channel.")


def _describe_gaps(scene: _Scene) -> tuple[str, ...]:
    """Note tiles that were put together, and planes and places without any."""
    notes = []
    planes: dict[tuple[int, ...], list[_Tile]] = {}
    for tile in scene.tiles:
        planes.setdefault(tuple(tile.start(x) for x in scene.loops), []).append(tile)
    most = max(map(len, planes.values()))
    total = prod(len(scene.spans[x]) for x in scene.loops)
    area = len(scene.spans["Y"]) * len(scene.spans["X"])
    covered = min(sum(t.spans["Y"][1] * t.spans["X"][1] for t in p) for p in planes.values())
    if most > 1:
        notes.append(f"{most} tiles were laid where the file says; none was moved")
    if covered < area:
        notes.append("places without a tile were read as 0")
    if len(planes) < total:
        notes.append(f"{total - len(planes)} of {total} planes are not in the file, read as 0")
    return tuple(notes)


def _decode_zstd(data: bytes, dtype: np.dtype[Any], *, has_header: bool) -> bytes:
    """Decompress Zstandard; with a header, bytes may have been sorted by their weight."""
    if not has_header:
        return bytes(imagecodecs.zstd_decode(data))
    size = data[0]
    is_sorted = size == 3 and data[1] == 1 and data[2] & 1 == 1
    plain = np.frombuffer(imagecodecs.zstd_decode(data[size:]), np.uint8)
    if not is_sorted:
        return plain.tobytes()
    return np.ascontiguousarray(plain.reshape(dtype.itemsize, -1).T).tobytes()


def _calibrate(file: Any, letters: str) -> Calibration | None:
    """Pixel sizes that the metadata give in metres."""
    text = file.metadata(raw=True)
    if not text:
        return None
    sizes = {}
    for item in fromstring(text).findall(".//Scaling/Items/Distance"):
        value = item.findtext("Value")
        if value and item.get("Id") in ("X", "Y", "Z"):
            sizes[str(item.get("Id"))] = float(value) * _METRES_TO_UM, "µm"
    return calibrate(sizes, letters)
