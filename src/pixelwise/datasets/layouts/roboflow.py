"""Roboflow's "Semantic Segmentation Masks": ``x.jpg`` with ``x_mask.png`` and ``_classes.csv``."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Final

from pixelwise.classes import VOID
from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.legend import BACKGROUND, Label
from pixelwise.datasets.layouts.annotated import iter_tree, split_inside
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.mapping import VOID_NAME, ClassScheme, create_named_scheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask
from pixelwise.errors import DataError, ReadError, quote, quote_value
from pixelwise.images import iter_image_files
from pixelwise.parsing import read_text

_CLASSES: Final = "_classes.csv"
_MASK: Final = "_mask"
_VALUE: Final = re.compile(r"\s*\d{1,9}\s*")


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    folder = next(_iter_folders(path), None)
    if folder is None:
        return None
    return f"found {(folder / _CLASSES).relative_to(path)} and masks that end in {_MASK}.png"


def read(config: DataConfig) -> Listing:
    """List every image with the mask of its name, in all folders with a table of classes."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    names: dict[int, str] = {}
    for folder in _iter_folders(config.path):
        found, said = _list_folder(folder, config)
        entries += found
        problems += said
        table = folder / _CLASSES
        for value, name in (_read_classes(table) if table.is_file() else {}).items():
            if names.setdefault(value, name) != name:
                raise DataError(
                    f"{folder / _CLASSES} names the mask value {value} {quote_value(name)}, "
                    "another "
                    f"{_CLASSES} names it {quote_value(names[value])}: expected the same "
                    "classes in all "
                    "splits. Export them as one version of the data set."
                )
    if not names:
        message = f"no {_CLASSES} has lines such as '0, background': its names are not used"
        problems.append(Problem("note", str(config.path), message))
    return Listing(tuple(entries), tuple(problems), _create_scheme(names))


def _iter_folders(path: Path) -> Iterator[Path]:
    """Folders with masks, if one of them has a table of classes; those with a table first."""
    if not path.is_dir():
        return
    held = [
        folder
        for folder in iter_tree(path, depth=2)
        if any(file.stem.endswith(_MASK) for file in iter_image_files(folder))
    ]
    tables = [folder for folder in held if (folder / _CLASSES).is_file()]
    yield from tables
    yield from (folder for folder in held if tables and folder not in tables)


def _list_folder(folder: Path, config: DataConfig) -> tuple[list[Entry], list[Problem]]:
    """Images of a folder with their masks, and problems."""
    files = list(iter_image_files(folder))
    masks = {f.stem.removesuffix(_MASK): f for f in files if f.stem.endswith(_MASK)}
    entries: list[Entry] = []
    problems: list[Problem] = []
    for image in (file for file in files if not file.stem.endswith(_MASK)):
        if mask := masks.pop(image.stem, None):
            split = split_inside(image, config.path)
            entries.append(Entry(image.stem, split, FileImage(image, config.axes), FileMask(mask)))
        else:
            message = f"{image} has no {image.stem}{_MASK}.png; left out"
            problems.append(Problem("unpaired", str(image), message))
    problems += [
        Problem("unpaired", str(mask), f"{mask} has no image of its name; left out")
        for mask in masks.values()
    ]
    return entries, problems


def _read_classes(path: Path) -> dict[int, str]:
    """Mask value and name of each class; lines that do not start with a number are skipped."""
    text = read_text(path, what="list of classes")
    try:
        rows = list(csv.reader(StringIO(text, newline=""), skipinitialspace=True))
    except csv.Error as error:
        raise ReadError(f"Cannot read the classes {path} {quote(error)}. Correct it.") from error
    found: dict[int, str] = {}
    for row in rows:
        if len(row) < 2 or not _VALUE.fullmatch(row[0]):
            continue
        value, name = int(row[0]), ", ".join(row[1:]).strip()
        if not name or value in found:
            raise DataError(
                f"{path}: expected one name for each mask value, found {quote_value(row)}."
            )
        found[value] = name
    return found


def _create_scheme(names: dict[int, str]) -> ClassScheme | None:
    """Classes by their mask values in ascending order; None if they must be inferred."""
    labels = {value: Label(names[value]) for value in sorted(names)}
    if len(labels) < 2:
        return None
    spoken = {
        str(value): VOID_NAME if label.is_ignored or value == VOID else label.name
        for value, label in labels.items()
    }
    spoken = {k: BACKGROUND if Label(name).is_background else name for k, name in spoken.items()}
    scheme = create_named_scheme(spoken, f"as {_CLASSES} says")
    return scheme if labels.get(0, Label("")).is_background else scheme.for_sparse()


LAYOUT: Final = Layout(
    "roboflow",
    "Roboflow's masks: train/x.jpg with train/x_mask.png and train/_classes.csv",
    recognise,
    read,
)
