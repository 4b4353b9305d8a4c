"""Cityscapes: ``leftImg8bit/<split>/<city>/`` with ``gtFine/.../*_gtFine_labelIds.png``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pixelwise.classes import VOID, create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.base import Entry, Layout, Listing, iter_folders
from pixelwise.datasets.mapping import ClassMap, ClassScheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask
from pixelwise.datasets.sample import SPLIT_NAMES

_IMAGES: Final = "leftImg8bit"
_MASKS: Final = "gtFine"
_IMAGE_END: Final = "_leftImg8bit.png"
_MASK_END: Final = "_gtFine_labelIds.png"

# labelId, name, colour of the 19 classes, in the order of their trainIds (cityscapesScripts).
_CLASSES: Final = (
    (7, "road", "#804080"), (8, "sidewalk", "#f423e8"), (11, "building", "#464646"),
    (12, "wall", "#66669c"), (13, "fence", "#be9999"), (17, "pole", "#999999"),
    (19, "traffic light", "#faaa1e"), (20, "traffic sign", "#dcdc00"),
    (21, "vegetation", "#6b8e23"), (22, "terrain", "#98fb98"), (23, "sky", "#4682b4"),
    (24, "person", "#dc143c"), (25, "rider", "#ff0000"), (26, "car", "#00008e"),
    (27, "truck", "#000046"), (28, "bus", "#003c64"), (31, "train", "#005064"),
    (32, "motorcycle", "#0000e6"), (33, "bicycle", "#770b20"),
)  # fmt: skip


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    if (path / _IMAGES).is_dir() and (path / _MASKS).is_dir():
        return f"holds {_IMAGES}/ and {_MASKS}/"
    return None


def read(config: DataConfig) -> Listing:
    """List every image with its labelIds, in city folders or flat under the split."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for folder in iter_folders(config.path / _IMAGES):
        split = SPLIT_NAMES.get(folder.name.lower())
        masks = _find_files(config.path / _MASKS / folder.name, _MASK_END)
        for name, image in _find_files(folder, _IMAGE_END).items():
            if mask := masks.pop(name, None):
                entries.append(Entry(name, split, FileImage(image, config.axes), FileMask(mask)))
            else:
                expected = f"no {name}{_MASK_END} under {_MASKS}/{folder.name}; left out"
                problems.append(Problem("unpaired", str(image), expected))
        problems += [
            Problem("unpaired", str(mask), f"no {name}{_IMAGE_END}; left out")
            for name, mask in masks.items()
        ]
    return Listing(tuple(entries), tuple(problems), create_cityscapes_scheme())


def create_cityscapes_scheme() -> ClassScheme:
    """Return the 19 classes of the benchmark; every other labelId is void."""
    label_ids, names, colors = zip(*_CLASSES, strict=True)
    return ClassScheme(
        create_classes(names, colors),
        ClassMap(tuple((label, index) for index, label in enumerate(label_ids)), rest=VOID),
        "Cityscapes labelIds: the 19 classes of the benchmark, all else = void",
        background=None,
    )


def _find_files(folder: Path, end: str) -> dict[str, Path]:
    """Files below `folder` with this ending, by the rest of their name."""
    found = sorted(folder.rglob(f"*{end}"), key=lambda file: file.name)
    return {file.name.removesuffix(end): file for file in found}


LAYOUT: Final = Layout(
    "cityscapes",
    "leftImg8bit/<split>/<city>/*_leftImg8bit.png and gtFine/<split>/.../*_gtFine_labelIds.png",
    recognise,
    read,
)
