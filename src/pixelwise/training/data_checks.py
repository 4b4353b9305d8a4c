"""What a data set must hold to be trained on: two classes, foreground to validate on, patches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixelwise.classes import VOID
from pixelwise.config import PatchConfig, TrainConfig
from pixelwise.datasets import Dataset
from pixelwise.errors import DataError
from pixelwise.patches.dataset import PatchDataset
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.scores import count_values

_NAMES = 5  # that an error message gives


def count_class_pixels(images: Sequence[DecodedImage]) -> np.ndarray:
    """Pixels of each mask value, (256,)."""
    counts = np.zeros(VOID + 1, np.int64)
    for decoded in images:
        counts += count_values(decoded.mask)
    return counts


def require_foreground(images: Sequence[DecodedImage]) -> None:
    """Refuse data without two annotated classes: there is nothing to learn from them."""
    present = count_class_pixels(images)[:VOID].nonzero()[0]
    if len(present) < 2:
        found = "no annotated pixel" if not len(present) else f"class {present[0]} only"
        raise DataError(
            f"The training masks hold {found}; expected at least two classes. Look at the masks "
            "with 'pixelwise inspect', and say what their values mean with --classes."
        )


def require_validation_foreground(
    config: TrainConfig, data: Dataset, images: Sequence[DecodedImage]
) -> None:
    """Refuse validation images without foreground if its Dice or IoU chooses the best epoch."""
    wanted = config.training.monitor
    annotated = set(count_class_pixels(images)[:VOID].nonzero()[0].tolist())
    if wanted in ("accuracy", "loss", "last") or annotated != {data.background}:
        return
    raise DataError(
        f"The masks of the validation images ({list_names(images)}) show no foreground, so "
        f"{wanted} cannot tell good epochs from bad ones. Name others with --validation, draw "
        "others with --split-seed, or take --monitor loss."
    )


def list_names(images: Sequence[DecodedImage]) -> str:
    """List the first names, for a message."""
    names = [decoded.name for decoded in images]
    return ", ".join(names[:_NAMES]) + ", …" * (len(names) > _NAMES)


def require_patches(dataset: PatchDataset, patches: PatchConfig) -> None:
    """Refuse to train without patches."""
    if len(dataset):
        return
    if patches.min_foreground:
        raise DataError(
            f"No patch has a foreground share of {patches.min_foreground:g} or more: lower "
            "--min-foreground."
        )
    raise DataError(
        "No patch shows an annotated pixel: take --edge cover, a smaller --step or a smaller "
        "--size, so that patches reach what is annotated."
    )
