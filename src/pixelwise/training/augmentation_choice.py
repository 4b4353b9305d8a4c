"""Which preset of augmentations suits images, by their colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.config import AugmentationConfig
from pixelwise.patches.decoded_images import DecodedImage

_LOOKED_AT: Final = 32  # images
_PIXELS: Final = 1 << 16  # of each, evenly spaced
_COLOURED: Final = 0.02  # mean difference of the channels, as a share of white
_LIGHT: Final = 0.25  # of white, in the darkest channel of the lightest tenth
_STAINED: Final = 0.45  # optical density, summed over the channels
_MOSTLY: Final = 0.9
_STREETS: Final = ("camvid", "cityscapes")  # layouts of photographs that have an upper side
_REASONS: Final = {
    "microscopy": "the images are grey, or have colours of no common stain",
    "histology": "the images have the colours of haematoxylin and eosin",
    "natural": "photographs have an upper side",
}


def choose_augmentation(
    config: AugmentationConfig, images: Sequence[DecodedImage], *, layout: str, white: float
) -> tuple[AugmentationConfig, str]:
    """Settle the preset "auto"; gives the reason too, empty where a preset was given.

    Parameters
    ----------
    config : AugmentationConfig
    images : sequence of DecodedImage
        Training images; some are looked at, and the preset is that of most.
    layout : str
        Of the data set.
    white : float
        Intensity of white.
    """
    if config.preset != "auto":
        return config, ""
    looked_at = images[:: max(1, len(images) // _LOOKED_AT)]
    votes = Counter(_is_stained(decoded.image, white) for decoded in looked_at)
    preset = "histology" if votes[True] > votes[False] else "microscopy"
    preset = "natural" if layout in _STREETS else preset
    return config.model_copy(update={"preset": preset}), _REASONS[preset]


def _is_stained(image: npt.NDArray[Any], white: float) -> bool:
    """Whether an image (C, Y, X) has light parts, and what is dark in it absorbs green the most.

    Haematoxylin and eosin do, and so does what looks purple or pink. Fluorescence that is shown in
    a colour has no light parts.
    """
    if len(image) != 3:
        return False
    step = max(1, int((image[0].size / _PIXELS) ** 0.5))
    shares = image[:, ::step, ::step].reshape(3, -1) / np.float32(white)
    lightest = np.percentile(shares.min(axis=0), 90)
    if np.ptp(shares, axis=0).mean() < _COLOURED or lightest < _LIGHT:
        return False
    density = -np.log10(np.clip(shares, 1 / 255, 1))
    dark = density[:, density.sum(axis=0) > _STAINED]
    return bool(dark.size and np.mean(dark[1] > dark[[0, 2]].max(axis=0)) > _MOSTLY)
