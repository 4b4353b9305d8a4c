"""Pictures of a comparison: predictions side by side, from the worst image to the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pixelwise.comparison.results import Results
from pixelwise.datasets import Sample
from pixelwise.figures import Panel, to_rgb8
from pixelwise.images import open_image

ROWS = 3
"""Images that are drawn."""


def choose_images(results: Results, count: int = ROWS) -> list[str]:
    """Choose images from the worst to the best, by their mean Dice over the models.

    An image without foreground in which none was predicted counts as right.
    """
    first = next(iter(results.counts.values()))
    by_model = [counts.dice_by_image(results.background) for counts in results.counts.values()]
    dice = np.nan_to_num(by_model, nan=1.0).mean(axis=0)
    places = np.linspace(0, len(dice) - 1, min(count, len(dice))).round().astype(int)
    return [first.images[i] for i in np.argsort(dice, kind="stable")[places]]


def read_panel(sample: Sample) -> Panel:
    """Read the first plane of an image with its true labels."""
    image, mask = sample.read_finite_image()[0], sample.read_mask()[0]
    return Panel(sample.name, to_rgb8(image), mask)


def read_predictions(sample: Sample, folders: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Predicted labels (Y, X) of the first plane, by model; `folders` holds those of each."""
    found = {}
    for model, folder in folders.items():
        planes = open_image(folder / f"{sample.name}_labels.tif").read()
        found[model] = planes.reshape(-1, *planes.shape[-2:])[0]
    return found


def collect_rows(
    names: Sequence[str], held_out: Sequence[tuple[Sample, Mapping[str, Path]]]
) -> list[tuple[Panel, dict[str, np.ndarray]]]:
    """Collect what is drawn of each named image."""
    known = {sample.name: (sample, folders) for sample, folders in held_out}
    return [(read_panel(known[name][0]), read_predictions(*known[name])) for name in names]
