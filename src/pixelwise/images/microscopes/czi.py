"""Zeiss CZI, tile by tile, through the package czifile.

Scenes are read at full resolution: tiles are placed at their recorded positions, later ones over
earlier ones, as ZEN shows them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Final

import czifile
import imagecodecs
import numpy as np
import numpy.typing as npt

from pixelwise.axes import Calibration, NamedAxes
from pixelwise.errors import DataError
from pixelwise.images.containers import Choice, choose_inner, split_inner
from pixelwise.images.damage import explaining_damage
from pixelwise.images.pixel_size import calibrate
from pixelwise.images.reader import Header, Palette, Region, RegionReader
from pixelwise.parsing import parse_xml

Array = npt.NDArray[Any]

_LOOPS: Final = "TZC"
_FOREIGN: Final = (czifile.czifile.SegmentNotFoundError, Warning)
_JPEG_XR, _ZSTD, _ZSTD_HEADER = 4, 5, 6
_COMPRESSIONS: Final = (0, _JPEG_XR, _ZSTD, _ZSTD_HEADER)
_METRES_TO_UM: Final = 1e6
_MOST_KEPT: Final = 256 << 20
"""Bytes of decoded tiles to cache."""


@dataclass(frozen=True)
class _Tile:
    """A block of pixels: its entry in the directory, and (start, size) along each axis."""

    entry: Any
    spans: dict[str, tuple[int, int]]

    def start(self, letter: str) -> int:
        """First index along an axis."""
        return self.spans.get(letter, (0, 1))[0]

    def touches(self, rows: range, columns: range) -> bool:
        """Whether the tile overlaps a region."""
        return all(
            self.spans[x][0] < span.stop and span.start < sum(self.spans[x])
            for x, span in zip("YX", (rows, columns), strict=True)
        )

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
    """The tiles of one scene, in drawing order, and how it was chosen."""

    path: Path
    tiles: tuple[_Tile, ...]
    choice: Choice

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

    @cached_property
    def planes(self) -> dict[tuple[int, ...], list[_Tile]]:
        """Tiles of each plane, by its first indices along the loops."""
        found: dict[tuple[int, ...], list[_Tile]] = {}
        for tile in self.tiles:
            found.setdefault(tuple(tile.start(x) for x in self.loops), []).append(tile)
        return found


class _TileReader:
    """Reads regions of a scene; the tiles of the last region are cached for the next one."""

    def __init__(self, scene: _Scene) -> None:
        self._scene = scene
        self._kept: dict[int, Array] = {}

    def read_region(self, region: Region) -> Array:
        """Assemble the tiles that a region touches; 0 where there is none."""
        scene, loops = self._scene, len(self._scene.loops)
        letters = f"{scene.loops}YX"
        spans = [scene.spans[x][part] for x, part in zip(letters, region, strict=False)]
        shape = [len(span) for span in spans] + [scene.samples] * (scene.samples > 1)
        pixels = np.zeros(shape, scene.dtype.newbyteorder("="))
        used: dict[int, Array] = {}
        for place in product(*map(enumerate, spans[:loops])):
            plane = pixels[tuple(i for i, _ in place)]
            for tile in scene.planes.get(tuple(index for _, index in place), ()):
                if tile.touches(*spans[loops:]):
                    used[id(tile)] = self._read(tile)
                    _paste(plane, used[id(tile)], tile=tile, corner=spans[loops:])
        is_small = sum(tile.nbytes for tile in used.values()) <= _MOST_KEPT
        self._kept = used if is_small else {}
        return pixels[..., region[-1]] if scene.samples > 1 else pixels

    def _read(self, tile: _Tile) -> Array:
        """Decode a tile, or take it from the cache."""
        if id(tile) in self._kept:
            return self._kept[id(tile)]
        with explaining_damage(self._scene.path, *_FOREIGN):
            return tile.read()


def _paste(plane: Array, pixels: Array, *, tile: _Tile, corner: Sequence[range]) -> None:
    """Copy the part of a tile inside the region that begins at `corner`."""
    here, there = [], []
    for letter, span, size in zip("YX", corner, pixels.shape[:2], strict=True):
        first = tile.start(letter) - span.start
        here.append(slice(max(first, 0), min(first + size, len(span))))
        there.append(slice(max(-first, 0), min(len(span) - first, size)))
    plane[tuple(here)] = pixels[tuple(there)]


def read_header(path: Path, palette: Palette) -> Header:  # noqa: ARG001  the Reader protocol
    """Shape, dtype, axes and calibration of a scene."""
    with _opening(path) as (file, scene), explaining_damage(path, *_FOREIGN):
        axes = NamedAxes(scene.letters, "CZI metadata")
        dtype = scene.dtype.newbyteorder("=")
        return Header(
            scene.shape,
            dtype,
            axes,
            _calibrate(file, scene.letters),
            notes=(*scene.choice.notes, *_describe_gaps(scene)),
            ambiguous=scene.choice.ambiguous,
        )


def decode(path: Path, palette: Palette) -> tuple[Array, tuple[str, ...]]:
    """Read all planes of a scene."""
    with reading_regions(path, palette) as read, _opening(path) as (_, scene):
        return read(tuple(slice(0, n) for n in scene.shape)), ()


@contextmanager
def reading_regions(path: Path, palette: Palette) -> Iterator[RegionReader]:  # noqa: ARG001
    """Yield a function that decodes only the tiles a region touches."""
    with _opening(path) as (_, scene):
        yield _TileReader(scene).read_region


@contextmanager
def _opening(path: Path) -> Iterator[tuple[Any, _Scene]]:
    """Open the scene that a path names, or the largest one."""
    file = split_inner(path)[0]
    with ExitStack() as stack:
        with explaining_damage(file, *_FOREIGN), warnings.catch_warnings():
            warnings.simplefilter("error")
            opened = stack.enter_context(czifile.CziFile(file, multifile=False))
            tiles = [_parse_tile(entry) for entry in opened.subblock_directory]
            scene = _choose_scene(path, [tile for tile in tiles if tile is not None])
            _require_known(file, opened, scene)
        yield opened, scene


def _parse_tile(entry: Any) -> _Tile | None:
    """Parse the axes of a block; None if it belongs to a coarser pyramid level."""
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
    sizes = [prod(_Scene(path, tuple(scenes[i]), Choice(0)).shape) for i in numbers]
    choice = choose_inner(path, [str(i) for i in numbers], sizes, kind="scenes")
    return _Scene(path, tuple(scenes[numbers[choice.number]]), choice)


def _require_known(file: Path, opened: Any, scene: _Scene) -> None:
    """Raise if pixels are in another file, or have an unsupported compression or layout."""
    reason = ""
    others = [x for x, span in scene.spans.items() if x not in "TZCYXSM" and len(span) > 1]
    kinds = {tile.entry.compression for tile in scene.tiles} - {*_COMPRESSIONS}
    if opened.header.file_part or any(tile.entry.file_part for tile in scene.tiles):
        reason = "is one of several files that belong together"
    elif others:
        reason = f"has axes that cannot be read: {', '.join(sorted(others))}"
    elif kinds:
        reason = f"has an unsupported compression (number {min(kinds)} of the format)"
    elif len({tile.samples for tile in scene.tiles}) > 1 or scene.samples == 4:
        reason = "has grey and colours, or colours with alpha"
    elif scene.samples > 1 and "C" in scene.loops:
        reason = "has several channels of colours"
    elif scene.dtype.kind == "c":
        reason = "holds complex numbers"
    if reason:
        raise DataError(f"{file} {reason}. Export it from ZEN as OME-TIFF, channel by channel.")


def _describe_gaps(scene: _Scene) -> tuple[str, ...]:
    """Note that tiles were assembled, and planes and areas without tiles."""
    notes, planes = [], scene.planes
    most = max(map(len, planes.values()))
    total = prod(len(scene.spans[x]) for x in scene.loops)
    area = len(scene.spans["Y"]) * len(scene.spans["X"])
    covered = min(sum(t.spans["Y"][1] * t.spans["X"][1] for t in p) for p in planes.values())
    if most > 1:
        notes.append(f"{most} tiles were placed as recorded, without stitching")
    if covered < area:
        notes.append("areas without a tile were read as 0")
    if len(planes) < total:
        notes.append(f"{total - len(planes)} of {total} planes are not in the file, read as 0")
    return tuple(notes)


def _decode_zstd(data: bytes, dtype: np.dtype[Any], *, has_header: bool) -> bytes:
    """Decompress Zstandard; with a header, low and high bytes may have been separated."""
    if not has_header:
        return bytes(imagecodecs.zstd_decode(data))
    size = data[0]
    is_sorted = size == 3 and data[1] == 1 and data[2] & 1 == 1
    plain = np.frombuffer(imagecodecs.zstd_decode(data[size:]), np.uint8)
    if not is_sorted:
        return plain.tobytes()
    return np.ascontiguousarray(plain.reshape(dtype.itemsize, -1).T).tobytes()


def _calibrate(file: Any, letters: str) -> Calibration | None:
    """Pixel sizes from the metadata, which are in metres."""
    text = file.metadata(raw=True)
    if not text:
        return None
    sizes = {}
    for item in parse_xml(text, "CZI metadata").findall(".//Scaling/Items/Distance"):
        value = item.findtext("Value")
        if value and item.get("Id") in ("X", "Y", "Z"):
            sizes[str(item.get("Id"))] = float(value) * _METRES_TO_UM, "µm"
    return calibrate(sizes, letters)
