"""Thirty-two small images of nuclei with masks, for trying things out; CC0, see README.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from pixelwise.images import iter_image_files, read_image

_SPLITS: Final[tuple[Literal["train", "test"], ...]] = ("train", "test")


@dataclass(frozen=True)
class SamplePicture:
    """One sample.

    Attributes
    ----------
    name : str
        Start of the image's id in the Data Science Bowl 2018.
    split : {"train", "test"}
        24 for training, 8 for prediction.
    image : ndarray of uint8, (Y, X, C)
        RGB, 256 to 360 pixels on a side.
    mask : ndarray of uint8, (Y, X)
        1 = nucleus, 0 = background.
    """

    name: str
    split: Literal["train", "test"]
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]


def samples_path() -> Path:
    """Folder of the samples: a data set that `load_dataset` opens, with splits train and test."""
    return Path(__file__).parent


def load_samples() -> tuple[SamplePicture, ...]:
    """Read all samples, those for training first."""
    return tuple(
        SamplePicture(
            name=path.stem,
            split=split,
            image=read_image(path)[0],
            mask=(read_image(path.parents[1] / "masks" / path.name)[0] > 0).astype(np.uint8),
        )
        for split in _SPLITS
        for path in iter_image_files(samples_path() / split / "images")
    )
