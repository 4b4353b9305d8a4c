"""The supported image formats: name, first bytes, and the module that reads each.

To add a format, write one module, see `reader.Reader` and `sinks.Writer`, and one entry in
`FORMATS`. Other packages add one through an entry point of the group ``pixelwise.formats`` that
names its `ImageFormat`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, cast

from pixelwise.errors import DataError, MissingPackageError, ReadError, quote_value
from pixelwise.images.containers import split_inner
from pixelwise.images.foreign_formats import find_foreign, refuse
from pixelwise.images.reader import Reader
from pixelwise.parsing import open_regular

ZARR_FILES: Final = ("zarr.json", ".zarray", ".zgroup")
"""Metadata of a Zarr folder: format 3, and arrays and groups of format 2."""
EXTRA: Final = 'pip install "napari-pixelwise[microscopes]"'
"""Installs the packages that read microscope formats."""

_MARK_BYTES: Final = 2056
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_JP2: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
_TIFF_MARKS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURE_MARKS: Final = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF87a", b"GIF89a")
_SPACE: Final = b" \t\n\r\x0b\x0c#"


@dataclass(frozen=True)
class ImageFormat:
    """One image format.

    Attributes
    ----------
    name : str
        Name for messages.
    module : str
        Module that reads it, see `reader.Reader`.
    suffixes : tuple of str
        File suffixes, in lower case with the dot; they decide which files of a folder are images.
    matches : callable
        First bytes of a file (up to 2056) -> whether it has this format.
    package : str
        Package of the extra `microscopes` that reads it; empty if always installed.
    has_inner : bool
        Whether a file can hold several images with inner paths, see `containers`.
    writer : str
        Module that writes results in it, see `sinks.Writer`; empty if none. ``--format`` takes its
        `name` in lower case; its files get the first of `suffixes`.
    kinds : str
        Common names of its files, for messages; `name` if empty.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    package: str = ""
    has_inner: bool = False
    writer: str = ""
    kinds: str = ""


def _is_npz(mark: bytes) -> bool:
    """Whether a ZIP archive begins with a NumPy array."""
    size = int.from_bytes(mark[26:28], "little")
    return mark.startswith(b"PK\3\4") and mark[30 : 30 + size].endswith(b".npy")


def _is_hdf5(mark: bytes) -> bool:
    """Whether HDF5 begins at the start, or after a user block."""
    return any(mark[at : at + 8] == _HDF5 for at in (0, 512, 1024, 2048))


def _is_nifti(mark: bytes) -> bool:
    """Whether a file, compressed or not, has the header of NIfTI 1 or 2."""
    if mark.startswith(b"\x1f\x8b"):
        try:
            mark = zlib.decompressobj(31).decompress(mark, 600)
        except zlib.error:
            return False
    return mark[344:348] == b"n+1\0" or mark[4:8] == b"n+2\0"


FORMATS: Final = (
    ImageFormat(  # before TIFF: its first 128 bytes are free and may look like a TIFF
        "DICOM",
        "pixelwise.images.microscopes.dicom",
        (".dcm", ".dicom"),
        lambda mark: mark[128:132] == b"DICM",
        package="pydicom",
    ),
    ImageFormat(
        "TIFF",
        "pixelwise.images.tiff",
        (
            *(".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk", ".flex"),
            *(".svs", ".scn", ".ndpi", ".qptiff", ".bif"),
        ),
        lambda mark: mark.startswith(_TIFF_MARKS),
        writer="pixelwise.images.tiff_sink",
        kinds="TIFF, OME-TIFF",
    ),
    ImageFormat(
        "picture",
        "pixelwise.images.raster",
        (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif"),
        lambda mark: (
            mark.startswith(_PICTURE_MARKS) or (mark[:4], mark[8:12]) == (b"RIFF", b"WEBP")
        ),
        kinds="PNG, JPEG, BMP, WebP, GIF",
    ),
    ImageFormat(
        "Netpbm",
        "pixelwise.images.netpbm",
        (".ppm", ".pgm", ".pbm", ".pnm"),
        lambda mark: mark[:1] == b"P" and mark[1:2] in b"123456" and mark[2:3] in _SPACE,
        kinds="PPM, PGM, PBM",
    ),
    ImageFormat(
        "JPEG 2000",
        "pixelwise.images.jpeg2000",
        (".jp2", ".j2k", ".j2c", ".jpc", ".jpx"),
        lambda mark: mark.startswith((_JP2, b"\xff\x4f\xff\x51")),
    ),
    ImageFormat(
        "NumPy",
        "pixelwise.images.numpy_files",
        (".npy", ".npz"),
        lambda mark: mark.startswith(b"\x93NUMPY") or _is_npz(mark),
        has_inner=True,
        kinds=".npy, .npz",
    ),
    ImageFormat(
        "HDF5", "pixelwise.images.hdf5", (".h5", ".hdf5", ".hdf", ".he5"), _is_hdf5, has_inner=True
    ),
    ImageFormat(
        "Nikon ND2",
        "pixelwise.images.microscopes.nd2",
        (".nd2",),
        lambda mark: mark.startswith(b"\xda\xce\xbe\x0a"),
        package="nd2",
        has_inner=True,
    ),
    ImageFormat(
        "Leica LIF",
        "pixelwise.images.microscopes.lif",
        (".lif",),
        lambda mark: mark.startswith(b"\x70\0\0\0") and mark[8:9] == b"\x2a",
        package="liffile",
        has_inner=True,
    ),
    ImageFormat(
        "Zeiss CZI",
        "pixelwise.images.microscopes.czi",
        (".czi",),
        lambda mark: mark.startswith(b"ZISRAWFILE"),
        package="czifile",
        has_inner=True,
    ),
    ImageFormat(
        "NIfTI",
        "pixelwise.images.microscopes.nifti",
        (".nii", ".nii.gz"),
        _is_nifti,
        package="nibabel",
    ),
    ImageFormat(
        "MRC",
        "pixelwise.images.microscopes.mrc",
        (".mrc", ".mrcs"),
        lambda mark: mark[208:212] == b"MAP ",
        package="mrcfile",
    ),
    *(cast("ImageFormat", item.load()) for item in entry_points(group="pixelwise.formats")),
)
"""All single-file formats; a Zarr is a folder, see `is_zarr`."""

IMAGE_SUFFIXES: Final = frozenset(suffix for item in FORMATS for suffix in item.suffixes)
_ZARR: Final = ImageFormat(
    "Zarr",
    "pixelwise.images.zarr",
    (".zarr",),
    lambda _: False,
    writer="pixelwise.images.zarr_sink",
    kinds="OME-Zarr, Zarr",
)
WRITTEN: Final = {item.name.lower(): item for item in (*FORMATS, _ZARR) if item.writer}
"""Formats of results, by their name in ``--format``."""
READABLE: Final = "; and ".join(
    ", ".join(item.kinds or item.name for item in (*FORMATS, _ZARR) if bool(item.package) is extra)
    for extra in (False, True)
)
"""The formats, for messages."""


def load_reader(path: Path) -> Reader:
    """Import the module that reads an image.

    Raises
    ------
    MissingPackageError
        The package that reads it is not installed; the message says how to install it.
    ReadError, DataError
        As `find_format`.
    """
    item = find_format(path)
    try:
        return cast("Reader", import_module(item.module))
    except ImportError as error:
        if not item.package:
            raise
        raise MissingPackageError(
            f"{path} is a {item.name} file. The package {item.package}, which reads it, is not "
            f"installed or does not work here ({error}). Type: {EXTRA}"
        ) from error


def find_format(path: Path) -> ImageFormat:
    """Format of a file, by its first bytes, or of a Zarr folder.

    Raises
    ------
    ReadError
        The file is missing or unsupported; the message says what to do.
    DataError
        The path has an inner path, but the file holds only one image.
    """
    file, inner = path, ""
    try:
        with open_regular(path) as opened:  # enough for most images
            mark = opened.read(_MARK_BYTES)
    except ReadError:
        raise
    except OSError:
        if is_zarr(path):
            return _ZARR
        file, inner = split_inner(path)
        mark = read_mark(file)
    item = next((item for item in FORMATS if item.matches(mark)), None)
    foreign = find_foreign(file, mark, item.name if item else "") if mark else None
    if foreign is not None:
        raise refuse(file, foreign)
    if item is None:
        raise ReadError(
            f"Expected an image, but {file} {_describe(mark)}. Supported formats: {READABLE}, "
            f"after {EXTRA}"
        )
    if inner and not item.has_inner:
        raise DataError(f"{file} holds one image, but {path} asks for {quote_value(inner)} in it.")
    return item


def read_mark(file: Path) -> bytes:
    """Read the first bytes of a file."""
    try:
        with open_regular(file) as opened:
            return opened.read(_MARK_BYTES)
    except ReadError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise ReadError(f"Cannot open the image {file}: {reason}. Check the path.") from error


def _describe(mark: bytes) -> str:
    """Describe a file of no known format."""
    if not mark:
        return "is empty"
    if mark.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself (type: git lfs pull)"
    if mark.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, perhaps from a failed download"
    is_text = all(byte > 31 or byte in b"\t\n\r\x0c" for byte in mark) and b"\x7f" not in mark
    return f"is text and starts with {mark[:12]!r}" if is_text else f"starts with {mark[:12]!r}"


def is_zarr(path: Path) -> bool:
    """Whether a path is a Zarr folder: named ``.zarr``, or with Zarr metadata inside."""
    if not path.is_dir():
        return False
    return path.suffix.lower() == ".zarr" or any((path / name).is_file() for name in ZARR_FILES)
