"""Labels and probabilities as OME-Zarr 0.5, written rows by rows: whole, or not there at all.

What is written is one multiscales group that stands alone, ``image.zarr/{0,1,2,…}``, and not the
``labels/`` group inside an image: the image may be a TIFF, or must not be touched. Labels carry
``image-label`` metadata: a name and a colour for each class. Level i holds every 2^i-th pixel in Y
and X, down to 256 px, because a mean of two classes is a third one. Axes are in the order that
OME-Zarr demands, TCZYX; chunks are 1024 x 1024 px of one plane.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import replacing_folder
from pixelwise.axes import Calibration, parse_axes, planes_shape, to_planes
from pixelwise.classes import SegmentationClass
from pixelwise.errors import DataError, WriteError
from pixelwise.images.multiscales import (
    OME_ZARR_AXES,
    create_multiscales,
    describe_channels,
    describe_labels,
)
from pixelwise.images.source import ZARR_FILES

if TYPE_CHECKING:
    import zarr

Array = npt.NDArray[Any]

CHUNK_PX: Final = 1024
_SMALLEST_LEVEL_PX: Final = 256


@dataclass(frozen=True)
class ZarrContent:
    """What a Zarr is to hold.

    Attributes
    ----------
    axes : str
        Letters of ``TZCYX``; with C: one channel per class, else labels.
    shape : tuple of int
        One size per letter.
    dtype : dtype
        An unsigned integer for labels.
    classes : sequence of SegmentationClass
        Names and colours of the values, or of the channels; none for numbered objects.
    calibration : Calibration or None
        Size and place of the pixels, in the order of `axes`.
    sparse : bool
        Whether 0 is 'not annotated', and the classes of labels begin at 1.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    classes: Sequence[SegmentationClass] = ()
    calibration: Calibration | None = None
    sparse: bool = False

    @property
    def stored_axes(self) -> str:
        """Axes in the order they are stored in."""
        return "".join(letter for letter in OME_ZARR_AXES if letter in self.axes)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape in the order of `stored_axes`."""
        return tuple(self.shape[self.axes.index(letter)] for letter in self.stored_axes)

    @property
    def factors(self) -> tuple[int, ...]:
        """Pixels of the image per pixel of each level: 1, 2, 4 and so on."""
        longest = max(self.stored_shape[-2:])
        levels = 1
        while -(-longest // 2 ** (levels - 1)) > _SMALLEST_LEVEL_PX:
            levels += 1
        return tuple(2**level for level in range(levels))

    def describe(self, name: str) -> dict[str, Any]:
        """OME-Zarr metadata of the group, and, for sparse labels, that they are."""
        calibration = self.calibration or Calibration.create([1.0] * len(self.axes))
        stored = calibration.select(self.axes, self.stored_axes)
        ome = create_multiscales(self.stored_axes, self.factors, name=name, calibration=stored)
        if "C" in self.axes:
            return {"ome": ome | describe_channels(self.classes)}
        described = {"ome": ome | describe_labels(self.classes, sparse=self.sparse)}
        return described | ({"pixelwise": {"sparse": True}} if self.sparse else {})


class ZarrWriter:
    """Takes the rows of each plane from the first to the last, and fills all levels with them.

    Memory grows with the width of the image: one row of chunks per level is kept until it is full,
    so that every chunk is written once.

    Parameters
    ----------
    folder : Path
        Empty.
    content : ZarrContent
    name : str
        Name of the image in the metadata.
    """

    def __init__(self, folder: Path, content: ZarrContent, name: str) -> None:
        import zarr

        group = zarr.create_group(folder, zarr_format=3, attributes=content.describe(name))
        self._content = content
        self._levels = [_Level(group, content, factor=factor) for factor in content.factors]

    def write_rows(self, plane: int, start: int, rows: Array) -> None:
        """Write rows of a plane.

        Parameters
        ----------
        plane : int
            T * Z planes are counted as `to_planes` does, in the order of T, then Z.
        start : int
            First row; the one after the last of the call before, or 0.
        rows : ndarray, (rows, X) or (classes, rows, X)
        """
        sizes = dict(zip(self._content.axes, self._content.shape, strict=True))
        place = dict(zip("TZ", divmod(plane, sizes.get("Z", 1)), strict=True))
        for level in self._levels:
            level.add([place.get(x) for x in self._content.stored_axes[:-2]], start, rows)


class _Level:
    """One array of the pyramid, with the rows that do not fill its chunks yet."""

    def __init__(self, group: zarr.Group, content: ZarrContent, *, factor: int) -> None:
        *leading, height, width = content.stored_shape
        size = [-(-height // factor), -(-width // factor)]
        chunk = [min(CHUNK_PX, side) for side in size]
        self._factor = factor
        self._array = group.create_array(
            str(content.factors.index(factor)),
            shape=(*leading, *size),
            chunks=(*[1] * len(leading), *chunk),
            dtype=content.dtype,
            dimension_names=[letter.lower() for letter in content.stored_axes],
        )
        classes = [n for n, x in zip(leading, content.stored_axes, strict=False) if x == "C"]
        self._rows = np.empty((*classes, chunk[0], size[1]), content.dtype)
        self._filled = 0

    def add(self, place: Sequence[int | None], start: int, rows: Array) -> None:
        """Take the rows that this level keeps; a full row of chunks goes to the disk."""
        kept = rows[..., -start % self._factor :: self._factor, :: self._factor]
        first = -(-start // self._factor)
        height = self._array.shape[-2]
        while kept.shape[-2]:
            count = min(kept.shape[-2], self._rows.shape[-2] - self._filled)
            self._rows[..., self._filled : self._filled + count, :] = kept[..., :count, :]
            self._filled += count
            first, kept = first + count, kept[..., count:, :]
            if self._filled == self._rows.shape[-2] or first == height:
                where = [slice(None) if index is None else index for index in place]
                target = (*where, slice(first - self._filled, first), slice(None))
                self._array[target] = self._rows[..., : self._filled, :]
                self._filled = 0


@contextmanager
def writing_zarr(path: str | Path, content: ZarrContent) -> Iterator[ZarrWriter]:
    """Give a writer; what it has written appears under `path` when the block ends well.

    An OME-Zarr or Zarr of that name is replaced then; after an error nothing is left.

    Raises
    ------
    DataError
        Axes do not fit the shape, or labels are no unsigned integers.
    WriteError
        The folder cannot be written, or `path` is there and is no Zarr.
    """
    path = Path(path)
    parse_axes(content.axes, len(content.shape))
    if "C" not in content.axes and content.dtype.kind != "u":
        raise DataError(
            f"Labels must be unsigned integers, got {content.dtype} for {path}: "
            "convert them, or name a channel axis if they are probabilities."
        )
    if path.exists() and not _may_replace(path):
        raise WriteError(
            f"{path} is there already and is no Zarr. Nothing was changed; name another path."
        )
    with replacing_folder(path) as temp:
        yield ZarrWriter(temp, content, path.stem)


def _may_replace(path: Path) -> bool:
    """Whether a path is an empty folder or has the metadata of a Zarr; its name is not enough."""
    if not path.is_dir() or path.is_symlink():
        return False
    return not any(path.iterdir()) or any((path / name).is_file() for name in ZARR_FILES)


def write_zarr(
    path: str | Path,
    array: Array,
    *,
    axes: str,
    classes: Sequence[SegmentationClass] = (),
    calibration: Calibration | None = None,
    sparse: bool = False,
) -> None:
    """Write labels, or probabilities with a C axis, as OME-Zarr 0.5 with a pyramid.

    Parameters
    ----------
    path : path
        The parent must exist; a Zarr of this name is replaced once the new one is complete.
    array : ndarray
        One dimension per letter of `axes`. Labels: integers from 0, stored as the smallest unsigned
        ones if they are signed or bool. Probabilities are stored as they are.
    axes : str
        Letters of ``TZCYX``; they are stored in the order TCZYX.
    classes : sequence of SegmentationClass
        Names and colours of the values 0, 1, …; none for numbered objects.
    calibration : Calibration, optional
        Size and place of the pixels, in the order of `axes`.
    sparse : bool
        Whether 0 is 'not annotated', and `classes` are those of 1, 2, …

    Raises
    ------
    DataError
        `axes` do not name the dimensions of `array`, or labels are below 0 or no integers.
    WriteError
        The folder cannot be written, or `path` is there and is no Zarr.
    """
    names = parse_axes(axes, array.ndim)
    if "C" not in names and array.dtype.kind in "bi" and array.min(initial=0) >= 0:
        array = array.astype(np.min_scalar_type(int(array.max(initial=0))))
    content = ZarrContent(names, array.shape, array.dtype, classes, calibration, sparse)
    planes = to_planes(array, names)
    planes = planes if "C" in names else planes[:, 0]
    with writing_zarr(path, content) as writer:
        for number in range(planes_shape(names, array.shape)[0]):
            writer.write_rows(number, 0, planes[number])
