"""What a layout is: a way to arrange images and masks in folders, recognised and then listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pixelwise.config import DataConfig
from pixelwise.datasets.mapping import ClassScheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import ImageReader, MaskReader
from pixelwise.datasets.sample import Split
from pixelwise.parsing import list_folder


@dataclass(frozen=True)
class Entry:
    """An image with its mask, as a layout lists it; no file has been opened yet.

    `group` is the name if None.
    """

    name: str
    split: Split | None
    image: ImageReader
    mask: MaskReader
    group: str | None = None


@dataclass(frozen=True)
class Listing:
    """All entries of a data set, what the layout knows of their classes, and what did not fit.

    `scheme` is None where the masks themselves must be asked. `settled` says that the layout has
    heeded the config's classes and `sparse` itself: its masks are drawn by the names of classes.
    """

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    scheme: ClassScheme | None = None
    settled: bool = False


@dataclass(frozen=True)
class Layout:
    """A named way to arrange a data set.

    Attributes
    ----------
    name : str
        As in `DataConfig.layout`.
    looks_for : str
        What makes a folder one of this layout, for the message when nothing fits.
    recognise : callable
        Folder -> why it is of this layout, or None.
    read : callable
        Config, whose path is such a folder -> listing.
    drawn : bool
        Masks are drawn from annotation files; pictures of masks come before them.
    """

    name: str
    looks_for: str
    recognise: Callable[[Path], str | None]
    read: Callable[[DataConfig], Listing]
    drawn: bool = False


def iter_folders(path: Path) -> Iterator[Path]:
    """Visible sub-folders of `path`, sorted by name; none if `path` is no folder.

    Raises
    ------
    ReadError
        The folder cannot be listed.
    """
    if not path.is_dir():
        return
    for entry in list_folder(path):
        if entry.is_dir() and not entry.name.startswith((".", "__MACOSX")):
            yield entry


def find_folder(path: Path, names: frozenset[str]) -> Path | None:
    """First sub-folder whose name, in lower case and without spaces and ``_-``, is in `names`."""
    return next((folder for folder in iter_folders(path) if plain(folder.name) in names), None)


def plain(name: str) -> str:
    """Spell a folder's name in lower case without spaces, underscores and dashes."""
    return name.lower().translate(str.maketrans("", "", " _-"))
