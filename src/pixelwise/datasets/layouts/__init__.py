"""The registry of layouts, and how ``auto`` chooses among them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from pixelwise.datasets.layouts import (
    camvid,
    cellpose,
    cityscapes,
    coco,
    dsb2018,
    imagej,
    labelme,
    monuseg,
    nnunet,
    pairs,
    patches,
    qupath,
    roboflow,
    voc,
)
from pixelwise.datasets.layouts.base import Entry, Layout, Listing, iter_folders
from pixelwise.datasets.layouts.foreign import describe_foreign
from pixelwise.errors import DataError, ReadError, require_name

LAYOUTS: Final[dict[str, Layout]] = {
    module.LAYOUT.name: module.LAYOUT
    for module in (
        *(patches, cityscapes, dsb2018, camvid, voc, nnunet, roboflow, cellpose),
        *(coco, labelme, qupath, imagej, monuseg, pairs),
    )
}
"""All layouts, the most special first: ``auto`` takes the first that recognises a folder."""


class Found(NamedTuple):
    """A layout, the folder it was recognised in, and why."""

    layout: Layout
    root: Path
    reason: str


def find_layout(path: Path, name: str = "auto") -> Found:
    """Layout of a folder: the one called `name`, or with ``auto`` the first that fits.

    A folder whose only fitting content is one sub-folder is read as that sub-folder.

    Raises
    ------
    ReadError
        The folder is missing, a file, or a zip archive.
    DataError
        Nothing was recognised; the message says what was looked for.
    UnknownNameError
        There is no layout of this name.
    """
    _require_folder(path)
    layouts = list(LAYOUTS.values())
    if name != "auto":
        layouts = [LAYOUTS[require_name("layout", name, LAYOUTS)]]
    if found := _recognise(path, layouts):
        return found
    inside = [found for folder in iter_folders(path) if (found := _recognise(folder, layouts))]
    if len(inside) == 1:
        layout, root, reason = inside[0]
        return Found(layout, root, f"in {root.name}/: {reason}")
    raise DataError(_describe_failure(path, layouts, inside=inside))


def _recognise(path: Path, layouts: list[Layout]) -> Found | None:
    """First of `layouts` that recognises `path`."""
    for layout in layouts:
        if reason := layout.recognise(path):
            return Found(layout, path, reason)
    return None


def _require_folder(path: Path) -> None:
    """Raise if `path` is no folder."""
    if path.is_dir():
        return
    if not path.exists():
        raise ReadError(f"The data folder {path} does not exist. Check the path.")
    if path.suffix.lower() in (".zip", ".gz", ".tar", ".tgz", ".7z"):
        raise ReadError(f"{path} is an archive: unpack it and give the folder it makes.")
    raise ReadError(f"Expected a folder with images and masks, found the file {path}.")


def _describe_failure(path: Path, layouts: list[Layout], *, inside: list[Found]) -> str:
    """Say what was looked for and what was there instead."""
    if inside:
        folders = ", ".join(f"{found.root.name}/ ({found.layout.name})" for found in inside)
        return f"{path} holds several data sets: {folders}. Give one of these folders."
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    held = ", ".join(entries[:8]) + (" ..." if len(entries) > 8 else "") if entries else "nothing"
    if foreign := describe_foreign(path):
        return f"{path} holds no images with masks that can be read. {foreign}"
    looked = "\n".join(f"  {layout.name}: {layout.looks_for}" for layout in layouts)
    return (
        f"No images with masks were recognised in {path}, which holds {held}. Looked for:\n"
        f"{looked}\nArrange the files in one of these ways, or name the folders with images and "
        "masks."
    )


__all__ = ["LAYOUTS", "Entry", "Found", "Layout", "Listing", "find_layout"]
