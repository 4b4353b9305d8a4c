"""Finds the folders of images and masks: those that the user names, or by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.folders import ImageFolder, list_folders, pair_folders
from pixelwise.datasets.layouts.looks import are_flat
from pixelwise.datasets.layouts.masks import (
    UnclearPairsError,
    find_suffixed,
    require_lossless,
)
from pixelwise.datasets.layouts.names import Rule
from pixelwise.datasets.layouts.words import (
    MASK_WORDS,
    RESULT_WORDS,
    cut_suffix,
    find_words,
    split_words,
)
from pixelwise.datasets.sample import SPLIT_NAMES
from pixelwise.errors import ReadError

_PATTERN: Final = frozenset("*?[")


@dataclass(frozen=True)
class Place:
    """Image files, and the candidates for their masks.

    Attributes
    ----------
    images, masks : tuple of Path
    image_root, mask_root : Path
        Sub-folders below these are part of a file's name.
    """

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    image_root: Path
    mask_root: Path

    @property
    def mixed(self) -> bool:
        """Whether images and masks are in one folder."""
        return self.image_root == self.mask_root


@dataclass(frozen=True)
class Search:
    """Places to search for pairs, and the reason in words.

    `by_folder` pairs files by their folder alone; `rule` is that of `match_names`; `unused` are
    other folders with images.
    """

    places: tuple[Place, ...]
    reason: str
    rule: Rule = "any"
    by_folder: bool = False
    unused: tuple[ImageFolder, ...] = ()


def iter_searches(config: DataConfig) -> Iterator[Search]:
    """Yield searches, the most certain first.

    Raises
    ------
    ReadError
        A named folder is missing, or has no images.
    UnclearPairsError
        Several folders fit equally well.
    """
    folders = list_folders(config.path)
    if config.images is not None or config.masks is not None:
        yield _name_places(config, folders)
        return
    if config.mask_suffix is not None:
        yield from _search_folders(folders)
        yield from _search_mixed(folders, config.mask_suffix)
        return
    yield from _search_folders(folders)
    mixed = list(_search_mixed(folders, None))
    yield from mixed
    alone = "each folder holds one image and one mask"
    yield from (Search(one.places, alone, by_folder=True) for one in mixed)
    yield from _search_twins(folders)


# Folders that the user names


def _name_places(config: DataConfig, folders: Sequence[ImageFolder]) -> Search:
    """Use the folders that are named; search the other kind if only one is."""
    images = _open_named(config, config.images, "images")
    masks = _open_named(config, config.masks, "masks")
    if config.images is None:
        images = [f for f in folders if f.path not in {m.path for m in masks}]
        found = _pair_by_role(images, masks)
    elif config.masks is None:
        named = {folder.path for folder in images}
        masks = [f for f in folders if f.role == "masks" and f.path not in named]
        found = _pair_by_role(images, masks)
    else:
        found = _pair_named(images, masks)
    if not found:
        raise UnclearPairsError(
            f"It is unclear which of the folders {_join(images)} with images and {_join(masks)} "
            "with masks belong together."
        )
    places = tuple(_create_place(*pair, suffix=config.mask_suffix) for pair in found)
    first = found[0]
    rule: Rule = "mixed" if places[0].mixed else "any"
    return Search(places, f"as given: {first[0].label} with {first[1].label}", rule)


def _open_named(config: DataConfig, name: str | None, field: str) -> list[ImageFolder]:
    """Folders of this name or pattern below the data folder, with their files."""
    if name is None:
        return []
    path = config.path / name
    if path.is_dir():
        found = [path]
    elif _PATTERN & set(name):
        found = sorted(p for p in config.path.glob(name) if p.is_dir())
    else:
        found = []
    if not found:
        held = ", ".join(sorted(f"{f.relative}/" for f in list_folders(config.path) if f.relative))
        raise ReadError(
            f"The folder {path} is missing; check '{field}'. It must be inside {config.path}, "
            f"which has images in {held or 'no sub-folder'}."
        )
    return [_read_named(config, folder) for folder in found]


def _read_named(config: DataConfig, path: Path) -> ImageFolder:
    """Files directly in a folder or, if there are none, those of all its sub-folders."""
    folders = list_folders(path)
    direct = [folder.files for folder in folders if not folder.relative]
    files = direct[0] if direct else tuple(f for folder in folders for f in folder.files)
    inside = path.is_relative_to(config.path)
    relative = path.relative_to(config.path).as_posix() if inside else path.name
    return ImageFolder(path, "" if relative == "." else relative, files)


def _pair_named(
    images: Sequence[ImageFolder], masks: Sequence[ImageFolder]
) -> list[tuple[ImageFolder, ImageFolder]]:
    """Pair named folders: one with one, or those whose paths fit."""
    if len(images) == len(masks) == 1:
        return [(_without(images[0], masks[0]), _without(masks[0], images[0]))]
    return list(pair_folders(images, masks).pairs)


def _without(folder: ImageFolder, other: ImageFolder) -> ImageFolder:
    """Folder without the files of another folder inside it."""
    if folder.path == other.path or not other.path.is_relative_to(folder.path):
        return folder
    kept = tuple(file for file in folder.files if not file.is_relative_to(other.path))
    return ImageFolder(folder.path, folder.relative, kept)


def _pair_by_role(
    images: Sequence[ImageFolder], masks: Sequence[ImageFolder]
) -> list[tuple[ImageFolder, ImageFolder]]:
    """Pair folders; those of unknown role are used only if none is named as images."""
    called = [folder for folder in images if folder.role == "images"]
    unknown = [f for f in images if f.role == "unknown" and not (called or are_flat(f.files))]
    found = pair_folders(called or unknown, masks)
    if found.rivals:
        found = pair_folders([f for f in called or unknown if not are_flat(f.files)], masks)
    if found.rivals:
        raise UnclearPairsError(
            f"Several folders fit equally well: {_join(found.rivals)}. Which one is meant?"
        )
    return list(found.pairs)


# Folders that are found


def _search_folders(folders: Sequence[ImageFolder]) -> Iterator[Search]:
    """Folders of masks, by their names, with the folders of their images."""
    masks = [folder for folder in folders if folder.role == "masks"]
    if not masks or not (found := _pair_by_role(folders, masks)):
        return
    _require_one_kind(found)
    _require_no_rivals(found, masks)
    first = found[0]
    words = f"found {first[0].label} and {first[1].label}"
    if len(found) > 1:
        words += f" and {len(found) - 1} more"
    used = {folder.path for pair in found for folder in pair}
    unused = tuple(f for f in folders if f.path not in used)
    places = tuple(_create_place(*pair, suffix=None) for pair in found)
    rule: Rule = "one side" if any(masks.by_files for _, masks in found) else "any"
    yield Search(places, words, rule, unused=unused)


def _require_one_kind(found: Sequence[tuple[ImageFolder, ImageFolder]]) -> None:
    """Raise if the folders that were found belong to several data sets."""
    kinds = {_name_kind(*pair): pair for pair in found}
    if len(kinds) > 1:
        shown = "; ".join(f"{i.label} with {m.label}" for i, m in kinds.values())
        raise UnclearPairsError(f"There are several data sets here: {shown}.")


def _require_no_rivals(
    found: Sequence[tuple[ImageFolder, ImageFolder]], masks: Sequence[ImageFolder]
) -> None:
    """Raise if there is another mask folder beside those that were found."""
    used = [pair[1] for pair in found]
    beside = {folder.path.parent for pair in found for folder in pair}
    rivals = [m for m in masks if m not in used and m.path.parent in beside]
    if rivals:
        raise UnclearPairsError(
            f"There are masks in several folders, {_join([*used, *rivals])}. Which ones are meant?"
        )


def _name_kind(images: ImageFolder, masks: ImageFolder) -> tuple[tuple[str, ...], ...]:
    """Words of the innermost folders, without those that distinguish splits of one data set."""
    shared = {*SPLIT_NAMES, *(set(map(str, images.parts)) & set(map(str, masks.parts)))}
    return tuple(
        tuple(
            word
            for word in split_words(folder.path.name)
            if not (word.isdecimal() or word in shared)
        )
        for folder in (images, masks)
    )


def _search_mixed(folders: Sequence[ImageFolder], suffix: str | None) -> Iterator[Search]:
    """Folders with images and, by a suffix or a word in their names, their masks."""
    places, unused = [], []
    for folder in folders:
        if suffix is None and folder.role in ("results", "masks"):
            unused.append(folder)
            continue
        place = _create_place(folder, folder, suffix=suffix)
        if place.images and place.masks:
            places.append(place)
        else:
            unused.append(folder)
    if places:
        words = "found images and masks in one folder"
        yield Search(tuple(places), words, "mixed", unused=tuple(unused))


def _search_twins(folders: Sequence[ImageFolder]) -> Iterator[Search]:
    """Folders with every name twice, in which the files of one suffix look like masks."""
    places = []
    for folder in folders:
        by_suffix: dict[str, list[Path]] = {}
        for file in folder.files:
            by_suffix.setdefault(file.suffix.lower(), []).append(file)
        if folder.role == "results" or len(by_suffix) != 2:
            continue
        ones, others = (files for _, files in sorted(by_suffix.items()))
        if {f.stem for f in ones} != {f.stem for f in others}:
            continue
        flat = are_flat(ones), are_flat(others)
        if flat == (True, False):
            ones, others = others, ones
        elif flat != (False, True):
            continue
        places.append(Place(tuple(ones), tuple(others), folder.path, folder.path))
    if places:
        end = places[0].masks[0].suffix
        words = f"found every name twice, of which {end} looks like a mask"
        yield Search(tuple(places), words, "mixed")


def _create_place(images: ImageFolder, masks: ImageFolder, *, suffix: str | None) -> Place:
    """Files of a pair of folders, or of one folder, sorted into images and masks."""
    image_files, mask_files = images.files, masks.files
    if images.path == masks.path:
        mask_files = tuple(find_suffixed(masks.files, suffix) if suffix else _find_worded(masks))
        taken = set(mask_files)
        image_files = tuple(f for f in images.files if f not in taken and not _is_result(f))
        mask_files = require_lossless(mask_files, image_files, suffix)
    return Place(image_files, mask_files, images.path, masks.path)


def _find_worded(folder: ImageFolder) -> list[Path]:
    """Files with a word such as 'mask' in their names; not the results of a program."""
    return [f for f in folder.files if find_words(f.stem, MASK_WORDS) and not _is_result(f)]


def _is_result(file: Path) -> bool:
    """Whether a file's name means the result of a program."""
    return bool(find_words(cut_suffix(file.name), RESULT_WORDS))


def _join(folders: Sequence[ImageFolder]) -> str:
    """Names of folders for a message."""
    shown = ", ".join(folder.label for folder in folders[:6])
    return f"{shown} ..." if len(folders) > 6 else shown or "none"
