"""CamVid as SegNet's authors arranged it: ``train`` with ``trainannot``, and so on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pixelwise.classes import VOID, create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.base import Entry, Layout, Listing, iter_folders
from pixelwise.datasets.mapping import ClassMap, ClassScheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask
from pixelwise.datasets.sample import SPLIT_NAMES
from pixelwise.images import iter_image_files

_ANNOTATED: Final = "annot"
_VOID_VALUE: Final = 11

# Colours of the CamVid data set (Brostow et al. 2009), merged to 11 classes as in SegNet's.
_CLASSES: Final = (
    ("Sky", "#808080"), ("Building", "#800000"), ("Pole", "#c0c080"), ("Road", "#804080"),
    ("Pavement", "#3c28de"), ("Tree", "#808000"), ("SignSymbol", "#c08080"),
    ("Fence", "#404080"), ("Car", "#400080"), ("Pedestrian", "#404000"), ("Bicyclist", "#0080c0"),
)  # fmt: skip


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    names = [f"{images.name}/ with {masks.name}/" for images, masks in _iter_folders(path)]
    return f"holds {', '.join(names)}" if names else None


def read(config: DataConfig) -> Listing:
    """List every image with the annotation of the same name."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for folder, annotated in _iter_folders(config.path):
        split = SPLIT_NAMES.get(folder.name.lower())
        masks = {file.stem: file for file in iter_image_files(annotated)}
        for image in iter_image_files(folder):
            if mask := masks.pop(image.stem, None):
                entries.append(
                    Entry(image.stem, split, FileImage(image, config.axes), FileMask(mask))
                )
            else:
                message = f"no annotation of this name in {annotated.name}/; left out"
                problems.append(Problem("unpaired", str(image), message))
        problems += [
            Problem("unpaired", str(mask), f"no image of this name in {folder.name}/; left out")
            for mask in masks.values()
        ]
    return Listing(tuple(entries), tuple(problems), create_camvid_scheme())


def create_camvid_scheme() -> ClassScheme:
    """Return the 11 classes; 11 is void."""
    names, colors = zip(*_CLASSES, strict=True)
    table = (*((index, index) for index in range(len(names))), (_VOID_VALUE, VOID))
    return ClassScheme(
        create_classes(names, colors),
        ClassMap(table),
        f"CamVid's 11 classes, 0 = Sky to 10 = Bicyclist; {_VOID_VALUE} = void",
        background=None,
    )


def _iter_folders(path: Path) -> Iterator[tuple[Path, Path]]:
    """Folders of a split with their annotation folders."""
    for folder in iter_folders(path):
        annotations = path / f"{folder.name}{_ANNOTATED}"
        if folder.name.lower() in SPLIT_NAMES and annotations.is_dir():
            yield folder, annotations


LAYOUT: Final = Layout(
    "camvid", "train/ with trainannot/, val/ with valannot/, test/ with testannot/", recognise, read
)
