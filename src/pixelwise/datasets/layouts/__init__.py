"""The registry of layouts, and how ``auto`` chooses among them."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple, get_args

from pixelwise.config import DataConfig, LayoutName
from pixelwise.datasets.layouts import pairs
from pixelwise.datasets.layouts.base import Entry, Layout, Listing, iter_folders
from pixelwise.datasets.layouts.choices import list_choices
from pixelwise.datasets.layouts.folders import describe_unread, list_folders
from pixelwise.datasets.layouts.foreign import describe_foreign
from pixelwise.datasets.layouts.masks import UnclearPairsError
from pixelwise.errors import DataError, PixelwiseError, ReadError, require_name

LAYOUTS: Final[dict[str, Layout]] = {
    name: import_module(f"pixelwise.datasets.layouts.{name}").LAYOUT
    for name in get_args(LayoutName)
    if name != "auto"
}
"""All layouts, the most specific first: ``auto`` takes the first that recognises a folder."""

_SHOWN: Final = 6
_ADVICE: Final = (
    "\nGive each mask the name of its image, or the same suffix after it, and say that: "
    "--mask-suffix _mask."
)


class Found(NamedTuple):
    """A layout, the folder it was recognised in, and why."""

    layout: Layout
    root: Path
    reason: str


def list_data(config: DataConfig) -> tuple[Found, Listing]:
    """List images and masks in the config's folder, and how they were found.

    What the config specifies is used as given; only the rest is recognised.

    Raises
    ------
    ReadError
        A folder is missing, a file, or a zip archive.
    DataError
        Nothing was recognised, or several data sets; the message says what was found and what is
        missing, and suggests commands.
    UnknownNameError
        There is no layout of this name.
    """
    _require_folder(config.path)
    try:
        found = find_layout(config)
        return found, found.layout.read(config.model_copy(update={"path": found.root}))
    except UnclearPairsError as error:
        general = "" if config.mask_suffix else _ADVICE
        advice = _offer_choices(config) or describe_foreign(config.path) or general
        raise DataError(f"{error}{advice}") from error


def find_layout(config: DataConfig) -> Found:
    """Layout of the config's folder: the one given, or with ``auto`` the first that fits.

    If only one sub-folder fits, it is read instead. Errors as in `list_data`.
    """
    if config.layout != "auto":
        return _take_named(config, LAYOUTS[require_name("layout", config.layout, LAYOUTS)])
    path = config.path
    named = _names_images(config)
    special = [item for item in LAYOUTS.values() if item is not pairs.LAYOUT and not item.drawn]
    if not named and (found := _recognise_near(path, special)):
        return found
    try:
        reason, unclear = pairs.describe_pairs(config), None
    except UnclearPairsError as error:
        reason, unclear = None, error
    if reason:
        return Found(pairs.LAYOUT, path, reason)
    drawn = [item for item in LAYOUTS.values() if item.drawn]
    if config.mask_suffix is None and (found := _recognise_near(path, drawn)):
        return found
    if named and unclear is None:
        return Found(pairs.LAYOUT, path, "as given")
    raise unclear or DataError(_describe_failure(config, list(LAYOUTS.values())))


def _take_named(config: DataConfig, layout: Layout) -> Found:
    """Use the layout the user named, in the folder or the one sub-folder that has it."""
    if layout is pairs.LAYOUT:
        return Found(layout, config.path, pairs.describe_pairs(config) or "as given")
    if found := _recognise_near(config.path, [layout]):
        return found
    if config.images or config.masks or _holds_entries(config, layout):
        return Found(layout, config.path, "as given")
    raise DataError(_describe_failure(config, [layout]))


def _holds_entries(config: DataConfig, layout: Layout) -> bool:
    """Whether a folder that does not look like a layout can still be read as one."""
    try:
        return bool(layout.read(config).entries)
    except PixelwiseError:
        return False


def _recognise_near(path: Path, layouts: list[Layout]) -> Found | None:
    """First of `layouts` that recognises a folder, or the one that recognises a sub-folder.

    Raises
    ------
    DataError
        Several sub-folders are recognised.
    """
    if found := _recognise(path, layouts):
        return found
    inside = [found for folder in iter_folders(path) if (found := _recognise(folder, layouts))]
    if len(inside) > 1:
        raise DataError(_describe_several(path, inside))
    if not inside:
        return None
    return inside[0]._replace(reason=f"in {inside[0].root.name}/: {inside[0].reason}")


def _names_images(config: DataConfig) -> bool:
    """Whether the config names image folders or a suffix, so that nothing is recognised."""
    if config.mask_suffix is not None or config.images is not None:
        return True
    if config.masks is None:
        return False
    folder = config.path / config.masks
    return folder.is_dir() and bool(list_folders(folder))


def _recognise(path: Path, layouts: list[Layout]) -> Found | None:
    """First of `layouts` that recognises `path`."""
    for layout in layouts:
        if reason := layout.recognise(path):
            return Found(layout, path, reason)
    return None


def _require_folder(path: Path) -> None:
    """Raise if `path` is not a folder."""
    if path.is_dir():
        return
    if not path.exists():
        raise ReadError(f"The data folder {path} does not exist. Check the path.")
    if path.suffix.lower() in (".zip", ".gz", ".tar", ".tgz", ".7z"):
        raise ReadError(f"{path} is an archive: unpack it and give the resulting folder.")
    raise ReadError(f"Expected a folder with images and masks, found the file {path}.")


def _describe_several(path: Path, inside: list[Found]) -> str:
    """Explain that a folder holds several data sets."""
    folders = ", ".join(f"{found.root.name}/ ({found.layout.name})" for found in inside)
    return (
        f"{path} holds several data sets: {folders}. Give one of these folders: pixelwise inspect "
        f"{shlex.quote(str(inside[0].root))}"
    )


def _describe_failure(config: DataConfig, layouts: list[Layout]) -> str:
    """Describe what was looked for and what was found instead."""
    path = config.path
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    held = ", ".join(entries[:8]) + (" ..." if len(entries) > 8 else "") if entries else "nothing"
    choices = _offer_choices(config)
    if not choices and (foreign := describe_foreign(path)):
        return f"{path} has no images with supported masks.{foreign}"
    looked = "\n".join(f"  {layout.name}: {layout.looks_for}" for layout in layouts)
    return (
        f"No images with masks were recognised in {path}, which contains {held}. Looked for:\n"
        f"{looked}\nArrange the files in one of these ways, or name the folders with images and "
        f"masks.{choices or _describe_missing(config)}"
    )


def _offer_choices(config: DataConfig) -> str:
    """Return tested commands to choose from; empty if there are none."""
    choices = list_choices(config)
    listed = "".join(f"\n  {choice}" for choice in choices)
    return f"\nChoose one of these:{listed}" if choices else ""


def _describe_missing(config: DataConfig) -> str:
    """Describe whether images or masks were found, and what to do about the others."""
    folders = list_folders(config.path)
    of_masks = bool(folders) and all(folder.role == "masks" for folder in folders)
    shown = ", ".join(folder.label for folder in folders[:_SHOWN]) or "no folder"
    here, missing = ("Masks", "images") if of_masks else ("Images", "masks")
    draw = "" if of_masks else ", or draw them in napari (Plugins > Pixelwise > Annotate)"
    return (
        f"\n{here} were found in {shown}, {missing} are missing{describe_unread(config.path)}. If "
        f"they lie elsewhere, name both folders, as in pixelwise inspect "
        f"{shlex.quote(str(config.path))} --images FOLDER --masks FOLDER{draw}."
    )


__all__ = ["LAYOUTS", "Entry", "Found", "Layout", "Listing", "find_layout", "list_data"]
