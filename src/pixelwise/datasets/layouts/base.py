"""The layout protocol: an arrangement of images and masks in folders, recognised, then listed."""

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
    """An image with its mask, not opened yet; `group` defaults to the name."""

    name: str
    split: Split | None
    image: ImageReader
    mask: MaskReader
    group: str | None = None


@dataclass(frozen=True)
class Listing:
    """All entries of a data set, the classes known from the layout, and problems.

    `scheme` is None if classes must be inferred from the masks. `settled` means that the layout has
    already applied the config's classes and `sparse`: its masks are drawn by class names.
    """

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    scheme: ClassScheme | None = None
    settled: bool = False


@dataclass(frozen=True)
class Layout:
    """A named arrangement of a data set.

    Attributes
    ----------
    name : str
        As in `DataConfig.layout`.
    looks_for : str
        What identifies the layout, for the message if nothing fits.
    recognise : callable
        Folder -> reason why it has this layout, or None.
    read : callable
        Config, whose path is such a folder -> listing.
    drawn : bool
        Masks are drawn from annotation files; mask images take precedence.
    """

    name: str
    looks_for: str
    recognise: Callable[[Path], str | None]
    read: Callable[[DataConfig], Listing]
    drawn: bool = False


def iter_folders(path: Path) -> Iterator[Path]:
    """Visible sub-folders of `path`, sorted by name; none if `path` is not a folder.

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
    """Normalise a folder's name: lower case, without spaces, underscores and dashes."""
    return name.lower().translate(str.maketrans("", "", " _-"))
