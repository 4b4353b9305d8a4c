"""One protocol for image files of every format: header first, axes named, pixels on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from pixelwise.axes import Calibration, NamedAxes, parse_axes
from pixelwise.errors import DataError, ReadError
from pixelwise.images.budget import require_budget
from pixelwise.images.formats import find_format, is_zarr

Array = npt.NDArray[Any]
Palette = Literal["color", "index"]
"""What a palette picture gives: its colours (images) or its indices (masks)."""


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels before they are decoded.

    `regions` tells whether parts of it can be read faster than the whole; `notes` say what was
    understood or left out, for a person to know.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: NamedAxes
    calibration: Calibration | None = None
    regions: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecodedImage:
    """Pixels with their named axes and with notes on what was left out (alpha, further pages)."""

    pixels: Array
    axes: NamedAxes
    notes: tuple[str, ...] = ()


Region = tuple[slice, ...]
"""One slice per axis, of step 1."""
Decoder = Callable[[Path, Palette], tuple[Array, tuple[str, ...]]]
RegionReader = Callable[[Region], Array]
RegionOpener = Callable[[Path, Palette], AbstractContextManager[RegionReader]]


class ImageSource(Protocol):
    """An image whose shape, dtype and axes are known and whose pixels are read on request."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of every dimension, in the order of `axes`."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number format of the pixels, as stored."""
        ...

    @property
    def axes(self) -> NamedAxes:
        """Name of every dimension, and where the names come from."""
        ...

    @property
    def calibration(self) -> Calibration | None:
        """Size and place of the pixels, where the file tells."""
        ...

    def reading(self) -> AbstractContextManager[RegionReader]:
        """Give a function that reads regions, from any one thread at a time."""
        ...


@dataclass(frozen=True)
class ImageArray:
    """An `ImageSource` over an array: of NumPy, a memory map, dask's or Zarr's.

    Attributes
    ----------
    array : array
        Anything with a shape and a dtype that gives regions when it is sliced.
    axes : NamedAxes
    calibration : Calibration or None
    """

    array: Any
    axes: NamedAxes
    calibration: Calibration | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of every dimension, in the order of `axes`."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number format of the pixels."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @contextmanager
    def reading(self) -> Iterator[RegionReader]:
        """Give a function that slices the array, and computes the slice if it is lazy."""
        native = self.dtype.newbyteorder("=")
        yield lambda region: np.asarray(self.array[region]).astype(native, copy=False)


@dataclass(frozen=True)
class ImageFile:
    """An `ImageSource` over one file.

    Attributes
    ----------
    budget_bytes : int or None
        Memory that the pixels may take; half of the available memory if None.
    palette : {"color", "index"}
        What a palette picture gives.
    decoder : callable
        Decodes the format of this file.
    region_opener : callable or None
        Opens the file to read regions without the rest; None: the format has no such way.
    calibration : Calibration or None
        What the file says of the size and place of its pixels.
    notes : tuple of str
        What was understood or left out, as far as the header shows it; `decode` may add to them.
    heard : list of str
        What `decode` has added, once it was called.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: NamedAxes
    decoder: Decoder
    palette: Palette = "color"
    budget_bytes: int | None = None
    region_opener: RegionOpener | None = None
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()
    heard: list[str] = field(default_factory=list, compare=False, repr=False)

    def read(self) -> Array:
        """Decode all pixels: an array of `shape` and `dtype`.

        Raises
        ------
        BudgetError
            The pixels would take more memory than the budget.
        ReadError
            The file is damaged.
        """
        return self.decode().pixels

    def decode(self) -> DecodedImage:
        """Decode all pixels, with axes and notes; errors as in `read`."""
        require_budget(self.path, self.shape, dtype=self.dtype, budget_bytes=self.budget_bytes)
        pixels, notes = self.decoder(self.path, self.palette)
        self.heard[:] = notes
        if pixels.shape != self.shape:
            raise ReadError(
                f"{self.path} is damaged: its header says shape {self.shape}, "
                f"its pixels have {pixels.shape}. Save it again or leave it out."
            )
        return DecodedImage(pixels, self.axes, tuple(dict.fromkeys((*self.notes, *notes))))

    @contextmanager
    def reading(self) -> Iterator[RegionReader]:
        """Give a function that reads regions; the file stays open until the block ends.

        A format without region reads is decoded whole, once. The budget counts what is decoded at a
        time; errors as in `read`, and they can come with every region.
        """
        if self.region_opener is None:
            pixels = self.read()
            yield lambda region: pixels[region]
            return
        with self.region_opener(self.path, self.palette) as read:

            def read_within_budget(region: Region) -> Array:
                spans = (range(n)[part] for n, part in zip(self.shape, region, strict=True))
                shape = tuple(map(len, spans))
                require_budget(self.path, shape, dtype=self.dtype, budget_bytes=self.budget_bytes)
                return read(region)

            yield read_within_budget

    def read_region(self, region: Region) -> Array:
        """Read the pixels of a region, one slice of step 1 per axis; errors as in `reading`."""
        with self.reading() as read:
            return read(region)


def open_image(
    path: str | Path,
    *,
    axes: str | None = None,
    palette: Palette = "color",
    budget_bytes: int | None = None,
) -> ImageFile:
    """Read the header of an image: PNG, JPEG, BMP, WebP, TIFF, OME-TIFF, BigTIFF, OME-Zarr, Zarr.

    Parameters
    ----------
    path : path
        The content decides on the format, not the name. A Zarr is a local folder: of an OME-Zarr
        image, whose largest level is taken, or of one array.
    axes : str, optional
        Axes of the image, in place of the file's own or a guess.
    palette : {"color", "index"}
        What a palette picture gives: RGB, or the indices themselves (class masks).
    budget_bytes : int, optional
        Memory the pixels may take when they are read; half of the available memory if not
        given, or the environment variable ``PIXELWISE_MEMORY_BUDGET``.

    Raises
    ------
    ReadError
        The file is missing, damaged, or of another kind.
    DataError
        The image has no pixels, complex numbers, or not as many dimensions as `axes` letters.
    """
    path = Path(path)
    module = import_module(find_format(path).module)
    header: Header = module.read_header(path, palette)
    _require_pixels(path, header)
    named = header.axes if axes is None else _override_axes(path, header, axes=axes)
    return ImageFile(
        path,
        header.shape,
        header.dtype,
        named,
        module.decode,
        palette,
        budget_bytes,
        getattr(module, "reading_regions", None) if header.regions else None,
        header.calibration,
        header.notes,
    )


def read_image(
    path: str | Path,
    *,
    axes: str | None = None,
    palette: Palette = "color",
    budget_bytes: int | None = None,
) -> tuple[Array, NamedAxes]:
    """Pixels and axes of an image file; parameters and errors as in `open_image`."""
    source = open_image(path, axes=axes, palette=palette, budget_bytes=budget_bytes)
    return source.read(), source.axes


def describe_gaps(source: ImageFile) -> str | None:
    """Say how many chunks of a Zarr have no file, if some have one; None if there is no gap.

    Zarr leaves out chunks of nothing but the fill value, so that a lost chunk looks like a blank
    one: the image is readable, and whoever reads it should know.
    """
    if not is_zarr(source.path):
        return None
    from pixelwise.images.zarr import count_missing_chunks

    missing, total = count_missing_chunks(source.path)
    return f"{missing} of {total} chunks have no file and were read as blank" if missing else None


def _require_pixels(path: Path, header: Header) -> None:
    """Raise if the image has no pixels, or pixels that are no real numbers."""
    if 0 in header.shape:
        raise DataError(
            f"{path} has shape {header.shape}: it holds no pixels. Save it again or leave it out."
        )
    if header.dtype.kind not in "uif":
        raise DataError(
            f"{path} holds {header.dtype} values; expected integers or real numbers. "
            "Save its magnitude or one component."
        )


def _override_axes(path: Path, header: Header, *, axes: str) -> NamedAxes:
    """Return the user's axes in place of the file's."""
    try:
        return NamedAxes(parse_axes(axes, len(header.shape)), "as given")
    except DataError as error:
        raise DataError(f"{path}, shape {header.shape}, {header.axes}: {error}") from error
