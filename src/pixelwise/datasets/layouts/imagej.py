"""ImageJ and Fiji: regions of the ROI Manager, one zip (or one ``.roi``) per image.

``cells.tif`` with ``cells.zip``, ``cells_RoiSet.zip``, ``RoiSet_cells.zip`` or ``cells.roi``,
beside it or in a separate folder; a single ``RoiSet.zip`` belongs to the single image beside it.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.legend import Label, create_legend
from pixelwise.datasets.annotations.rois import (
    OBJECT,
    LabelBy,
    Roi,
    RoiFile,
    RoiMask,
    choose_labels,
    name_label,
    read_rois,
)
from pixelwise.datasets.layouts.annotated import (
    iter_files,
    iter_tree,
    list_images,
    match_by_name,
    named_folder,
    split_inside,
)
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage
from pixelwise.errors import DataError
from pixelwise.images import iter_image_files

_WORD: Final = re.compile(
    r"^roi[_\-. ]?(?:sets?|s)?(?:[_\-. ]+|$)|[_\-. ]+roi[_\-. ]?(?:sets?|s)?$", re.IGNORECASE
)


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    file = next(_iter_roi_files(path), None)
    return f"found ImageJ regions such as {file.relative_to(path)}" if file else None


def read(config: DataConfig) -> Listing:
    """List every image with its regions."""
    folder = named_folder(config, config.masks, "masks") or config.path
    images = list_images(iter_tree(named_folder(config, config.images, "images") or config.path))
    paths = list(_iter_roi_files(folder))
    if not paths:
        raise DataError(
            f"{folder} has no ImageJ regions; expected NAME_RoiSet.zip or NAME.roi per image. "
            "Save them in the ROI Manager: More > Save."
        )
    matches = match_by_name(images, paths, key=_name_images, root=config.path)
    files = {path: read_rois(path) for _, path in matches.pairs}
    rois = [roi for file in files.values() for roi in file.rois]
    label_by = choose_labels(rois)
    how = "" if label_by == "nothing" else f" by their {label_by}s"
    legend = create_legend(
        [Label(name) for name in _list_labels(rois, label_by)],
        config,
        f"ImageJ's regions{how}, drawn from the largest to the smallest",
    )
    entries = tuple(
        Entry(
            image.stem,
            split_inside(image, config.path),
            FileImage(image, config.axes),
            RoiMask(path, legend.values, legend.background, label_by),
        )
        for image, path in matches.pairs
    )
    problems = (*matches.problems, *_describe(list(files.values())))
    return Listing(entries, problems, legend.scheme, settled=True)


def _iter_roi_files(path: Path) -> Iterator[Path]:
    """Files of regions in a folder or below it."""
    if path.is_dir():
        files = iter_files(iter_tree(path), ".roi", ".zip")
        yield from (f for f in files if f.suffix.lower() == ".roi" or _holds_regions(f))


def _holds_regions(path: Path) -> bool:
    """Whether a zip holds regions."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        return False


def _name_images(path: Path) -> set[str]:
    """Possible stems of the image of a region file."""
    stem = _WORD.sub("", path.stem)
    if stem:
        return {path.stem, stem}
    alone = list(iter_image_files(path.parent))
    return {path.stem, *(image.stem for image in alone if len(alone) == 1)}


def _list_labels(rois: Sequence[Roi], label_by: LabelBy) -> list[str]:
    """Labels that occur, sorted by number or name, so independent of their frequency."""
    if label_by == "name":
        return sorted({name_label(roi, label_by) for roi in rois})
    groups = sorted({roi.group for roi in rois if roi.group}) if label_by == "group" else []
    bare = any(name_label(roi, label_by) == OBJECT for roi in rois)
    return [OBJECT] * (bare or not groups) + [f"group {group}" for group in groups]


def _describe(files: Sequence[RoiFile]) -> list[Problem]:
    """Note what was left out of all files."""
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(dict(file.notes))
    return [Problem("note", "all files of regions", f"{n} {text}") for text, n in counts.items()]


LAYOUT: Final = Layout(
    "imagej",
    "regions saved by ImageJ's ROI Manager: cells.tif with cells_RoiSet.zip, cells.zip or "
    "cells.roi",
    recognise,
    read,
    drawn=True,
)
