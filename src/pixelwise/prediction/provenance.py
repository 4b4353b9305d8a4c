"""Provenance: which model, image and settings made a result, or the kept rows of one."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pixelwise.checksums import hash_content
from pixelwise.images import ImageFile, ImageSource, find_file
from pixelwise.marks import Mark
from pixelwise.prediction.predictor import Predictor

_NOT_IN_MARK: Final = {"axes", "batch_size", "device", "format", "precision", "table"}
"""Settings that do not change the values of a result, or that a mark records elsewhere."""
_NOT_IN_ROWS: Final = {
    *("batch_size", "device", "precision", "format", "instances", "table"),
    *("smallest_object", "largest_hole"),
}
"""Settings that do not change predicted rows, or that `Predictor.compute` records."""


def create_mark(predictor: Predictor, image: Path | None, *, axes: str) -> Mark:
    """Create the mark of a result, without its checksum.

    Parameters
    ----------
    predictor : Predictor
    image : path or None
        File or folder of the image, with its inner path; None for an array.
    axes : str
        Axes of the image.
    """
    settings = predictor.config.model_dump(mode="json", exclude=_NOT_IN_MARK)
    return Mark(
        pixelwise=version("napari-pixelwise"),
        model=predictor.digest,
        image=None if image is None else hash_content(find_file(image)),
        axes=axes,
        settings=settings | {"precision": predictor.tiles.compute.precision},
    )


def describe_rows(predictor: Predictor, source: ImageSource) -> dict[str, Any] | None:
    """Describe what predicted rows depend on; None for an array, which cannot be recognised."""
    if not isinstance(source, ImageFile):
        return None
    return {
        "image": [*_stamp(find_file(source.path)), str(source.path)],
        "axes": source.axes.names,
        "model": predictor.fingerprint,
        "compute": predictor.compute,
        "settings": predictor.config.model_dump(mode="json", exclude=_NOT_IN_ROWS),
    }


def _stamp(path: Path) -> list[Any]:
    """Give what changes when an image file or folder does: its place, size and time."""
    files = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    times = max((item.st_mtime_ns for item in stats), default=0)
    return [str(path.resolve()), len(stats), sum(item.st_size for item in stats), times]
