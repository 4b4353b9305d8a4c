"""Folders with images: their role by name, and which folders belong together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from pixelwise.datasets.layouts.base import iter_folders, plain
from pixelwise.datasets.layouts.names import find_droppable
from pixelwise.datasets.layouts.words import (
    IMAGE_WORDS,
    MASK_WORDS,
    RESULT_WORDS,
    Part,
    Parts,
    cut_suffix,
    find_words,
    number_parts,
    split_words,
)
from pixelwise.datasets.sample import SPLIT_NAMES, Split
from pixelwise.errors import ReadError
from pixelwise.images import find_format, is_zarr, iter_image_files

Role = Literal["images", "masks", "results", "unknown"]

_IMAGE_FOLDERS: Final = IMAGE_WORDS | {"x", "tissueimages"}
_MASK_FOLDERS: Final = MASK_WORDS | {"y", "outputs", "binarymasks"}
_CELL_TRACKING_RESULT: Final = re.compile(r"^\d+_(RES|ERR)(_|$)")
_DEEPEST: Final = 12
"""Limits recursion through links that lead back up."""


@dataclass(frozen=True)
class ImageFolder:
    """A folder that holds image files.

    Attributes
    ----------
    path : Path
    relative : str
        Path below the searched folder, with slashes; empty for that folder itself.
    files : tuple of Path
        Image files directly in it, sorted by name.
    """

    path: Path
    relative: str
    files: tuple[Path, ...]

    @property
    def label(self) -> str:
        """Name for messages: `train/images/`, or `the folder itself`."""
        return f"{self.relative}/" if self.relative else "the folder itself"

    @cached_property
    def role(self) -> Role:
        """Role by the folder's path, from the inside out, then by its file names."""
        components = [part for part in self.relative.split("/") if part]
        if any(_is_result(component) for component in components):
            return "results"
        for component in reversed(components):
            if role := _judge(component):
                return role
        return "masks" if self.by_files else "unknown"

    @cached_property
    def by_files(self) -> bool:
        """Whether only the file names, not a folder's, say that these are masks."""
        if any(_judge(part) for part in self.relative.split("/") if part):
            return False
        return all(find_words(cut_suffix(file.name), MASK_WORDS) for file in self.files)

    @property
    def exact(self) -> bool:
        """Whether the whole innermost name is a usual one (`img`, not `imageJ`)."""
        return plain(self.path.name) in _IMAGE_FOLDERS | _MASK_FOLDERS

    @cached_property
    def parts(self) -> Parts:
        """Words and numbers of the path, except words for images and masks."""
        words = [word for part in self.relative.split("/") for word in split_words(part)]
        kept = (word for word in words if word not in _IMAGE_FOLDERS | _MASK_FOLDERS)
        return number_parts(kept)

    @cached_property
    def outer_parts(self) -> Parts:
        """Words and numbers of the other folders than the one that gives the role."""
        components = [part for part in self.relative.split("/") if part]
        inner = [i for i, part in enumerate(components) if _judge(part)][-1:]
        kept = [part for i, part in enumerate(components) if i not in inner]
        return number_parts(word for part in kept for word in split_words(part))

    @property
    def split(self) -> Split | None:
        """Training, validation or test, if exactly one of them is in the path."""
        return find_split(self.relative)


def find_split(relative: str) -> Split | None:
    """Split named by the folders of a relative path, if it is exactly one."""
    words = (word for part in relative.split("/") for word in split_words(part))
    found = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


def _is_result(component: str) -> bool:
    """Whether a folder's name means results of a program."""
    words = set(split_words(component))
    return not words.isdisjoint(RESULT_WORDS) or bool(_CELL_TRACKING_RESULT.match(component))


def _judge(component: str) -> Role | None:
    """Role by one folder's name; 'label_images' are masks."""
    words = {plain(component), *split_words(component)}
    if not words.isdisjoint(_MASK_FOLDERS - {"y"}) or plain(component) == "y":
        return "masks"
    if not words.isdisjoint(_IMAGE_FOLDERS - {"x"}) or plain(component) == "x":
        return "images"
    return None


def list_folders(root: Path) -> list[ImageFolder]:
    """Folders at and below `root` that contain images, sorted, without hidden ones and Zarrs."""
    return list(_iter_folders(root, root, depth=0, seen=set()))


def _iter_folders(
    root: Path, folder: Path, *, depth: int, seen: set[Path]
) -> Iterator[ImageFolder]:
    """`folder` and those below it; a folder reached twice through links is listed once."""
    if (real := folder.resolve()) in seen:
        return
    seen.add(real)
    if files := tuple(iter_image_files(folder)):
        relative = folder.relative_to(root).as_posix()
        yield ImageFolder(folder, "" if relative == "." else relative, files)
    if depth < _DEEPEST:
        for inner in iter_folders(folder):
            if not is_zarr(inner):
                yield from _iter_folders(root, inner, depth=depth + 1, seen=seen)


def describe_unread(root: Path) -> str:
    """Name the unsupported files in a mask folder; empty if there are none."""
    for folder in sorted(p for p in root.rglob("*") if p.is_dir() and _judge(p.name) == "masks"):
        files = [f for f in sorted(folder.iterdir()) if f.is_file() and f.name[0] != "."]
        if files and not any(True for _ in iter_image_files(folder)):
            try:
                find_format(files[0])
            except ReadError as error:
                return f". {folder}/ holds {len(files)} files of no image format: {error}".rstrip(
                    "."
                )
    return ""


@dataclass(frozen=True)
class FolderPairs:
    """Folders of images with those of their masks; `rivals` are folders that fit equally well."""

    pairs: tuple[tuple[ImageFolder, ImageFolder], ...]
    rivals: tuple[ImageFolder, ...] = ()


def pair_folders(images: Sequence[ImageFolder], masks: Sequence[ImageFolder]) -> FolderPairs:
    """Pair folders whose paths are equal except for words for images and masks.

    A single folder of each kind is a pair, unless numbers or names of splits differ.
    """
    for outer in (False, True):
        sides = [[f.outer_parts if outer else f.parts for f in side] for side in (images, masks)]
        dropped = find_droppable(*sides)
        if dropped is None:
            continue
        by_image = _group(images, sides[0], dropped[0])
        by_mask = _group(masks, sides[1], dropped[1])
        if both := sorted(by_image.keys() & by_mask.keys(), key=str):
            return _choose([(by_image[key], by_mask[key]) for key in both])
    chosen = _prefer_exact(images)
    if len(masks) == len(chosen) == 1 and not are_told_apart(chosen[0], masks[0]):
        return FolderPairs(((chosen[0], masks[0]),))
    return FolderPairs(())


def _group(
    folders: Sequence[ImageFolder], parts: Sequence[Parts], dropped: frozenset[Part]
) -> dict[Hashable, list[ImageFolder]]:
    """Folders by their parts that are not dropped."""
    groups: dict[Hashable, list[ImageFolder]] = defaultdict(list)
    for folder, own in zip(folders, parts, strict=True):
        groups[tuple(part for part in own if part not in dropped)].append(folder)
    return groups


def _choose(groups: Sequence[tuple[list[ImageFolder], list[ImageFolder]]]) -> FolderPairs:
    """Return the pairs, or the folders that fit equally well."""
    pairs, rivals = [], []
    for images, masks in groups:
        chosen = _prefer_exact(images)
        rivals += chosen if len(chosen) > 1 else []
        rivals += masks if len(masks) > 1 else []
        if len(chosen) == len(masks) == 1:
            pairs.append((chosen[0], masks[0]))
    return FolderPairs((), tuple(rivals)) if rivals else FolderPairs(tuple(pairs))


def _prefer_exact(folders: Sequence[ImageFolder]) -> list[ImageFolder]:
    """Prefer folders with a usual name, if there are any: `img` before `imageJ`."""
    return [folder for folder in folders if folder.exact] or list(folders)


def are_told_apart(images: ImageFolder, masks: ImageFolder) -> bool:
    """Whether each of two folders has a number, or a split, that the other lacks."""
    mine, other = ({p for p in f.parts if isinstance(p, int)} for f in (images, masks))
    splits = {images.split, masks.split} - {None}
    return bool(mine - other and other - mine) or len(splits) > 1
