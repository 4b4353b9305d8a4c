"""Which files of a folder are images, and which may be but are not supported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pixelwise.errors import ReadError
from pixelwise.images.foreign_formats import find_foreign
from pixelwise.images.formats import FORMATS, IMAGE_SUFFIXES, is_zarr, read_mark
from pixelwise.parsing import list_folder

_NO_IMAGES: Final = frozenset(
    (
        *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".html", ".log"),
        *(".yaml", ".yml", ".toml", ".ini", ".cfg", ".py", ".ipynb", ".m", ".r", ".sh", ".bat"),
        *(".doc", ".docx", ".xls", ".xlsx", ".ods", ".odt", ".pptx", ".db", ".lnk", ".url"),
        *(".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".part", ".tmp", ".bak", ".sha256"),
        *(".md5", ".aux", ".pyc", ".lock"),
    )
)
"""Common files beside images that are not images."""
_PICKLE: Final = "_seg.npy"
"""Cellpose's own file beside each image."""
_ENDINGS: Final = tuple(IMAGE_SUFFIXES)


def iter_image_files(folder: Path) -> Iterator[Path]:
    """Image files directly in `folder`, sorted by name, without hidden files.

    A folder named ``.zarr`` is one image. If the suffix is unknown, the first bytes decide.

    Raises
    ------
    ReadError
        The folder is missing or cannot be listed.
    """
    return (entry for entry in _list_folder(folder) if _is_image(entry))


def list_left_out(folder: Path) -> list[Path]:
    """Files in `folder` that may be images of an unsupported format, sorted by name.

    Hidden files, texts and tables are not listed; sub-folders with images are, because they are
    not searched. `explain_left_out` describes the format of each, if known.

    Raises
    ------
    ReadError
        The folder is missing or cannot be listed.
    """
    return [entry for entry in _list_folder(folder) if _is_left_out(entry)]


def explain_left_out(path: Path) -> str:
    """Describe an unsupported file, and what to export instead; empty if its format is unknown."""
    item = find_foreign(path)
    return f"{item.name}. {item.advice}" if item is not None else ""


def _list_folder(folder: Path) -> list[Path]:
    """Entries of a folder, sorted by name, without hidden ones."""
    return [entry for entry in list_folder(folder) if not entry.name.startswith(".")]


def _is_image(path: Path) -> bool:
    """Whether a path is an image, by its suffix or, if that is unknown, its first bytes."""
    if is_zarr(path):
        return True
    if not path.is_file():
        return False
    name = path.name.lower()
    if name.endswith(_PICKLE):
        return False
    if name.endswith(_ENDINGS):
        return True
    if path.suffix.lower() in _NO_IMAGES or find_foreign(path) is not None:
        return False
    try:
        mark = read_mark(path)
    except ReadError:
        return False
    # The two letters of BMP are too short to be sure.
    return mark[:2] != b"BM" and any(item.matches(mark) for item in FORMATS)


def _is_left_out(path: Path) -> bool:
    """Whether a path may be, or contain, images that `iter_image_files` does not list."""
    if path.is_dir() and not is_zarr(path):
        try:
            return any(_is_image(entry) for entry in path.iterdir())
        except OSError:
            return False
    return path.is_file() and path.suffix.lower() not in _NO_IMAGES and not _is_image(path)
