"""Which image formats there are: the names and first bytes of each, and the module that reads it.

A new format is one module with `read_header` and `decode` (and `reading_regions`, where parts can
be read without the rest), and one entry in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.errors import ReadError

ZARR_FILES: Final = ("zarr.json", ".zarray", ".zgroup")
"""Metadata of a Zarr folder: format 3, and arrays and groups of format 2."""

_MARK_BYTES: Final = 512
_TIFF_MARKS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURE_MARKS: Final = (b"\x89PNG", b"\xff\xd8\xff", b"BM")


@dataclass(frozen=True)
class ImageFormat:
    """A way to store images.

    Attributes
    ----------
    name : str
        As messages call it.
    module : str
        Reads it.
    suffixes : tuple of str
        Of its files, in lower case with the dot; they decide what in a folder is an image.
    matches : callable
        First bytes of a file (up to 512) -> whether it has this format.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]


FORMATS: Final = (
    ImageFormat(
        "TIFF",
        "pixelwise.images.tiff",
        (".tif", ".tiff"),
        lambda mark: mark.startswith(_TIFF_MARKS),
    ),
    ImageFormat(
        "PNG, JPEG, BMP or WebP",
        "pixelwise.images.pictures",
        (".png", ".jpg", ".jpeg", ".bmp", ".webp"),
        lambda mark: (
            mark.startswith(_PICTURE_MARKS) or (mark[:4], mark[8:12]) == (b"RIFF", b"WEBP")
        ),
    ),
)
"""All formats of single files; a Zarr is a folder, see `is_zarr`."""

IMAGE_SUFFIXES: Final = frozenset(suffix for item in FORMATS for suffix in item.suffixes)
_NO_IMAGES: Final = frozenset(
    (
        *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".html", ".log"),
        *(".yaml", ".yml", ".toml", ".ini", ".cfg", ".py", ".ipynb", ".m", ".r", ".sh", ".bat"),
        *(".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ods", ".odt", ".pptx", ".db", ".lnk", ".url"),
        *(".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".part", ".tmp", ".bak", ".sha256"),
        *(".md5", ".aux", ".pyc", ".lock"),
    )
)
"""What lies beside images and holds none."""
_OTHER_CONTENT: Final = frozenset(
    (
        *(".nef", ".nrw", ".dng", ".cr2", ".arw", ".orf", ".pef", ".rw2", ".srw", ".erf", ".iiq"),
        *(".ovr", ".msk"),
    )
)
"""TIFFs whose pixels are not the image: previews of raw photographs, overviews beside a map."""
_ZARR: Final = ImageFormat("Zarr", "pixelwise.images.zarr", (".zarr",), lambda _: False)


def find_format(path: Path) -> ImageFormat:
    """Format of a file, by its first bytes, or of a Zarr folder.

    Raises
    ------
    ReadError
        The file is missing, or of no format that is read; the message says what to do.
    """
    if is_zarr(path):
        return _ZARR
    try:
        with path.open("rb") as file:
            mark = file.read(_MARK_BYTES)
    except OSError as error:
        reason = error.strerror or error
        raise ReadError(f"Cannot open the image {path}: {reason}. Check the path.") from error
    for item in FORMATS:
        if item.matches(mark):
            return item
    found = f"starts with {mark[:12]!r}" if mark else "is empty"
    raise ReadError(
        f"Expected a PNG, JPEG, BMP, WebP or TIFF image, but {path} {found}. "
        "Save the image in one of these formats."
    )


def iter_image_files(folder: Path) -> Iterator[Path]:
    """Image files directly in `folder`, sorted by name; hidden and other files are left out.

    A folder named ``.zarr`` is one image.

    Raises
    ------
    ReadError
        The folder is missing or cannot be listed.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ReadError(f"Cannot list the folder {folder}: {error.strerror or error}.") from error
    for entry in entries:
        if not entry.name.startswith(".") and _is_image(entry):
            yield entry


def list_left_out(folder: Path) -> list[Path]:
    """Files in `folder` that may be images, but are of no format that is read, sorted by name.

    Hidden files, and texts and tables that lie beside images, are not among them; sub-folders that
    hold images are, because only their own call reads them.

    Raises
    ------
    ReadError
        The folder is missing or cannot be listed.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ReadError(f"Cannot list the folder {folder}: {error.strerror or error}.") from error
    return [entry for entry in entries if not entry.name.startswith(".") and _is_left_out(entry)]


def _is_image(path: Path) -> bool:
    """Whether a path is an image: by its suffix, or, if that says nothing, by its first bytes."""
    if is_zarr(path):
        return True
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return path.is_file()
    if suffix in _NO_IMAGES or suffix in _OTHER_CONTENT or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            mark = file.read(_MARK_BYTES)
    except OSError:
        return False
    # Two letters, as BMP has, begin many a file.
    return mark[:2] != b"BM" and any(item.matches(mark) for item in FORMATS)


def _is_left_out(path: Path) -> bool:
    """Whether a path may be, or hold, images that `iter_image_files` does not give."""
    if path.is_dir() and not is_zarr(path):
        try:
            return any(_is_image(entry) for entry in path.iterdir())
        except OSError:
            return False
    return path.is_file() and path.suffix.lower() not in _NO_IMAGES and not _is_image(path)


def is_zarr(path: Path) -> bool:
    """Whether a path is a Zarr folder: it is called ``.zarr``, or holds a Zarr's metadata."""
    if not path.is_dir():
        return False
    return path.suffix.lower() == ".zarr" or any((path / name).is_file() for name in ZARR_FILES)
