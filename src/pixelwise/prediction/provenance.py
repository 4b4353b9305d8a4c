"""Provenance of a prediction, kept in its mark: which model, image and settings made it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

from pixelwise.checksums import hash_content
from pixelwise.images import find_file
from pixelwise.marks import Mark
from pixelwise.prediction.predictor import Predictor

_WITHOUT_EFFECT: Final = {"axes", "batch_size", "device", "format", "precision", "table"}
"""Settings that do not change the values of a result, or that a mark records elsewhere."""


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
    settings = predictor.config.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    return Mark(
        pixelwise=version("napari-pixelwise"),
        model=predictor.digest,
        image=None if image is None else hash_content(find_file(image)),
        axes=axes,
        settings=settings | {"precision": predictor.tiles.compute.precision},
    )
