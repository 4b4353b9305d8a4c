"""Writing images: whole under the final name, or not there at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import replacing
from pixelwise.axes import Calibration, parse_axes
from pixelwise.errors import DataError, WriteError
from pixelwise.images.content import ImageContent, RowReader
from pixelwise.images.formats import WRITTEN
from pixelwise.images.pixel_size import describe_steps

SUFFIXES: Final = {name: item.suffixes[0] for name, item in WRITTEN.items()}
"""What the files of each format of results are called."""

Array = npt.NDArray[Any]

PICTURE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})


class Writer(Protocol):
    """A module that writes results in a format."""

    def write_rows(
        self,
        path: Path,
        content: ImageContent,
        read: RowReader,
        *,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Write rows that are asked for as they are needed: whole, or not at all, see `atomic`.

        The content's mark lies in the first 64 kB as JSON, see `marks`; `add_checksum` seals it.
        `check` is called right before the file gets its name; raises if it may not.
        """
        ...


def load_writer(path: Path) -> Writer:
    """Import the module that writes a file of this name: a TIFF where its suffix says nothing."""
    name = path.name.lower()
    found = (item for item in WRITTEN.values() if name.endswith(item.suffixes))
    return cast("Writer", import_module(next(found, WRITTEN["tiff"]).writer))


def write_tiff(
    path: str | Path,
    array: Array,
    *,
    axes: str,
    compression: str | None = "zlib",
    pixel_size_um: tuple[float, float] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write a TIFF whose axes `open_image` reads back; ``.ome.tif`` names get OME metadata.

    Parameters
    ----------
    path : path
        The folder must exist; a file of this name is replaced once the new one is complete.
    array : ndarray
        One dimension per letter of `axes`; bool becomes uint8.
    axes : str
        Letters of ``TZCYX``; three or four 8- or 16-bit channels at the end are written as RGB(A).
    compression : str or None
        tifffile's name of a lossless compression.
    pixel_size_um : tuple of float, optional
        Height and width of a pixel in micrometres.
    notes : mapping, optional
        Further values, fit for JSON, for the file's description; not in OME-TIFF.

    Raises
    ------
    DataError
        `axes` do not name the dimensions of `array`.
    WriteError
        The folder cannot be written.
    """
    import tifffile

    path = Path(path)
    names = parse_axes(axes, array.ndim)
    array = array.astype("uint8") if array.dtype == bool else array
    color = names.endswith("YXC") and array.shape[-1] in (3, 4) and array.dtype in ("u1", "u2")
    names = names.replace("C", "S") if color else names
    with replacing(path) as temp:
        tifffile.imwrite(
            temp,
            array,
            photometric="rgb" if color else "minisblack",
            compression=compression,
            **describe_tiff(path, names, pixel_size_um=pixel_size_um, notes=notes),
        )


def describe_tiff(
    path: Path,
    axes: str,
    *,
    pixel_size_um: tuple[float, float] | None,
    notes: Mapping[str, Any] | None,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """Give tifffile's arguments for axes (S: samples of a colour), pixel size and notes.

    Of `calibration`, in the order of `axes`, the steps of Z and T are taken.
    """
    ome = is_ome_tiff(path)
    metadata: dict[str, Any] = {"axes": axes}
    metadata |= {} if ome or notes is None else dict(notes)
    metadata |= {} if calibration is None else describe_steps(calibration, axes)
    options: dict[str, Any] = {"ome": ome, "metadata": metadata}
    if pixel_size_um is not None:
        options |= _describe_resolution(pixel_size_um)
        metadata |= _describe_pixel_size(pixel_size_um) if ome else {}
    return options


def is_ome_tiff(path: Path) -> bool:
    """Whether a name is that of an OME-TIFF."""
    return path.name.lower().endswith((".ome.tif", ".ome.tiff"))


def _describe_resolution(pixel_size_um: tuple[float, float]) -> dict[str, Any]:
    """TIFF tags for a pixel size: pixels per centimetre in x and y."""
    height, width = pixel_size_um
    return {"resolution": (1e4 / width, 1e4 / height), "resolutionunit": "CENTIMETER"}


def _describe_pixel_size(pixel_size_um: tuple[float, float]) -> dict[str, Any]:
    """OME attributes for a pixel size."""
    height, width = pixel_size_um
    return {
        "PhysicalSizeY": height,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeX": width,
        "PhysicalSizeXUnit": "µm",
    }


def write_picture(path: str | Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write a PNG, JPEG, BMP or WebP picture; the suffix decides on the format.

    Parameters
    ----------
    path : path
        The folder must exist; a file of this name is replaced once the new one is complete.
    pixels : ndarray of uint8, (Y, X) or (Y, X, 3)
        Grey or RGB, 0 to 255.

    Raises
    ------
    DataError
        `pixels` have another shape or dtype.
    WriteError
        The suffix is unknown, or the folder cannot be written.
    """
    from PIL import Image

    path = Path(path)
    if pixels.dtype != np.uint8 or pixels.shape[2:] not in ((), (3,)) or pixels.ndim < 2:
        raise DataError(
            f"A picture must be uint8 of shape (Y, X) or (Y, X, 3), got {pixels.dtype} of shape "
            f"{pixels.shape} for {path}; scale it first or write a TIFF."
        )
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise WriteError(f"Cannot write a picture named {path.name}: expected one of {known}.")
    with replacing(path) as temp:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temp)
