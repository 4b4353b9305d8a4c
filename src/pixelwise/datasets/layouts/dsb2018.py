"""Data Science Bowl 2018: ``<id>/images/<id>.png`` and one mask per nucleus in ``<id>/masks``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.base import Entry, Layout, Listing, iter_folders
from pixelwise.datasets.mapping import create_instance_scheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, MergedMask
from pixelwise.datasets.sample import SPLIT_NAMES
from pixelwise.images import iter_image_files

_TRIED: Final = 5


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout: the first sub-folders contain an image of their own name."""
    for folder in islice(iter_folders(path), _TRIED):
        if folder.name.lower() in SPLIT_NAMES:
            return None
        image = next(_iter_images(folder), None)
        if image and image.stem == folder.name and (folder / "masks").is_dir():
            return f"sub-folders such as {folder.name}/ contain images/ and masks/ of one image"
    return None


def read(config: DataConfig) -> Listing:
    """List every sub-folder with one image and its masks."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for folder in iter_folders(config.path):
        images = tuple(_iter_images(folder))
        masks = folder / "masks"
        files = tuple(iter_image_files(masks)) if masks.is_dir() else ()
        if len(images) == 1 and files:
            mask = MergedMask(masks, files)
            entries.append(Entry(images[0].stem, None, FileImage(images[0], config.axes), mask))
        elif images or files:
            problems.append(_describe(folder, images=len(images), masks=len(files)))
    scheme = create_instance_scheme("one mask per nucleus, merged", name="nucleus")
    return Listing(tuple(entries), tuple(problems), scheme)


def _iter_images(folder: Path) -> Iterator[Path]:
    """Images of one sub-folder."""
    images = folder / "images"
    return iter_image_files(images) if images.is_dir() else iter(())


def _describe(folder: Path, *, images: int, masks: int) -> Problem:
    """Describe what a sub-folder lacks."""
    return Problem(
        "unpaired",
        str(folder),
        f"expected one image in images/ and at least one mask in masks/, found {images} and "
        f"{masks}; left out",
    )


LAYOUT: Final = Layout(
    "dsb2018", "sub-folders <id>/ with images/<id>.png and masks/*.png", recognise, read
)
