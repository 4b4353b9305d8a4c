"""COCO JSON: one annotation file for all images of a split, also in Roboflow's arrangement.

``train/_annotations.coco.json`` beside its images, ``annotations/instances_train2017.json`` with
``train2017/``, or elsewhere: the images are searched by their file names, but never outside the
data folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.coco import CocoFile, CocoImage, CocoMask, read_coco
from pixelwise.datasets.annotations.legend import Label, Legend, create_legend
from pixelwise.datasets.annotations.sniffing import COCO
from pixelwise.datasets.layouts.annotated import (
    find_annotation,
    find_split,
    find_split_word,
    iter_annotations,
    iter_tree,
    named_folder,
    resolve_inside,
)
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage
from pixelwise.datasets.sample import Split
from pixelwise.errors import DataError, quote_value
from pixelwise.images import iter_image_files

_DEPTH: Final = 2
_TRIED: Final = 50
_INSTANCES: Final = "instances"
_OTHER_TASKS: Final = ("captions", "panoptic", "stuff", "person_keypoints", "image_info")


@dataclass(frozen=True)
class _Source:
    """An annotation file, the folder of its images, and their split; names stay inside `root`."""

    coco: CocoFile
    base: Path
    root: Path
    split: Split | None


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    file = find_annotation(path, COCO, depth=_DEPTH)
    return f"found COCO annotations in {file.relative_to(path)}" if file else None


def read(config: DataConfig) -> Listing:
    """List every image of every annotation file, with a mask that is drawn from it."""
    files = _choose_files(config)
    if not files:
        raise DataError(
            f"{config.path} has no COCO JSON file; expected one beside the images, in "
            "annotations/, or in train/, valid/ and test/. Name it with 'masks'."
        )
    sources = [_find_source(read_coco(file), config) for file in files]
    legend = _create_legend(sources, config)
    entries: list[Entry] = []
    problems: list[Problem] = []
    for source in sources:
        found, said = _list_source(source, config, legend)
        entries += found
        problems += said
    _require_one_annotation_each(entries)
    return Listing(tuple(entries), tuple(problems), legend.scheme, settled=True)


def _choose_files(config: DataConfig) -> list[Path]:
    """Files that the config names, else those of instances, else all of this format."""
    named = named_folder(config, config.masks, "masks")
    if named is not None and named.is_file():
        return [named]
    files = list(iter_annotations(named or config.path, COCO, depth=_DEPTH))
    instances = [file for file in files if file.name.startswith(_INSTANCES)]
    if instances:
        return [file for file in files if not file.name.startswith(_OTHER_TASKS)]
    return files


def _find_source(coco: CocoFile, config: DataConfig) -> _Source:
    """Find the folder with the images of a file; `DataError` if two folders have them."""
    inside = coco.path.is_relative_to(config.path)
    split = (find_split(coco.path, config.path) if inside else None) or find_split_word(
        coco.path.stem
    )
    named = named_folder(config, config.images, "images")
    root = named or config.path
    scores = _score_folders(coco, root, split)
    if not scores:
        return _Source(coco, named or (coco.path.parent if inside else root), root, split)
    best = max(scores.values())
    folders = [folder for folder, score in scores.items() if score == best]
    if len(folders) > 1:
        listed = " and ".join(str(folder) for folder in folders[:3])
        raise DataError(
            f"The images of {coco.path} are in {listed}: name the right folder with 'images'."
        )
    return _Source(coco, folders[0], root, split or find_split(folders[0] / "x", root))


def _score_folders(
    coco: CocoFile, root: Path, split: Split | None
) -> dict[Path, tuple[int, bool, bool]]:
    """Rate the folders below `root` that have images of a file.

    By their number, whether the folder matches the file's split, and whether it is the file's own.
    """
    names = [image.file_name for image in coco.images.values()]
    names = names[:: max(len(names) // _TRIED, 1)]
    scores = {}
    for folder in iter_tree(root):
        own = find_split(folder / "x", root) or find_split_word(folder.name)
        if split and own and own != split:
            continue
        paths = [resolve_inside(root, folder, name) for name in names]
        if count := sum(path is not None and path.is_file() for path in paths):
            scores[folder] = (count, own is not None, folder == coco.path.parent)
    return scores


def _create_legend(sources: Sequence[_Source], config: DataConfig) -> Legend:
    """Classes of all files, in the order of the first one's ids, without mere groups."""
    names: dict[str, None] = {}
    for source in sources:
        groups = _find_groups(source.coco, [other.coco for other in sources])
        names |= {c.name: None for c in source.coco.categories.values() if c.name not in groups}
    listed = ", ".join(source.coco.path.name for source in sources[:3])
    return create_legend(
        [Label(name) for name in names],
        config,
        f"categories of {listed}, drawn from the largest object to the smallest, crowds = void",
    )


def _find_groups(coco: CocoFile, files: Sequence[CocoFile]) -> set[str]:
    """Unused categories that only group others, such as Roboflow's first."""
    used = {file.categories[identity].name for file in files for identity in file.used}
    parents = {c.parent for c in coco.categories.values() if c.name != c.parent}
    return {c.name for c in coco.categories.values() if c.name in parents and c.name not in used}


def _list_source(
    source: _Source, config: DataConfig, legend: Legend
) -> tuple[list[Entry], list[Problem]]:
    """Entries of one file, and problems of its images."""
    coco = source.coco
    problems = [Problem("note", str(coco.path), note) for note in coco.notes]
    entries: list[Entry] = []
    for identity, image in coco.images.items():
        path = resolve_inside(source.root, source.base, image.file_name)
        if path is not None and path.exists():
            mask = CocoMask(coco.path, identity, legend.values, legend.background)
            reader = FileImage(path, config.axes)
            entries.append(Entry(path.stem, source.split, reader, mask))
        else:
            problems.append(_describe_missing(coco, image, outside=path is None))
    listed = {entry.image.path for entry in entries}
    problems += [
        Problem("unpaired", str(file), f"{file} is not listed in {coco.path.name}; left out")
        for file in iter_image_files(source.base)
        if file not in listed
    ]
    empty = sum(not image.objects for image in coco.images.values())
    if empty:
        message = f"{empty} of {len(coco.images)} images have no annotation: all background"
        problems.append(Problem("note", str(coco.path), message))
    return entries, problems


def _describe_missing(coco: CocoFile, image: CocoImage, *, outside: bool) -> Problem:
    """Report an image that is missing or outside the data folder."""
    if outside:
        message = (
            f"{coco.path} names the image {quote_value(image.file_name)}, which is outside the "
            "data folder "
            "and is not read; use names relative to the folder of the images"
        )
        return Problem("unpaired", str(coco.path), message, fatal=True)
    message = f"{coco.path} lists {quote_value(image.file_name)}, which is missing; left out"
    return Problem("unpaired", str(coco.path), message)


def _require_one_annotation_each(entries: Sequence[Entry]) -> None:
    """Raise if an image is listed twice: its mask would be incomplete, or in two splits."""
    counts = Counter(entry.image.path for entry in entries)
    path, count = max(counts.items(), key=lambda item: item[1], default=(None, 0))
    if count > 1:
        files = sorted({str(entry.mask.path) for entry in entries if entry.image.path == path})
        raise DataError(
            f"{path} is listed {count} times, in {' and '.join(files)}: one image has one mask "
            "and one split. Name the right file with 'masks', or list the image once."
        )


LAYOUT: Final = Layout(
    "coco",
    "COCO JSON with polygons or runs: train/_annotations.coco.json beside its images, or "
    "annotations/instances_train.json with train/ or images/train/",
    recognise,
    read,
    drawn=True,
)
