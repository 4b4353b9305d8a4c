"""Cellpose: ``x.png`` with ``x_cp_masks.png``, or ``x_img.tif`` with ``x_masks.tif``.

Cellpose's other files (flows, outlines, ``_seg.npy``) are ignored; ``_seg.npy`` is a pickle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.annotated import iter_files, named_folder, split_inside
from pixelwise.datasets.layouts.base import Entry, Layout, Listing, iter_folders
from pixelwise.datasets.mapping import create_instance_scheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask
from pixelwise.errors import DataError
from pixelwise.images import iter_image_files

_ENDS: Final = ("_cp_masks", "_masks")
_OTHERS: Final = ("_cp_outlines", "_outlines", "_flows", "_cp_flows", "_cp_output", "_cellprob")
_IMAGE_END: Final = "_img"
_MASK_FOLDER: Final = "masks"
_PICKLE: Final = "_seg.npy"


@dataclass(frozen=True)
class _Folder:
    """A folder of images, with the masks by the name of their image."""

    path: Path
    images: tuple[Path, ...]
    masks: dict[str, Path]


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout: names that only Cellpose gives."""
    for folder in _iter_folders(path):
        own = [mask for mask in folder.masks.values() if mask.stem.endswith("_cp_masks")]
        others = [f for f in _list_names(folder.path) if f.endswith(("_flows.tif", _PICKLE))]
        if own or (folder.masks and others):
            first = (own or list(folder.masks.values()))[0]
            return f"found masks of Cellpose such as {first.relative_to(path)}"
    return None


def read(config: DataConfig) -> Listing:
    """List every image with its masks."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for folder in _choose_folders(config):
        used = set()
        for image in folder.images:
            mask = folder.masks.get(image.stem) or folder.masks.get(_cut_image_end(image.stem))
            if mask is None:
                problems.append(_describe_missing(image))
                continue
            used.add(mask)
            split = split_inside(image, config.path)
            name = _cut_image_end(image.stem)
            entries.append(Entry(name, split, FileImage(image, config.axes), FileMask(mask)))
        problems += [
            Problem("unpaired", str(mask), f"{mask} has no image of its name; left out")
            for mask in folder.masks.values()
            if mask not in used
        ]
    scheme = create_instance_scheme("Cellpose's masks, which number the cells")
    return Listing(tuple(entries), tuple(problems), scheme)


def _choose_folders(config: DataConfig) -> Iterator[_Folder]:
    """Folders that the config names, else those of the data folder."""
    if config.images is None and config.masks is None:
        yield from _iter_folders(config.path)
        return
    images = named_folder(config, config.images, "images") or config.path
    masks = named_folder(config, config.masks, "masks") or images
    yield _list_folder(images, masks)


def _iter_folders(path: Path) -> Iterator[_Folder]:
    """`path` and its sub-folders of images that have masks there or in ``masks/``."""
    if not path.is_dir():
        return
    for folder in (path, *iter_folders(path)):
        if folder.name.lower() == _MASK_FOLDER and folder != path:
            continue
        inner = folder / _MASK_FOLDER
        listed = _list_folder(folder, inner if inner.is_dir() else folder)
        if listed.masks:
            yield listed


def _list_folder(images: Path, masks: Path) -> _Folder:
    """Images of one folder and masks of another, or of the same.

    Raises
    ------
    DataError
        An image has two masks.
    """
    found: dict[str, Path] = {}
    for file in dict.fromkeys([*iter_image_files(masks), *iter_image_files(images)]):
        end = next((end for end in _ENDS if file.stem.endswith(end)), None)
        if end is None:
            continue
        name = file.stem.removesuffix(end)
        if name in found:
            raise DataError(
                f"{found[name]} and {file} are both masks of {name}: expected one. Remove one."
            )
        found[name] = file
    kept = tuple(
        file
        for file in iter_image_files(images)
        if not file.stem.endswith((*_ENDS, *_OTHERS)) and not file.name.endswith(_PICKLE)
    )
    return _Folder(images, kept, found)


def _list_names(folder: Path) -> list[str]:
    """Names of all files of a folder, in lower case."""
    return [file.name.lower() for file in iter_files([folder], "")]


def _cut_image_end(stem: str) -> str:
    """Name that the image and its mask share."""
    return stem.removesuffix(_IMAGE_END)


def _describe_missing(image: Path) -> Problem:
    """Explain that an image has no mask, and what to do if Cellpose saved only its pickle."""
    message = f"{image} has no mask such as {image.stem}_cp_masks.png; left out"
    if image.with_name(f"{image.stem}{_PICKLE}").is_file():
        message += (
            f". Its {image.stem}{_PICKLE} is a pickle, which can run code and is not read: in "
            "Cellpose choose File > Save masks as PNG/TIF"
        )
    return Problem("unpaired", str(image), message)


LAYOUT: Final = Layout(
    "cellpose",
    "Cellpose: x.png with x_cp_masks.png or .tif, or x_img.tif with x_masks.tif",
    recognise,
    read,
)
