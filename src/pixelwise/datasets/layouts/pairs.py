"""Pairs: folders of images beside folders of masks, or one folder with masks named as such.

What the user specifies is used as given; only the rest is searched. `places` finds the folders,
`names` matches masks to images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.layouts.folders import find_split
from pixelwise.datasets.layouts.masks import UnclearPairsError, find_suffixed, prefer_lossless
from pixelwise.datasets.layouts.names import Matching, Name, create_name, match_names
from pixelwise.datasets.layouts.places import Place, Search, iter_searches
from pixelwise.datasets.layouts.words import MASK_WORDS, cut_suffix, find_words
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask, JoinedMask, MaskReader
from pixelwise.images import iter_image_files, list_left_out

_SHOWN: Final = 6


@dataclass(frozen=True)
class FoundPairs:
    """Images with their masks (usually one), the rule that paired them, and problems."""

    search: Search
    pairs: tuple[tuple[Path, tuple[Path, ...]], ...]
    words: str
    problems: tuple[Problem, ...]


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    return describe_pairs(DataConfig.create(path=path))


def read(config: DataConfig) -> Listing:
    """List every image with its mask.

    Raises
    ------
    UnclearPairsError
        Several masks, or folders, fit an image equally well; or none fits what the user named.
    """
    found = find_pairs(config)
    if found is None:
        return Listing(())
    entries = []
    for image, masks in found.pairs:
        split = find_split(_relative_folder(image, config.path))
        reader = FileImage(image, config.axes)
        entries.append(Entry(cut_suffix(image.name), split, reader, _create_mask(masks)))
    return Listing(tuple(entries), found.problems)


def describe_pairs(config: DataConfig) -> str | None:
    """Describe what was found, for the user; None if nothing looks like images with masks."""
    found = find_pairs(config)
    if found is None:
        return None
    image, masks = found.pairs[0]
    mixed = found.search.places[0].mixed
    such = f", such as {image.name} with {masks[0].name}" if mixed else ""
    return f"{found.search.reason}{such}"


def find_pairs(config: DataConfig) -> FoundPairs | None:
    """Pair images and masks by the config, else by the names of folders and files.

    None if nothing looks like images with masks. Errors as in `read`.
    """
    rivals: tuple[str, ...] = ()
    last: Search | None = None
    for search in iter_searches(config):
        last = search
        matching, images, masks = _match(search, config.mask_suffix)
        if matching.pairs:
            pairs = tuple((images[i], tuple(masks[m] for m in ms)) for i, ms in matching.pairs)
            left = _describe_left(search, pairs, masks)
            single, twins = _choose_images(pairs)
            chosen, notes = _choose_masks(single)
            return FoundPairs(search, chosen, matching.words, (*left, *twins, *notes))
        rivals = rivals or matching.rivals
    if last is not None:
        raise UnclearPairsError(_describe_failure(last, rivals, config.mask_suffix))
    return None


def _match(search: Search, suffix: str | None) -> tuple[Matching, list[Path], list[Path]]:
    """Match the names of all places of a search together."""
    images = [file for place in search.places for file in place.images]
    names = [
        create_name(scope, _relative_folder(file, place.image_root), file.name)
        for scope, place in enumerate(search.places)
        for file in place.images
    ]
    masks, mask_names = _name_masks(search.places, suffix)
    if search.by_folder:
        return _match_by_folder(names, mask_names), images, masks
    matching = match_names(names, mask_names, rule=search.rule)
    plain = [i for i, name in enumerate(names) if not find_words(name.stem, MASK_WORDS)]
    if not matching.pairs and search.rule != "mixed" and len(plain) < len(names):
        again = match_names([names[i] for i in plain], mask_names, rule=search.rule)
        pairs = tuple((plain[i], found) for i, found in again.pairs)
        matching = Matching(pairs, again.words, matching.rivals or again.rivals)
    return matching, images, masks


def _name_masks(places: Sequence[Place], suffix: str | None) -> tuple[list[Path], list[Name]]:
    """Files and names of the masks of all places, without the suffix."""
    files, names = [], []
    for scope, place in enumerate(places):
        cut = find_suffixed(place.masks, suffix) if suffix else dict.fromkeys(place.masks)
        for file, stem in cut.items():
            files.append(file)
            folder = _relative_folder(file, place.mask_root)
            names.append(
                create_name(scope, folder, file.name if stem is None else f"{stem}{file.suffix}")
            )
    return files, names


def _match_by_folder(images: Sequence[Name], masks: Sequence[Name]) -> Matching:
    """Pair the only image and the only mask of each folder, if there are several such folders."""
    by_scope: dict[object, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, names in enumerate((images, masks)):
        for number, name in enumerate(names):
            by_scope[name.scope][side].append(number)
    if len(by_scope) < 2 or any(len(i) != 1 or len(m) != 1 for i, m in by_scope.values()):
        return Matching(())
    pairs = tuple((i[0], (m[0],)) for i, m in by_scope.values())
    return Matching(pairs, "that are alone in their folder", complete=True)


def _choose_images(
    pairs: Sequence[tuple[Path, tuple[Path, ...]]],
) -> tuple[list[tuple[Path, tuple[Path, ...]]], list[Problem]]:
    """Choose one image for each name: among several formats, the lossless one."""
    by_name: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for image, _ in pairs:
        by_name[(image.parent, cut_suffix(image.name))].append(image)
    left: set[Path] = set()
    problems = []
    for images in by_name.values():
        best = prefer_lossless(images)
        names = " and ".join(file.name for file in images)
        if len(best) > 1:
            message = f"{best[0]} is one of several images of its name, {names}: remove the others"
            problems.append(Problem("duplicate", str(best[0]), message, fatal=True))
        elif len(images) > 1:
            message = f"of {names} only {best[0]} is used, which is lossless"
            problems.append(Problem("note", str(best[0]), message))
        left |= set(images) - set(best)
    return [pair for pair in pairs if pair[0] not in left], problems


def _choose_masks(
    pairs: Sequence[tuple[Path, tuple[Path, ...]]],
) -> tuple[tuple[tuple[Path, tuple[Path, ...]], ...], list[Problem]]:
    """Choose one file for each mask: among several formats, the lossless one."""
    chosen, notes = [], []
    for image, masks in pairs:
        by_stem: dict[str, list[Path]] = defaultdict(list)
        for mask in masks:
            by_stem[cut_suffix(mask.name)].append(mask)
        kept: list[Path] = []
        for files in by_stem.values():
            best = prefer_lossless(files)
            kept.append(best[0])
            if len(best) > 1:
                notes.append(_refuse_twins(image, best))
            elif len(files) > 1:
                message = f"{best[0]} is used, not the lossy file of the same name"
                notes.append(Problem("note", str(best[0]), message))
        if len(kept) > 1:
            names = ", ".join(file.name for file in kept)
            notes.append(
                Problem(
                    "note", str(image), f"{image} has {len(kept)} masks, which are joined: {names}"
                )
            )
        chosen.append((image, tuple(kept)))
    return tuple(chosen), notes


def _refuse_twins(image: Path, masks: Sequence[Path]) -> Problem:
    """Report that one image has two masks of the same name."""
    names = " and ".join(file.name for file in masks)
    message = (
        f"{image} has two masks of one name, {names}: choose with --mask-suffix "
        f"{masks[0].suffix}, or remove one of them"
    )
    return Problem("duplicate", str(image), message, fatal=True)


def _create_mask(masks: tuple[Path, ...]) -> MaskReader:
    """Reader of one mask, or of several that are joined."""
    if len(masks) == 1:
        return FileMask(masks[0])
    plain = min(masks, key=lambda mask: len(mask.name))
    path = (
        plain if all(len(m.name) > len(plain.name) for m in masks if m != plain) else plain.parent
    )
    return JoinedMask(path, tuple(FileMask(mask) for mask in masks))


def _relative_folder(file: Path, root: Path) -> str:
    """Folders between `root` and a file, with slashes."""
    if not file.is_relative_to(root):
        return ""
    relative = file.parent.relative_to(root).as_posix()
    return "" if relative == "." else relative


def _describe_left(
    search: Search,
    pairs: Sequence[tuple[Path, tuple[Path, ...]]],
    masks: Sequence[Path],
) -> Iterator[Problem]:
    """Report files without a partner, and folders that were not used."""
    with_mask = {image for image, _ in pairs}
    with_image = {mask for _, found in pairs for mask in found}
    taken = set(masks)
    for place in search.places:
        unread = _list_unread(place)
        for file in place.images:
            if file not in with_mask:
                yield _describe_single(file, "mask", unread)
        for file in place.masks:
            if file not in with_image and file in taken:
                yield _describe_single(file, "image", unread)
        if unread:
            names = ", ".join(path.name for path in unread[:_SHOWN])
            more = " ..." if len(unread) > _SHOWN else ""
            message = f"{len(unread)} files have an unsupported format: {names}{more}"
            yield Problem("unpaired", str(unread[0].parent), message)
        if results := _list_results(place):
            message = f"{len(results)} files look like results of a program, not images: "
            yield Problem("unpaired", str(place.image_root), f"{message}e.g. {results[0].name}")
    for folder in search.unused:
        message = (
            f"{folder.path} was not used: {len(folder.files)} images, e.g. {folder.files[0].name}"
        )
        yield Problem("unpaired", str(folder.path), message)


def _list_unread(place: Place) -> list[Path]:
    """Files in the folders of a place that may be images of an unsupported format."""
    roots = dict.fromkeys((place.image_root, place.mask_root))
    return [file for root in roots for file in list_left_out(root) if file.is_file()]


def _list_results(place: Place) -> list[Path]:
    """Images in the folder of a place that were ignored because of their names."""
    if not place.mixed:
        return []
    used = {*place.images, *place.masks}
    return [file for file in iter_image_files(place.image_root) if file not in used]


def _describe_single(file: Path, other: str, unread: Sequence[Path]) -> Problem:
    """Report a file without a partner, or whose partner has an unsupported format."""
    message = f"{file} has no {other} of its name; left out"
    stem = cut_suffix(file.name)
    if partner := next((path for path in unread if cut_suffix(path.name) == stem), None):
        message += f" ({partner} has an unsupported format)"
    return Problem("unpaired", str(file), message)


def _describe_failure(search: Search, rivals: Sequence[str], suffix: str | None) -> str:
    """Describe what was found, and why there are no pairs."""
    place = search.places[0]
    images, masks = (
        _count(files, what) for files, what in ((place.images, "image"), (place.masks, "mask"))
    )
    more = f" (and {len(search.places) - 1} more folders)" if len(search.places) > 1 else ""
    found = f"{place.image_root} holds {images}, {place.mask_root} holds {masks}{more}"
    if not place.images or not place.masks:
        return f"{found}: there is nothing to pair."
    if suffix is not None and not find_suffixed(place.masks, suffix):
        return f"{found}, but no mask name contains {suffix!r}."
    if rivals:
        shown = ", ".join(repr(rival) for rival in rivals[:_SHOWN])
        return f"{found}, of several kinds that fit equally well: their names add {shown}."
    return f"{found}, but their names do not show which mask belongs to which image."


def _count(files: Sequence[Path], what: str) -> str:
    """Count files, with an example."""
    such = f", such as {files[0].name}" if files else ""
    return f"{len(files) or 'no'} {what}{'s' * (len(files) != 1)}{such}"


LAYOUT: Final = Layout(
    "pairs",
    "images/ beside masks/ (or inputs, raw, ... beside labels, gt, ...), also inside train/, "
    "val/, test/; or one folder with a.png and a_mask.png",
    recognise,
    read,
)
