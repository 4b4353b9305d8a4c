"""A folder of images as a project: labels and notes in its folder ``pixelwise``.

::

    folder/a.png
           pixelwise/a_labels.tif    strokes on a.png: sparse labels with their classes
                     project.json    what is done, what was corrected, how sure a model is

The folder can be trained on as it is: images ``.``, masks ``pixelwise``, sparse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pixelwise.atomic import make_folder, write_text
from pixelwise.errors import DataError, PixelwiseError
from pixelwise.images import iter_image_files
from pixelwise.parsing import parse_json, read_text

State = Literal["empty", "strokes", "corrected", "done"]
LABELS: Final = "pixelwise"
_MARK: Final = "_labels"


@dataclass(frozen=True)
class Project:
    """A folder of images, and what was drawn on them.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    @property
    def notes_path(self) -> Path:
        """File of the notes."""
        return self.folder / LABELS / "project.json"

    def list_images(self) -> list[Path]:
        """Images directly in the folder, by name.

        Raises
        ------
        DataError
            There are none, or two have one name but for their suffixes.
        """
        found = sorted(path for path in iter_image_files(self.folder) if path.parent == self.folder)
        if not found:
            raise DataError(f"{self.folder} holds no images: choose a folder of images.")
        stems = [path.stem for path in found]
        for path in found:
            if stems.count(path.stem) > 1:
                raise DataError(
                    f"{self.folder} has several images called {path.stem}, whose labels would have "
                    "one name: rename them."
                )
        return found

    def find_labels(self, image: Path) -> Path:
        """File of the labels of an image, which may not be there."""
        return self.folder / LABELS / f"{image.stem}{_MARK}.tif"

    def read_notes(self) -> dict[str, Any]:
        """Read the notes; empty if there are none, or they are damaged."""
        try:
            found = parse_json(read_text(self.notes_path, what="notes"), str(self.notes_path))
        except PixelwiseError:
            return {}
        return found if isinstance(found, dict) else {}

    def note(self, image: Path, **changes: Any) -> None:
        """Change the notes on an image; those on others are read again, for other windows.

        Raises
        ------
        WriteError
            The folder cannot be written.
        """
        notes = self.read_notes()
        known = notes.get(image.name)
        notes[image.name] = (known if isinstance(known, dict) else {}) | changes
        make_folder(self.notes_path.parent)
        write_text(self.notes_path, json.dumps(notes, indent=1))

    def find_state(self, image: Path, notes: Mapping[str, Any]) -> State:
        """Say how far an image is."""
        about = notes.get(image.name)
        about = about if isinstance(about, dict) else {}
        if about.get("done"):
            return "done"
        if not self.find_labels(image).exists():
            return "empty"
        return "corrected" if about.get("corrected") else "strokes"

    def list_lost(self) -> list[str]:
        """Names of label files whose image was renamed or removed; nothing is done to them."""
        stems = {path.stem for path in self.list_images()}
        files = (self.folder / LABELS).glob(f"*{_MARK}.tif")
        return sorted(path.name for path in files if path.stem.removesuffix(_MARK) not in stems)


def read_doubt(image: Path, notes: Mapping[str, Any], model: str) -> float | None:
    """Read how unsure a model was of an image, 0 to 1; None if that is not known."""
    about = notes.get(image.name)
    if not isinstance(about, dict) or about.get("model") != model:
        return None
    found = about.get("doubt")
    return float(found) if isinstance(found, int | float) else None
