"""Recompute a result from its mark, and compare."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from pixelwise.config import PredictConfig
from pixelwise.images import ImageFile, open_image
from pixelwise.marks import Mark
from pixelwise.prediction.pipeline import iter_predict
from pixelwise.prediction.post_processing import name_table
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.sinks import plan_file

_ROWS: Final = 1024
_NAME: Final = "recomputed_labels.tif"


def is_model(model: Path, digest: str) -> bool:
    """Whether a mark's digest is of a model's card and weights, as for a model without a file."""
    return Predictor(model).fingerprint == digest


def count_differences(mark: Mark, result: Path, *, model: Path, image: Path) -> int:
    """Recompute a result with the settings of its mark, and compare.

    Parameters
    ----------
    mark : Mark
    result : Path
        Image of labels, objects or probabilities, or a table (CSV).
    model, image : Path

    Returns
    -------
    int
        Number of pixels, or rows of the table, that differ; all of them if the sizes differ.

    Raises
    ------
    ConfigError
        The settings were written by a newer version.
    PixelwiseError
        As in `iter_predict`.
    """
    is_table = result.suffix.lower() == ".csv"
    config = PredictConfig.create(**(mark.settings | {"axes": mark.axes, "table": is_table}))
    with TemporaryDirectory(prefix="pixelwise-verify-") as folder:
        recomputed = Path(folder) / _NAME
        predictor, source = Predictor(model, config), open_image(image, axes=mark.axes)
        for _ in iter_predict(predictor, source, plan_file(predictor, source, recomputed)):
            pass
        if is_table:
            return _count_lines(result, name_table(recomputed))
        return _count_pixels(open_image(result), open_image(recomputed))


def _count_lines(one: Path, other: Path) -> int:
    """Count the lines of two text files that differ."""
    with one.open("rb") as first, other.open("rb") as second:
        return sum(a != b for a, b in zip_longest(first, second))


def _count_pixels(one: ImageFile, other: ImageFile) -> int:
    """Count the values of two images (..., Y, X) that differ, reading a few rows at a time."""
    sizes = [tuple(n for n in image.shape if n > 1) for image in (one, other)]
    if sizes[0] != sizes[1] or one.dtype != other.dtype:
        return int(np.prod(other.shape))
    with one.reading() as first, other.reading() as second:
        pairs = zip(_iter_regions(one), _iter_regions(other), strict=True)
        return sum(int(np.count_nonzero(first(a).ravel() != second(b).ravel())) for a, b in pairs)


def _iter_regions(image: ImageFile) -> Iterator[tuple[Any, ...]]:
    """Yield regions of an image, in the order of its pixels."""
    *leading, height, _ = image.shape
    for place in product(*map(range, leading)):
        for top in range(0, height, _ROWS):
            where = (slice(index, index + 1) for index in place)
            yield (*where, slice(top, min(top + _ROWS, height)), slice(None))
