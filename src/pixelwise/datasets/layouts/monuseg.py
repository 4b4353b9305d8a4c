"""MoNuSeg: tissue images with binary masks, XML polygons, or both.

Folders as in the official archives (``Tissue Images`` with ``Annotations``, or images and XML side
by side in the test set) and as in common copies (``Tissue_Images``, ``Binary_masks``). Binary
masks are preferred; ``masks=Annotations`` asks for the polygons.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.base import Entry, Layout, Listing, find_folder
from pixelwise.datasets.mapping import create_instance_scheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask, MaskReader, PolygonMask
from pixelwise.errors import ReadError
from pixelwise.images import iter_image_files
from pixelwise.parsing import open_regular

_IMAGES: Final = frozenset({"tissueimages"})
_BINARY: Final = frozenset({"binarymasks", "binarymask", "masks", "groundtruth", "labels"})
_POLYGONS: Final = frozenset({"annotations", "annotation"})


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    if images := find_folder(path, _IMAGES):
        masks = [f for names in (_BINARY, _POLYGONS) if (f := find_folder(path, names))]
        found = [f"{folder.name}/" for folder in (images, *masks)]
        return f"holds {', '.join(found)}" if masks else None
    if path.is_dir() and any(_has_polygons(xml) for xml in sorted(path.glob("*.xml"))[:1]):
        return "holds images and XML annotations of the same names"
    return None


def read(config: DataConfig) -> Listing:
    """List every tissue image with its binary mask or its polygons."""
    folder = find_folder(config.path, _IMAGES) or config.path
    masks = _find_masks(config, folder)
    entries: list[Entry] = []
    problems: list[Problem] = []
    for image in iter_image_files(folder):
        mask = masks.pop(image.stem, None)
        if mask is None:
            message = "no mask or annotation of this name; left out"
            problems.append(Problem("unpaired", str(image), message))
        else:
            entries.append(Entry(image.stem, None, FileImage(image, config.axes), mask))
    problems += [
        Problem("unpaired", str(mask.path), "no image of this name; left out")
        for mask in masks.values()
    ]
    scheme = create_instance_scheme("nuclei as masks or polygons", name="nucleus")
    return Listing(tuple(entries), tuple(problems), scheme)


def _find_masks(config: DataConfig, images: Path) -> dict[str, MaskReader]:
    """Mask of every stem: binary if there is one, else polygons."""
    if config.masks is not None:
        folder = config.path / config.masks
        if not folder.is_dir():
            raise ReadError(f"The masks folder {folder} is missing; check 'masks'.")
        return _list_polygons(folder) | _list_binary(folder)
    binary = find_folder(config.path, _BINARY)
    polygons = find_folder(config.path, _POLYGONS) or images
    return _list_polygons(polygons) | (_list_binary(binary) if binary else {})


def _list_polygons(folder: Path) -> dict[str, MaskReader]:
    """XML files of a folder by stem."""
    return {xml.stem: PolygonMask(xml) for xml in sorted(folder.glob("*.xml"))}


def _list_binary(folder: Path) -> dict[str, MaskReader]:
    """Mask images of a folder by stem."""
    return {file.stem: FileMask(file) for file in iter_image_files(folder)}


def _has_polygons(xml: Path) -> bool:
    """Whether an XML file starts like an annotation and is beside an image of its name."""
    with open_regular(xml) as file:
        start = file.read(1024)
    beside = any(xml.with_suffix(suffix).is_file() for suffix in (".tif", ".tiff", ".png"))
    return b"<Annotations" in start and beside


LAYOUT: Final = Layout(
    "monuseg",
    "Tissue Images/ with Binary_masks/ or Annotations/*.xml, or images beside their XML",
    recognise,
    read,
)
