"""Pascal VOC, CVAT's "Segmentation mask 1.1", and LabelMe's export in VOC style.

``JPEGImages/`` and ``SegmentationClass/`` with files of the same names, including sub-folders.
Classes come from ``labelmap.txt`` (CVAT: names and colours) or ``class_names.txt`` (LabelMe: names
in the order of the indices); folders that look like VOC itself, with its palette, have VOC's 21.
``ImageSets/Segmentation/*.txt`` are the splits. ``SegmentationObject/`` numbers objects and is not
read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pixelwise.classes import VOID
from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.legend import Label, Legend, create_legend
from pixelwise.datasets.annotations.voc import (
    BORDER,
    ColorMask,
    has_voc_palette,
    list_voc_labels,
    read_labelmap,
)
from pixelwise.datasets.layouts.annotated import iter_files, iter_tree, named_folder
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.mapping import ClassMap, ClassScheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask, MaskReader
from pixelwise.datasets.sample import SPLIT_NAMES, Split
from pixelwise.errors import ConfigError, DataError
from pixelwise.images import iter_image_files
from pixelwise.parsing import read_bytes, read_text

_IMAGES: Final = "JPEGImages"
_MASKS: Final = ("SegmentationClass", "SegmentationClassPNG")
_LISTS: Final = "ImageSets/Segmentation"
_LABELMAP: Final = "labelmap.txt"
_CLASS_NAMES: Final = "class_names.txt"
_VOC_STEM: Final = re.compile(r"\d{4}_\d{6}")
_SHOWN: Final = 5


@dataclass(frozen=True)
class _Classes:
    """The classes of masks, and the colours of their indices if classes are given by colour."""

    scheme: ClassScheme | None = None
    colors: tuple[int, ...] | None = None
    settled: bool = False
    problems: tuple[Problem, ...] = ()

    def create_reader(self, path: Path) -> MaskReader:
        """Reader of one mask."""
        return FileMask(path) if self.colors is None else ColorMask(path, self.colors)


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    masks = _find_masks(path)
    signs = [name for name in (_IMAGES, _LABELMAP, _LISTS) if (path / name).exists()]
    if masks is None or not signs:
        return None
    return f"holds {masks.name}/ and {', '.join(signs)}"


def read(config: DataConfig) -> Listing:
    """List every image with the class mask of its name."""
    images = _list_by_name(named_folder(config, config.images, "images") or _find_images(config))
    folder = named_folder(config, config.masks, "masks") or _find_masks(config.path)
    if folder is None:
        raise DataError(
            f"{config.path} has no SegmentationClass/ with images. Name the folder of the class "
            "masks with 'masks'."
        )
    masks = _list_by_name(folder)
    lists = _read_lists(config.path / _LISTS, images)
    splits, problems = _assign_splits(lists, images, masks)
    classes = _read_classes(config, masks)
    chosen = [name for name in images if name in masks and (not splits or name in splits)]
    entries = tuple(
        Entry(
            Path(name).name,
            splits.get(name),
            FileImage(images[name], config.axes),
            classes.create_reader(masks[name]),
        )
        for name in chosen
    )
    problems += _describe_unpaired(
        images, masks, listed={n for names in lists.values() for n in names}
    )
    if splits:
        problems += _describe_unlisted([name for name in images if name in masks], splits, folder)
    return Listing(entries, (*problems, *classes.problems), classes.scheme, settled=classes.settled)


def _find_images(config: DataConfig) -> Path:
    """Folder of the images; `DataError` if it is missing, as in CVAT's default export."""
    if (folder := config.path / _IMAGES).is_dir():
        return folder
    raise DataError(
        f"{config.path} has masks but no {_IMAGES}/. Export again with 'Save images' ticked "
        "(CVAT), or name the folder of the images with 'images'."
    )


def _find_masks(path: Path) -> Path | None:
    """Folder of the class masks: the first that has images."""
    for name in _MASKS:
        if (path / name).is_dir() and any(_iter_images(path / name)):
            return path / name
    return None


def _iter_images(folder: Path) -> Iterator[Path]:
    """Images in a folder and below it, without NumPy arrays, which LabelMe adds."""
    for inner in iter_tree(folder):
        yield from (f for f in iter_image_files(inner) if f.suffix.lower() not in (".npy", ".npz"))


def _list_by_name(folder: Path) -> dict[str, Path]:
    """Images by their path below `folder`, without suffix; `DataError` if two have one name."""
    found: dict[str, Path] = {}
    for file in _iter_images(folder):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{found[name]} and {file} have one name; keep one of them.")
        found[name] = file
    return found


def _read_lists(folder: Path, images: Mapping[str, Path]) -> dict[str, list[str]]:
    """Names in every list of a folder, by the name of the list."""
    if not folder.is_dir():
        return {}
    lists = {}
    for file in iter_files([folder], ".txt"):
        lines = read_text(file, what="list").splitlines()
        names = [line.strip().strip("\"'") for line in lines]
        lists[file.stem] = [_find_name(name, images) for name in names if name]
    return lists


def _find_name(name: str, images: Mapping[str, Path]) -> str:
    """Image name for an entry of a list, which may add a suffix, or VOC's 1 or -1."""
    shorter = (Path(name).with_suffix("").as_posix(), re.sub(r"\s+-?[01]$", "", name))
    return next((found for found in (name, *shorter) if found in images), name)


def _assign_splits(
    lists: Mapping[str, list[str]], images: Mapping[str, Path], masks: Mapping[str, Path]
) -> tuple[dict[str, Split], list[Problem]]:
    """Split of every listed name, and missing names; `DataError` if a name is in two splits."""
    splits: dict[str, Split] = {}
    problems = []
    for title, names in lists.items():
        split = SPLIT_NAMES.get(title.lower())
        for name in names if split else ():
            if splits.setdefault(name, split) != split:  # type: ignore[arg-type]
                raise DataError(
                    f"{_LISTS} lists {name} for {splits[name]} and for {split}: an image belongs "
                    "to one split. Remove it from one list."
                )
        missing = [name for name in names if name not in images]
        without = [name for name in names if name in images and name not in masks]
        for what, found in (("no image", missing), ("no mask", without)):
            if found:
                message = f"{_LISTS}/{title}.txt lists {len(found)} names with {what}: "
                problems.append(Problem("unpaired", f"{title}.txt", message + _shorten(found)))
    return splits, problems


def _describe_unpaired(
    images: Mapping[str, Path], masks: Mapping[str, Path], *, listed: Iterable[str]
) -> list[Problem]:
    """Report images without a mask and masks without an image, except the `listed` ones."""
    known = set(listed)
    problems = [
        Problem("unpaired", str(masks[name]), f"{masks[name]} has no image; left out")
        for name in masks
        if name not in images
    ]
    without = [name for name in images if name not in masks and name not in known]
    if without:
        message = f"{len(without)} images have no mask and are left out: {_shorten(without)}"
        problems.append(Problem("unpaired", str(images[without[0]]), message))
    return problems


def _describe_unlisted(
    paired: list[str], splits: Mapping[str, Split], folder: Path
) -> list[Problem]:
    """Report masks that are in no list of a split."""
    left = [name for name in paired if name not in splits]
    if not left:
        return []
    message = f"{len(left)} masks are in no list of {_LISTS} and are left out: {_shorten(left)}"
    return [Problem("note", str(folder), message)]


def _shorten(names: list[str]) -> str:
    """List the first few names."""
    return ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")


def _read_classes(config: DataConfig, masks: Mapping[str, Path]) -> _Classes:
    """Classes from the export, unless the user names values or colours."""
    said = config.classes if isinstance(config.classes, Mapping) else {}
    labels, where, problems = _find_labels(config.path, masks)
    if said and all(key.startswith("#") for key in said):
        return _Classes(colors=())
    if not labels or (said and all(re.fullmatch(r"-?\d+(\.0*)?", key) for key in said)):
        return _Classes(problems=tuple(problems))
    settled = bool(said) or config.classes == "instances"
    legend = create_legend(
        labels, config if settled else config.model_copy(update={"sparse": False}), where
    )
    colored = all(label.color for label in labels)
    if colored and config.void:
        raise ConfigError(
            f"void lists mask values, but these masks are read by the colours of {where}: name the "
            f"label instead (classes: {labels[-1].name}=void, with the other labels)."
        )
    scheme = _map_colors(legend, labels) if colored else _map_indices(legend, labels)
    packed = [int((label.color or "#0")[1:], 16) for label in labels]
    grey = all(color % 0x010101 == 0 for color in packed)
    colors = (() if grey else tuple(packed)) if colored else None
    return _Classes(scheme, colors, settled, tuple(problems))


def _find_labels(path: Path, masks: Mapping[str, Path]) -> tuple[list[Label], str, list[Problem]]:
    """Labels of the export in order, the file that lists them, and problems."""
    if (file := path / _LABELMAP).is_file() and (labels := read_labelmap(file)):
        return labels, _LABELMAP, []
    if (file := path / _CLASS_NAMES).is_file():
        lines = read_bytes(file, what="list").decode("utf-8", "replace").splitlines()
        names = [line.strip() for line in lines if line.strip() and line.strip() != "__ignore__"]
        if names and Label(names[0]).is_background:
            return [Label(name) for name in names], _CLASS_NAMES, []
        message = f"{file} does not begin with _background_: its names are not used"
        return [], "", [Problem("note", str(file), message)]
    looks_so = (path / _LISTS).is_dir() and all(_VOC_STEM.fullmatch(Path(n).name) for n in masks)
    first = next(iter(masks.values()), None)
    if looks_so and first is not None and has_voc_palette(first):
        return list_voc_labels(), "VOC's own palette of 21 classes", []
    return [], "", []


def _map_colors(legend: Legend, labels: list[Label]) -> ClassScheme:
    """Scheme from colours to classes; VOC's border is void, black is background."""
    values = legend.by_label
    table = {int((label.color or "#0")[1:], 16): values[label.name] for label in labels}
    table.setdefault(BORDER, VOID)
    if not any(label.is_background for label in labels):
        table.setdefault(0, legend.background)
    return replace(legend.scheme, class_map=ClassMap(tuple(table.items()), colors=True))


def _map_indices(legend: Legend, labels: list[Label]) -> ClassScheme:
    """Scheme from indices to classes; 255 and -1 are void."""
    values = legend.by_label
    table = {index: values[label.name] for index, label in enumerate(labels)}
    table |= {VOID: VOID, -1: VOID}
    return replace(legend.scheme, class_map=ClassMap(tuple(table.items())))


LAYOUT: Final = Layout(
    "voc",
    "Pascal VOC or CVAT's Segmentation mask 1.1: JPEGImages/ and SegmentationClass/, with "
    "labelmap.txt and ImageSets/Segmentation/ if there",
    recognise,
    read,
)
