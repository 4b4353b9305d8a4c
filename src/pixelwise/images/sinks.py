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
"""File suffix of each result format."""

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
        """Write rows, read as they are needed: the whole file or nothing, see `atomic`.

        The content's mark is in the first 64 kB as JSON, see `marks`; `add_checksum` seals it.
        `check` is called right before the file gets its final name; raises to refuse.
        """
        ...


def load_writer(path: Path) -> Writer:
    """Import the module that writes a file of this name; TIFF if its suffix is unknown."""
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
        The folder must exist; an existing file is replaced once the new one is complete.
    array : ndarray
        One dimension per letter of `axes`; bool becomes uint8.
    axes : str
        Letters of ``TZCYX``; three or four 8- or 16-bit channels at the end are written as RGB(A).
    compression : str or None
        tifffile's name of a lossless compression.
    pixel_size_um : tuple of float, optional
        Height and width of a pixel in micrometres.
    notes : mapping, optional
        Additional JSON values for the file's description; not in OME-TIFF.

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
    """Arguments for tifffile: axes (S: samples of a colour), pixel size and notes.

    `calibration`, in the order of `axes`, gives the Z and T steps.
    """
    ome = is_ome_tiff(path)
    metadata: dict[str, Any] = {"axes": axes}
    metadata |= {} if ome or notes is None else dict(notes)
    metadata |= {} if calibration is None else describe_steps(calibration, axes)
    options: dict[str, Any] = {"ome": ome, "metadata": metadata}
    if pixel_size_um is not None:
        height, width = pixel_size_um
        options |= {"resolution": (1e4 / width, 1e4 / height), "resolutionunit": "CENTIMETER"}
        metadata |= {"PhysicalSizeY": height, "PhysicalSizeYUnit": "µm"} if ome else {}
        metadata |= {"PhysicalSizeX": width, "PhysicalSizeXUnit": "µm"} if ome else {}
    return options


def is_ome_tiff(path: Path) -> bool:
    """Whether a name is that of an OME-TIFF."""
    return path.name.lower().endswith((".ome.tif", ".ome.tiff"))


def write_picture(path: str | Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write a PNG, JPEG, BMP or WebP image; the suffix selects the format.

    Parameters
    ----------
    path : path
        The folder must exist; an existing file is replaced once the new one is complete.
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
            f"An image must be uint8 of shape (Y, X) or (Y, X, 3), got {pixels.dtype} of shape "
            f"{pixels.shape} for {path}; scale it first or write a TIFF."
        )
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise WriteError(f"Cannot write an image named {path.name}: expected one of {known}.")
    with replacing(path) as temp:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temp)
