"""Pairs: an images folder beside a masks folder, or one folder whose masks carry a suffix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.base import Entry, Layout, Listing, iter_folders, plain
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask
from pixelwise.datasets.sample import SPLIT_NAMES, Split
from pixelwise.errors import ReadError
from pixelwise.images import iter_image_files

_IMAGES: Final = frozenset(
    (
        *("images", "image", "imgs", "img", "inputs", "input", "raw", "raws", "x"),
        *("originals", "original", "pictures", "tissueimages"),
    )
)
_MASKS: Final = frozenset(
    (
        *("masks", "mask", "labels", "label", "annotations", "annotation", "gt", "groundtruth"),
        *("groundtruths", "targets", "target", "segmentations", "segmentation", "seg", "y"),
        *("outputs", "binarymasks"),
    )
)
_MASK_WORD: Final = re.compile(
    r"(?:^|[_\-. ])(?:masks?|labels?|lbl|seg|segm|segmentation|gt|annotations?|target|manual1?)"
    r"(?=$|[_\-. ]|\d)",
    re.IGNORECASE,
)
_IMAGE_WORD: Final = re.compile(
    r"(?:^|[_\-. ])(?:images?|imgs?|im|raw|inputs?)(?=$|[_\-. ]|\d)", re.IGNORECASE
)


@dataclass(frozen=True)
class FolderPair:
    """A folder of images and the folder of their masks, which can be the same."""

    images: Path
    masks: Path
    split: Split | None

    @property
    def mixed(self) -> bool:
        """Whether images and masks lie in one folder."""
        return self.images == self.masks


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    if folders := list(_iter_folder_pairs(path)):
        first = folders[0]
        inside = f"{first.images.relative_to(path)}/ and {first.masks.relative_to(path)}/"
        return f"found {inside}" + (f" and {len(folders) - 1} more" if folders[1:] else "")
    for folder, _ in _iter_split_folders(path):
        files = _list_stems(folder)
        image, mask = next(_match(files, files, suffix=None), (None, None))
        if image and mask:
            return f"found images and masks in one folder, such as {image.name} with {mask.name}"
    return None


def read(config: DataConfig) -> Listing:
    """List every image with the mask of the same name."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for folders in _find_pairs(config):
        pairs, unpaired = _pair_files(folders, config.mask_suffix)
        problems += unpaired
        entries += [
            Entry(image.stem, folders.split, FileImage(image, config.axes), FileMask(mask))
            for image, mask in pairs
        ]
    return Listing(tuple(entries), tuple(problems))


def _find_pairs(config: DataConfig) -> list[FolderPair]:
    """Folders that the config names, or that are found by their usual names."""
    path = config.path
    if config.images is None and config.masks is None:
        found = list(_iter_folder_pairs(path))
        return found or [FolderPair(f, f, split) for f, split in _iter_split_folders(path)]
    named = FolderPair(path / (config.images or ""), path / (config.masks or ""), None)
    if config.images is None or config.masks is None:
        known = next(_iter_folder_pairs(path), named)
        named = FolderPair(
            named.images if config.images else known.images,
            named.masks if config.masks else known.masks,
            None,
        )
    for folder in (named.images, named.masks):
        if not folder.is_dir():
            raise ReadError(f"The folder {folder} is missing; check 'images' and 'masks'.")
    return list(_iter_inner_splits(named)) or [named]


def _iter_folder_pairs(path: Path) -> Iterator[FolderPair]:
    """Folders of images and masks side by side, in `path` or in its split folders."""
    for folder, split in _iter_split_folders(path):
        images = [f for f in iter_folders(folder) if plain(f.name) in _IMAGES]
        masks = [f for f in iter_folders(folder) if plain(f.name) in _MASKS]
        if images and masks:
            pair = FolderPair(images[0], masks[0], split)
            yield from list(_iter_inner_splits(pair)) or [pair]


def _iter_split_folders(path: Path) -> Iterator[tuple[Path, Split | None]]:
    """`path` itself, then its train, validation and test folders."""
    yield path, None
    for folder in iter_folders(path):
        if split := SPLIT_NAMES.get(plain(folder.name)):
            yield folder, split


def _iter_inner_splits(pair: FolderPair) -> Iterator[FolderPair]:
    """Pairs such as images/train with masks/train."""
    for images, split in _iter_split_folders(pair.images):
        masks = pair.masks / images.name
        if split and masks.is_dir():
            yield FolderPair(images, masks, split)


def _pair_files(
    folders: FolderPair, suffix: str | None
) -> tuple[list[tuple[Path, Path]], list[Problem]]:
    """Match images with masks; what is left over on either side is a problem."""
    images, masks = _list_stems(folders.images), _list_stems(folders.masks)
    pairs = list(_match(images, masks, suffix=suffix))
    used = {file for pair in pairs for file in pair}
    left = [
        (file, "image" if folders.mixed and _mask_key(file.stem) else "mask")
        for file in _flatten(images)
        if file not in used
    ]
    if not folders.mixed:
        left += [(file, "image") for file in _flatten(masks) if file not in used]
    problems = [
        Problem("unpaired", str(file), f"{file} has no {other} of its name; left out")
        for file, other in left
    ]
    return pairs, problems


def _list_stems(folder: Path) -> dict[str, list[Path]]:
    """Image files of a folder by stem; one stem can have several suffixes."""
    files: dict[str, list[Path]] = {}
    for file in iter_image_files(folder):
        files.setdefault(file.stem, []).append(file)
    return files


def _flatten(files: dict[str, list[Path]]) -> Iterable[Path]:
    """All files of all stems."""
    return (file for group in files.values() for file in group)


def _match(
    images: dict[str, list[Path]], masks: dict[str, list[Path]], *, suffix: str | None
) -> Iterator[tuple[Path, Path]]:
    """Pair files: by suffix if given, by equal stems, else by stems without words like 'mask'."""
    if suffix is not None:
        yield from _match_by(
            images, masks, image_key=_same, mask_key=lambda stem: _cut(stem, suffix)
        )
    elif images != masks and images.keys() & masks.keys():
        yield from _match_by(images, masks, image_key=_same, mask_key=_same)
    else:
        yield from _match_by(images, masks, image_key=_image_key, mask_key=_mask_key)


def _match_by(
    images: dict[str, list[Path]],
    masks: dict[str, list[Path]],
    *,
    image_key: Callable[[str], str | None],
    mask_key: Callable[[str], str | None],
) -> Iterator[tuple[Path, Path]]:
    """Pair images and masks whose keys are equal."""
    by_key = {key: files[0] for stem, files in masks.items() if (key := mask_key(stem)) is not None}
    for stem, files in images.items():
        mask = by_key.get(image_key(stem) or "")
        if mask is not None:
            yield from ((file, mask) for file in files if file != mask)


def _same(stem: str) -> str:
    """Return the whole stem."""
    return stem


def _cut(stem: str, suffix: str) -> str | None:
    """Stem of the image that a mask with this suffix belongs to."""
    stem, suffix = stem.lower(), suffix.lower().rsplit(".", 1)[0] or suffix.lower()
    return stem.removesuffix(suffix) if stem.endswith(suffix) else None


def _mask_key(stem: str) -> str | None:
    """Name without its word for 'mask'; None if it has none."""
    key, count = _MASK_WORD.subn("", stem, count=1)
    return key.strip("_-. ").lower() if count else None


def _image_key(stem: str) -> str | None:
    """Name without a word for 'image'; None for masks."""
    if _MASK_WORD.search(stem):
        return None
    return _IMAGE_WORD.sub("", stem, count=1).strip("_-. ").lower()


LAYOUT: Final = Layout(
    "pairs",
    "images/ beside masks/ (or inputs, raw, ... beside labels, gt, ...), also inside train/, "
    "val/, test/; or one folder with a.png and a_mask.png",
    recognise,
    read,
)
