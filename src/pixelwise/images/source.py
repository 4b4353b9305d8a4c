"""One interface for image files of every format: header first, axes named, pixels on request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pixelwise.axes import AXES, Calibration, NamedAxes, guess_axes, parse_axes
from pixelwise.errors import AxesError, DataError, ReadError
from pixelwise.images.budget import require_budget
from pixelwise.images.formats import load_reader
from pixelwise.images.orientation import describe_orientation
from pixelwise.images.reader import Header, Palette, Reader, Region, RegionOpener, RegionReader
from pixelwise.images.views import View, create_view

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DecodedImage:
    """Pixels with named axes, and notes on what was left out (alpha, further pages)."""

    pixels: Array
    axes: NamedAxes
    notes: tuple[str, ...] = ()


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
        """Size and position of the pixels, if known."""
        ...

    def reading(self) -> AbstractContextManager[RegionReader]:
        """Open the image and yield a function that reads regions, from one thread at a time."""
        ...


@dataclass(frozen=True)
class ImageArray:
    """An `ImageSource` over an array: of NumPy, a memory map, dask's or Zarr's.

    Attributes
    ----------
    array : array
        Anything sliceable with a shape and a dtype.
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
        """Yield a function that slices the array, computing the slice if it is lazy."""
        native = self.dtype.newbyteorder("=")
        yield lambda region: np.asarray(self.array[region]).astype(native, copy=False)


@dataclass(frozen=True)
class ImageFile:
    """An `ImageSource` over one file.

    Attributes
    ----------
    budget_bytes : int or None
        Memory that the pixels may take; half of the available memory if None.
    palette : {"color", "index", "alpha"}
        What to read.
    reader : Reader
        Reader of the format.
    header : Header
        Header of the stored pixels.
    view : View
        Maps the stored array to the image.
    region_opener : callable or None
        Opens the file to read regions; None if the format has to be decoded whole.
    calibration : Calibration or None
        Size and position of the pixels, if known.
    notes : tuple of str
        Interpretations and omissions known from the header; `decode` may add more.
    heard : list of str
        Notes added by the last `decode`.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: NamedAxes
    reader: Reader
    header: Header
    view: View
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
        pixels, notes = self.reader.decode(self.path, self.palette)
        self.heard[:] = notes
        if pixels.shape != self.view.stored:
            raise ReadError(
                f"{self.path} is damaged: its header says shape {self.view.stored}, "
                f"its pixels have {pixels.shape}. Save it again or leave it out."
            )
        seen = self.view.see(pixels)
        return DecodedImage(seen, self.axes, tuple(dict.fromkeys((*self.notes, *notes))))

    def require_room(self) -> None:
        """Refuse an image that is decoded whole and takes more memory than the budget.

        Raises
        ------
        BudgetError
            It does.
        """
        if self.region_opener is None:
            require_budget(self.path, self.shape, dtype=self.dtype, budget_bytes=self.budget_bytes)

    @contextmanager
    def reading(self) -> Iterator[RegionReader]:
        """Yield a function that reads regions; the file stays open until the block ends.

        A format without region reads is decoded whole, once. The budget applies to each region.
        Errors as in `read`, on opening or with any region.
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
                return self.view.see(read(self.view.find_stored(region)))

            yield read_within_budget

    def read_region(self, region: Region) -> Array:
        """Read the pixels of a region, one slice of step 1 per axis; errors as in `reading`."""
        with self.reading() as read:
            return read(region)


def open_image(
    path: str | Path,
    *,
    axes: str | None = None,
    fallback_axes: str | None = None,
    palette: Palette = "color",
    budget_bytes: int | None = None,
) -> ImageFile:
    """Read the header of an image, of any of the formats in `formats`.

    Parameters
    ----------
    path : path
        The format is detected by content, not by name. A Zarr is a local folder: an OME-Zarr image,
        whose largest level is read, or one array. ``file.h5/exported_data`` is one image of a file
        that holds several.
    axes : str, optional
        Axes of the image, overriding the file's own or a guess; axes of size 1 may be left out.
    fallback_axes : str, optional
        Axes to use if neither `axes` nor the file names them and their number fits.
    palette : {"color", "index", "alpha"}
        What to read: visible colours; stored values and palette indices (class masks); or the
        alpha channel.
    budget_bytes : int, optional
        Memory the pixels may take; by default the environment variable
        ``PIXELWISE_MEMORY_BUDGET``, or half of the available memory.

    Raises
    ------
    ReadError
        The file is missing, damaged, or not an image.
    MissingPackageError
        It is a microscope format, and the extra `microscopes` is not installed.
    DataError
        The image has no pixels, complex numbers, or a number of dimensions that does not fit
        `axes`; or the file holds several images and none was named.
    AxesError
        The axes are not named, and a guess may be wrong.
    """
    path = Path(path)
    reader = load_reader(path)
    header = reader.read_header(path, palette)
    _require_pixels(path, header)
    view = _create_view(header, axes)
    regions = getattr(reader, "reading_regions", None) if header.regions else None
    return ImageFile(
        path=path,
        shape=view.shape,
        dtype=header.dtype,
        axes=_name_axes(path, header, view=view, axes=axes, fallback=fallback_axes),
        reader=reader,
        header=header,
        view=view,
        palette=palette,
        budget_bytes=budget_bytes,
        region_opener=regions,
        calibration=view.see_calibration(header.calibration),
        notes=(*header.notes, *describe_orientation(header.orientation)),
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
    """Describe what is missing in a readable file; None if it is complete."""
    describe = getattr(source.reader, "describe_gaps", None)
    return None if describe is None else describe(source.path)


def _require_pixels(path: Path, header: Header) -> None:
    """Raise if the image has no pixels, or pixels that are not real numbers."""
    if not header.shape or 0 in header.shape:
        raise DataError(
            f"{path} has shape {header.shape}: it holds no pixels. Save it again or leave it out."
        )
    if header.dtype.kind not in "uif":
        raise DataError(
            f"{path} holds {header.dtype} values; expected integers or real numbers. "
            "Save its magnitude or one component."
        )


def _create_view(header: Header, axes: str | None) -> View:
    """View the stored array upright, without unnamed axes of size 1."""
    named = len(axes.strip()) if axes is not None else len(header.axes.names)
    ndim = named or min(len(header.shape), len(AXES))
    return create_view(header.shape, header.axes, ndim=ndim, orientation=header.orientation)


def _name_axes(
    path: Path, header: Header, *, view: View, axes: str | None, fallback: str | None
) -> NamedAxes:
    """Axes from the user, else the file, else the fallback, else a guess."""
    if axes is not None:
        try:
            return NamedAxes(parse_axes(axes, len(view.shape)), "as given")
        except DataError as error:
            raise DataError(f"{path}, shape {view.shape}, {header.axes}: {error}") from error
    found = header.axes if header.axes.names else guess_axes(view.shape)
    if found.doubt and fallback is not None and len(fallback) == len(view.shape):
        return NamedAxes(parse_axes(fallback, len(view.shape)), "as in the image")
    try:
        return found.require()
    except AxesError as error:
        raise AxesError(f"{path}: {error}") from error
