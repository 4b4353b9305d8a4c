"""Files that keep annotations while they are drawn, in the user's data folder.

A file belongs to one layer of one window, which holds a lock beside it, so two windows on one image
write two files. The system releases the lock of a window that crashed.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import numpy as np
from platformdirs import user_data_path

from pixelwise.atomic import make_folder, replacing
from pixelwise.classes import SegmentationClass
from pixelwise.errors import WriteError
from pixelwise.locks import take_lock
from pixelwise.widgets.layers import Array

if TYPE_CHECKING:
    from filelock import FileLock

_DAYS: Final = 30  # that a file is kept
_SUFFIX: Final = ".npz"


hearers: WeakSet[Any] = WeakSet()
"""Objects whose `hear_saved` is called when the user has saved labels."""


@dataclass(frozen=True)
class Annotation:
    """What is kept of a labels layer, beside its pixels.

    Attributes
    ----------
    image, path : str
        Name of the image layer, and its file if it has one.
    name : str
        Name of the labels layer.
    axes : str
    sparse : bool
    model : str
        Model whose prediction is corrected; empty for other annotations.
    classes : sequence of (name, colour)
        Of the values from 0 on, or from 1 on if sparse.
    """

    image: str
    path: str
    name: str
    axes: str
    sparse: bool
    model: str = ""
    classes: Sequence[tuple[str, str]] = ()

    def list_classes(self) -> list[SegmentationClass]:
        """Classes with their colours."""
        return [SegmentationClass(name=name, color=color) for name, color in self.classes]


def find_folder() -> Path:
    """Folder of the annotations that are kept, in the user's data folder."""
    return user_data_path("napari-pixelwise", appauthor=False) / "annotations"


def create_key(image: str, path: str, shape: tuple[int, ...]) -> str:
    """Key of an image: that of its file, or of its name where there is none, and its shape."""
    text = json.dumps([path or image, shape])
    return blake2b(text.encode(), digest_size=8).hexdigest()


class AnnotationFile:
    """A file that this process owns until it is removed or the process ends.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / f"{key}-{token_hex(4)}{_SUFFIX}"
        self._lock: FileLock | None = None

    def write(self, pixels: Array, about: Annotation) -> None:
        """Replace the file as a whole.

        Raises
        ------
        WriteError
            The disk is full, or the folder cannot be written.
        """
        make_folder(self.path.parent)
        if self._lock is None:
            self._lock = take_lock(_lock_path(self.path))
        with replacing(self.path) as temp:
            np.savez_compressed(temp, pixels=pixels, about=np.array(json.dumps(asdict(about))))

    def remove(self) -> None:
        """Remove the file; a later `write` makes it again."""
        if self._lock is not None:
            self._lock.release()
        self._lock = None
        remove_file(self.path)


def list_left(folder: Path, key: str) -> list[Path]:
    """Files of an image that belong to no running window, the newest first."""
    found = [(_read_time(path), path) for path in folder.glob(f"{key}-*{_SUFFIX}")]
    return [path for _, path in sorted(found, reverse=True) if not _is_owned(path)]


def read_file(path: Path) -> tuple[Array, Annotation] | None:
    """Read pixels and what they are; None if the file is damaged or gone."""
    try:
        with np.load(path, allow_pickle=False) as file:
            about: dict[str, Any] = json.loads(str(file["about"]))
            return file["pixels"], Annotation(**about)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def tell_saved(pixels: Any) -> None:
    """Tell that the user has saved the labels with these pixels."""
    for hearer in list(hearers):
        hearer.hear_saved(pixels)


def remove_file(path: Path) -> None:
    """Remove a file and its lock."""
    for one in (path, _lock_path(path)):
        with suppress(OSError):
            one.unlink(missing_ok=True)


def describe_time(path: Path) -> str:
    """Say when a file was written."""
    return datetime.fromtimestamp(_read_time(path)).strftime("%Y-%m-%d at %H:%M")


def remove_old(folder: Path) -> None:
    """Remove files that no window has written for a month."""
    for path in folder.glob(f"*{_SUFFIX}"):
        if time.time() - _read_time(path) > _DAYS * 86_400 and not _is_owned(path):
            remove_file(path)


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _read_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _is_owned(path: Path) -> bool:
    """Whether a running window writes a file."""
    try:
        lock = take_lock(_lock_path(path))
    except WriteError:
        return True  # nothing is known: leave it alone
    if lock is None:
        return True
    lock.release()
    return False
