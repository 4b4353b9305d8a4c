"""ImageJ and Fiji regions: ``.roi`` files, and zips of them from the ROI Manager."""

from __future__ import annotations

import logging
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.annotations.checks import require_pixels_meant
from pixelwise.datasets.annotations.drawing import Piece, draw_pieces
from pixelwise.datasets.annotations.json_files import LARGEST_COORDINATE, Points
from pixelwise.datasets.headers import PlanesHeader, create_mask
from pixelwise.errors import DataError, ReadError, quote_value
from pixelwise.parsing import read_bytes, require_regular

_DAMAGE: Final = (
    ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip
LabelBy = Literal["group", "name", "nothing"]

OBJECT: Final = "object"
_MOST_WORDS: Final = 20
_AUTOMATIC: Final = re.compile(r"[\d\-. ]*")
_COUNTER: Final = re.compile(r"[\s_\-.(#]*\d+\)?$")
_MOST_ENTRIES: Final = 100_000
_LARGEST_ENTRY_BYTES: Final = 1 << 24
_LARGEST_ZIP_BYTES: Final = 1 << 28
_AREAS: Final = frozenset({"POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED"})
_WITHOUT_AREA: Final = frozenset({"LINE", "FREELINE", "POLYLINE", "ANGLE", "POINT"})
_ORNAMENTS: Final = frozenset({"TEXT", "ARROW", "IMAGE"})
_OUTLINED: Final = frozenset({"ELLIPSE", "ROTATED_RECT"})
_OVAL_STEPS: Final = 360


@dataclass(frozen=True)
class Roi:
    """One region.

    Attributes
    ----------
    name : str
        Name in the ROI Manager.
    group : int
        1 to 255, 0 for none.
    rings : tuple of (V, 2) points
        (x, y), where pixel 0 spans 0 to 1; inside is what an odd number of rings surrounds.
    position : tuple of int
        C, Z and T, from 1; 0 means all.
    slice : int
        Number of the plane in the stack, from 1; 0 means all.
    """

    name: str
    group: int
    rings: tuple[Points, ...]
    position: tuple[int, int, int]
    slice: int


@dataclass(frozen=True)
class RoiFile:
    """The regions of a file, and omissions with their counts."""

    path: Path
    rois: tuple[Roi, ...]
    notes: tuple[tuple[str, int], ...]


def read_rois(path: Path) -> RoiFile:
    """Read a ``.roi`` file, or every ``.roi`` of a zip; nothing is written to the disk.

    Raises
    ------
    ReadError
        The file is missing or of another kind, or a zip unpacks to too much.
    DataError
        A region is invalid.
    """
    counts: Counter[str] = Counter()
    rois = []
    for name, data in _iter_entries(path):
        if (roi := _parse_roi(f"{path}, {name}", data, counts)) is not None:
            rois.append(roi)
    return RoiFile(path, tuple(rois), tuple(counts.items()))


def _iter_entries(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of all regions of a file."""
    try:
        require_regular(path)
        if path.suffix.lower() == ".zip":
            yield from _iter_zip(path)
        elif path.stat().st_size > _LARGEST_ENTRY_BYTES:
            raise ReadError(f"{path} is too large for a region of ImageJ: over 16 MiB.")
        else:
            yield path.name, read_bytes(path, what="region")
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise ReadError(
            f"{path} is not a zip of ImageJ regions: {error}. Save it again in the ROI Manager."
        ) from error
    except OSError as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(f"Cannot read the regions {path}: {error.strerror or error}.") from error


def _iter_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the ``.roi`` entries of a zip, within limits."""
    with zipfile.ZipFile(path) as archive:
        entries = [item for item in archive.infolist() if _is_region(item.filename)]
        if len(entries) > _MOST_ENTRIES or sum(e.file_size for e in entries) > _LARGEST_ZIP_BYTES:
            raise ReadError(
                f"{path} holds {len(entries)} regions that unpack to more than 256 MiB, or more "
                f"than {_MOST_ENTRIES}: refused. Check where the file comes from."
            )
        left = _LARGEST_ZIP_BYTES  # the sizes above are only what the zip claims
        for item in entries:
            with archive.open(item) as file:
                data = file.read(_LARGEST_ENTRY_BYTES + 1)
            left -= len(data)
            if len(data) > _LARGEST_ENTRY_BYTES or left < 0:
                raise ReadError(f"{path}, {item.filename} is too large for a region: refused.")
            yield item.filename, data


def _is_region(name: str) -> bool:
    """Whether a zip entry is a region, not a macOS companion file."""
    return name.lower().endswith(".roi") and not name.rpartition("/")[2].startswith(".")


class _Complaints(logging.Handler):
    """Collects what roifile logs about a damaged region, which it reads as far as it can."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.texts.append(record.getMessage())


_lock = Lock()


def _decode(place: str, data: bytes) -> tuple[Any, tuple[Points, ...]]:
    """Region of roifile with its outlines.

    Raises
    ------
    ReadError
        The bytes are not a region, or a damaged one.
    """
    from roifile import ImagejRoi

    complaints, log = _Complaints(), logging.getLogger("roifile")
    with _lock:  # so that each region collects only its own messages
        propagated = log.propagate
        log.addHandler(complaints)
        log.propagate = False
        try:
            with np.errstate(all="raise"):
                roi = ImagejRoi.frombytes(data)
                rings = tuple(np.asarray(ring, np.float64) for ring in _list_rings(roi))
        except _DAMAGE as error:
            raise ReadError(f"{place} is not an ImageJ region: {error}. Save it again.") from error
        finally:
            log.removeHandler(complaints)
            log.propagate = propagated
    if complaints.texts:
        raise ReadError(f"{place} is damaged: {complaints.texts[0]}. Save it again in ImageJ.")
    return roi, rings


def _parse_roi(place: str, data: bytes, counts: Counter[str]) -> Roi | None:
    """Parse one region; None if it has no area."""
    roi, rings = _decode(place, data)
    kind, special = roi.roitype.name, roi.subtype.name
    if special in _ORNAMENTS or (kind in _WITHOUT_AREA and special not in _OUTLINED):
        counts["lines, points, texts and images have no area: left out"] += 1
        return None
    if kind not in _AREAS and special not in _OUTLINED:
        raise DataError(
            f"{place} is a region of type {kind.lower()}; expected a polygon, rectangle, oval, "
            "freehand or composite selection. Save it again in ImageJ."
        )
    if kind == "RECT" and roi.rounded_rect_arc_size:
        counts["rectangles have rounded corners, drawn square"] += 1
    rings = tuple(ring for ring in rings if len(ring) >= 3)
    if not rings or not all((np.abs(ring) <= LARGEST_COORDINATE).all() for ring in rings):
        raise DataError(f"{place} has no outline of finite coordinates. Save it again in ImageJ.")
    position = (max(roi.c_position, 0), max(roi.z_position, 0), max(roi.t_position, 0))
    return Roi(_name(roi, place), int(roi.group), rings, position, max(roi.position, 0))


def _name(roi: Any, place: str) -> str:
    """Return the stored name of a region, else the name of its entry."""
    stored = str(roi.name or "").strip()
    return stored or Path(place.rpartition(", ")[2].rpartition("/")[2]).stem


def _list_rings(roi: Any) -> list[npt.NDArray[Any]]:
    """Outlines of a region as lists of (x, y).

    Boxes use their sub-pixel form if they have one; an oval becomes a polygon of 360 points.
    """
    if roi.roitype.name not in ("OVAL", "RECT") or roi.composite:
        return list(roi.coordinates(multi=True))
    left, top, right, bottom = roi.left, roi.top, roi.right, roi.bottom
    if roi.subpixelrect:
        left, top, right, bottom = roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    if roi.roitype.name == "RECT":
        return [np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)]
    turn = np.linspace(0, 2 * np.pi, _OVAL_STEPS, endpoint=False)
    x, y = (left + right) / 2, (top + bottom) / 2
    ring = x + (right - left) / 2 * np.cos(turn), y + (bottom - top) / 2 * np.sin(turn)
    return [np.stack(ring, axis=1)]


@dataclass(frozen=True)
class RoiMask:
    """The mask of a file of regions.

    Larger regions are drawn first. A pixel is inside if its centre is, as in ImageJ; the edge of
    ovals can differ from ImageJ's by a pixel. On a stack every region must have a position.

    Attributes
    ----------
    values : tuple of (str, int)
        Value of each label.
    label_by : {"group", "name", "nothing"}
        Source of a region's label, see `name_label`.
    """

    path: Path
    values: tuple[tuple[str, int], ...]
    background: int
    label_by: LabelBy = "nothing"

    def require_match(self, image: PlanesHeader) -> None:
        """Raise if regions are outside the image, or have no position in a stack."""
        self._place(image)

    def read(self, image: PlanesHeader) -> npt.NDArray[Any]:
        """Class indices (N, 1, Y, X), 255 where void."""
        values = dict(self.values)
        drawn = create_mask(self.path, image, self.background)
        pieces = []
        for plane, roi in self._place(image):
            label = name_label(roi, self.label_by)
            if label not in values:
                raise DataError(
                    f"{self.path} has a new label {quote_value(label)} since the data set was "
                    "opened. Open "
                    "the data set again."
                )
            place = f"{self.path}, {roi.name}"
            pieces.append(Piece(place, plane, values[label], (roi.rings,)))
        return draw_pieces(drawn, pieces)[:, None]

    def _place(self, image: PlanesHeader) -> list[tuple[int, Roi]]:
        """Plane of every region, from 0 on."""
        rois = read_rois(self.path).rois
        outlines = [np.concatenate(roi.rings) for roi in rois]
        require_pixels_meant(self.path, outlines, (image.shape[2], image.shape[3]))
        return [(find_plane(roi, image, self.path), roi) for roi in rois]


def choose_labels(rois: Sequence[Roi]) -> LabelBy:
    """Choose where the classes of a data set's regions come from.

    Groups, if a region has one; else names, if all are user-given (ImageJ's own are coordinates)
    and, without a trailing counter, form 2 to 20 words of which at least one is repeated.
    """
    if any(roi.group for roi in rois):
        return "group"
    words = [name_word(roi) for roi in rois]
    kinds = set(words)
    if "" not in kinds and 2 <= len(kinds) <= _MOST_WORDS and len(kinds) < len(words):
        return "name"
    return "nothing"


def name_word(roi: Roi) -> str:
    """Name of a region without a trailing counter; empty if ImageJ made the name."""
    return "" if _AUTOMATIC.fullmatch(roi.name) else _COUNTER.sub("", roi.name).strip()


def name_label(roi: Roi, label_by: LabelBy) -> str:
    """Label of a region: its group or its name, else ``object``."""
    if label_by == "group" and roi.group:
        return f"group {roi.group}"
    return name_word(roi) if label_by == "name" else OBJECT


def find_plane(roi: Roi, image: PlanesHeader, path: Path) -> int:
    """Plane of a region: T * Z + Z, from 0 on.

    Raises
    ------
    DataError
        On a stack, the region has no position, or one outside the stack.
    """
    planes = image.shape[0]
    channel, z, t = roi.position
    if planes == 1:
        if max(z, t) > 1 or roi.slice > max(image.shape[1], 1):
            raise DataError(
                f"{path}: the region {quote_value(roi.name)} is on plane {max(z, t, roi.slice)} "
                "of a stack, "
                "but its image has one plane. Do these regions belong to this image?"
            )
        return 0
    sizes = _stack_sizes(image, path)
    own = t if sizes["T"] > 1 else z
    if not own and not roi.slice:
        raise DataError(
            f"{path}: the region {quote_value(roi.name)} has no position in its stack of "
            f"{planes} planes. In "
            "ImageJ's ROI Manager choose More > Options, tick 'Associate Show All ROIs with "
            "slices', and add the regions again; or save each plane as a separate image."
        )
    fits = z <= sizes["Z"] and t <= sizes["T"] and channel <= image.shape[1]
    index = (own or roi.slice) - 1
    if not fits or index >= planes or not (own or image.shape[1] == 1):  # slices count channels too
        raise DataError(
            f"{path}: the region {quote_value(roi.name)} is at C={channel}, Z={z}, T={t}, slice "
            f"{roi.slice}, "
            f"which is no plane of a stack of {sizes['T']} time points and {sizes['Z']} slices "
            f"with {image.shape[1]} channels."
        )
    return index


def _stack_sizes(image: PlanesHeader, path: Path) -> dict[str, int]:
    """Sizes of T and Z; raises `DataError` if the image has both, whose planes are ambiguous."""
    axes = [letter for letter in "TZ" if letter in image.axes.names]
    if len(axes) > 1:
        raise DataError(
            f"{path}: the image has both T and Z ({image.axes}); regions are supported for stacks "
            "of one of them. Save each time point, or each slice, as a separate image."
        )
    return {"T": 1, "Z": 1} | dict.fromkeys(axes, image.shape[0])
