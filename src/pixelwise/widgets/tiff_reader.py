"""Reader for label TIFFs of this plugin, with the names and colours of their classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelwise.classes import SegmentationClass
from pixelwise.images import open_image
from pixelwise.widgets.layers import AXES_KEY, SPARSE, create_look

_CLASSES, _SPARSE = "classes", "sparse"


def choose_tiff_reader(path: str | list[str]) -> Callable[[Any], list[Any]] | None:
    """Reader for a TIFF that describes its classes; None for any other."""
    if isinstance(path, list) or not _read_notes(path):
        return None
    return read_tiff_labels


def read_tiff_labels(path: str | Path) -> list[tuple[Any, dict[str, Any], str]]:
    """Read one Labels layer."""
    source, notes = open_image(path), _read_notes(path)
    sparse = bool(notes.get(_SPARSE))
    classes = [SegmentationClass(name=n, color=c) for n, c in notes.get(_CLASSES, ())]
    options: dict[str, Any] = {
        "name": Path(path).stem,
        "metadata": {AXES_KEY: source.axes.names, SPARSE: sparse},
    }
    if classes:
        options |= create_look(classes, int(sparse))
    if source.calibration is not None:
        options["scale"] = source.calibration.scale
        options["units"] = tuple(unit or "pixel" for unit in source.calibration.units)
    return [(source.read(), options, "labels")]


def _read_notes(path: str | Path) -> dict[str, Any]:
    """Read the notes of `describe_classes` in a file; empty for other files."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            described = tiff.shaped_metadata
    except (OSError, ValueError):  # tifffile's error for other files is a ValueError
        return {}
    first = described[0] if described else {}
    return {key: first[key] for key in (_CLASSES, _SPARSE) if key in first}
