"""Writing labels and probabilities as OME-Zarr 0.5, row by row and atomically.

The result is a separate multiscales group, ``image.zarr/{0,1,2,…}``, not a ``labels/`` group inside
an image: the image may be a TIFF, or must not be changed. Labels have ``image-label`` metadata: a
name and a colour for each class. Level i is every 2^i-th pixel in Y and X, down to 256 px, because
the mean of two classes would be a third one. Axes are in OME-Zarr's order, TCZYX; chunks are
1024 x 1024 px of one plane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import replacing_folder
from pixelwise.axes import Calibration, parse_axes, to_planes
from pixelwise.checksums import add_checksum
from pixelwise.classes import SegmentationClass
from pixelwise.errors import WriteError
from pixelwise.images.content import ImageContent, RowReader
from pixelwise.images.formats import ZARR_FILES
from pixelwise.images.multiscales import create_multiscales, describe_channels, describe_labels

if TYPE_CHECKING:
    import zarr

Array = npt.NDArray[Any]

CHUNK_PX: Final = 1024
_SMALLEST_LEVEL_PX: Final = 256


def choose_factors(content: ImageContent) -> tuple[int, ...]:
    """Downsampling factor of each level: 1, 2, 4 and so on."""
    longest = max(content.stored_shape[-2:])
    levels = 1
    while -(-longest // 2 ** (levels - 1)) > _SMALLEST_LEVEL_PX:
        levels += 1
    return tuple(2**level for level in range(levels))


def _describe(content: ImageContent, name: str) -> dict[str, Any]:
    """OME-Zarr metadata of the group, and our own: the mark, and whether labels are sparse."""
    axes, known = content.axes, content.calibration or Calibration.create([1.0] * len(content.axes))
    stored = known.select(axes, content.stored_axes)
    factors = choose_factors(content)
    ome = create_multiscales(content.stored_axes, factors, name=name, calibration=stored)
    own: dict[str, Any] = {} if content.mark is None else {"mark": dict(content.mark)}
    if "C" in axes:
        top = 255.0 if content.dtype == np.uint8 else 1.0
        ome |= describe_channels(content.classes, top=top)
    else:
        ome |= describe_labels(content.classes, sparse=content.sparse)
        own |= {"sparse": True} if content.sparse else {}
    return {"ome": ome} | ({"pixelwise": own} if own else {})


class ZarrWriter:
    """Writes the rows of each plane, in order, to all levels.

    One row of chunks per level is buffered, so that every chunk is written once; memory grows with
    the width of the image.

    Parameters
    ----------
    folder : Path
        Empty.
    content : ImageContent
    name : str
        Name of the image in the metadata.
    """

    def __init__(self, folder: Path, content: ImageContent, name: str) -> None:
        import zarr

        group = zarr.create_group(folder, zarr_format=3, attributes=_describe(content, name))
        self._content = content
        self._levels = [_Level(group, content, factor=factor) for factor in choose_factors(content)]

    def write_rows(self, plane: int, start: int, rows: Array) -> None:
        """Write rows of a plane.

        Parameters
        ----------
        plane : int
            Index among the T * Z planes, as in `to_planes`.
        start : int
            First row: 0, or the one after the last row written.
        rows : ndarray, (rows, X) or (classes, rows, X)
        """
        sizes = dict(zip(self._content.axes, self._content.shape, strict=True))
        place = dict(zip("TZ", divmod(plane, sizes.get("Z", 1)), strict=True))
        for level in self._levels:
            level.add([place.get(x) for x in self._content.stored_axes[:-2]], start, rows)


class _Level:
    """One array of the pyramid, with a buffer for rows that do not fill its chunks yet."""

    def __init__(self, group: zarr.Group, content: ImageContent, *, factor: int) -> None:
        *leading, height, width = content.stored_shape
        size = [-(-height // factor), -(-width // factor)]
        chunk = [min(CHUNK_PX, side) for side in size]
        self._factor = factor
        self._array = group.create_array(
            str(factor.bit_length() - 1),
            shape=(*leading, *size),
            chunks=(*[1] * len(leading), *chunk),
            dtype=content.dtype,
            dimension_names=[letter.lower() for letter in content.stored_axes],
        )
        classes = [n for n, x in zip(leading, content.stored_axes, strict=False) if x == "C"]
        self._rows = np.empty((*classes, chunk[0], size[1]), content.dtype)
        self._filled = 0

    def add(self, place: Sequence[int | None], start: int, rows: Array) -> None:
        """Buffer the rows that this level samples, and write each full row of chunks."""
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
def writing_zarr(
    path: str | Path, content: ImageContent, *, check: Callable[[], None] | None = None
) -> Iterator[ZarrWriter]:
    """Yield a writer; its result appears at `path` if the block succeeds.

    An existing Zarr is replaced then; after an error nothing is left. `check` is called right
    before that and raises to refuse.

    Raises
    ------
    WriteError
        The folder cannot be written, or `path` exists and is not a Zarr.
    """
    path = Path(path)
    require_replaceable(path)
    with replacing_folder(path, check=check) as temp:
        yield ZarrWriter(temp, content, path.stem)
        if content.mark is not None:
            add_checksum(temp / "zarr.json", folder=temp)


def write_rows(
    path: Path,
    content: ImageContent,
    read: RowReader,
    *,
    check: Callable[[], None] | None = None,
) -> None:
    """Write rows that `read` returns on demand; errors as in `writing_zarr`."""
    with writing_zarr(path, content, check=check) as writer:
        for plane in range(content.planes):
            for start in range(0, content.height, CHUNK_PX):
                rows = slice(start, min(start + CHUNK_PX, content.height))
                writer.write_rows(plane, start, read(plane, rows))


def require_replaceable(path: Path) -> None:
    """Raise `WriteError` if a path exists and is neither an empty folder nor a Zarr.

    A Zarr must have metadata: the name is not enough.
    """
    is_folder = path.is_dir() and not path.is_symlink()
    may_go = is_folder and (
        not any(path.iterdir()) or any((path / name).is_file() for name in ZARR_FILES)
    )
    if not path.exists() or may_go:
        return
    raise WriteError(f"{path} exists and is not a Zarr. Nothing was changed; name another path.")


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
        The parent must exist; an existing Zarr is replaced once the new one is complete.
    array : ndarray
        One dimension per letter of `axes`. Labels are integers from 0; signed ones and bool are
        stored as the smallest unsigned type. Probabilities keep their dtype.
    axes : str
        Letters of ``TZCYX``; they are stored in the order TCZYX.
    classes : sequence of SegmentationClass
        Names and colours of the values 0, 1, …; none for numbered objects.
    calibration : Calibration, optional
        Size and position of the pixels, in the order of `axes`.
    sparse : bool
        Whether 0 is 'not annotated', and `classes` are those of 1, 2, …

    Raises
    ------
    DataError
        `axes` do not name the dimensions of `array`, or labels are negative or not integers.
    WriteError
        The folder cannot be written, or `path` exists and is not a Zarr.
    """
    names = parse_axes(axes, array.ndim)
    if "C" not in names and array.dtype.kind in "bi" and array.min(initial=0) >= 0:
        array = array.astype(np.min_scalar_type(int(array.max(initial=0))))
    content = ImageContent(names, array.shape, array.dtype, classes, calibration, sparse)
    planes = to_planes(array, names)
    planes = planes if "C" in names else planes[:, 0]
    write_rows(Path(path), content, lambda plane, rows, _=None: planes[plane, ..., rows, :])
