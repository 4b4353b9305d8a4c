"""Statistics of the training images' stored intensities, and the normalisation made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pixelwise.cards import read_card
from pixelwise.config import TrainConfig
from pixelwise.errors import ConfigError
from pixelwise.normalization import (
    Normalization,
    create_fixed,
    create_imagenet,
    create_percentile,
    create_range,
    intensity_range,
)
from pixelwise.patches.decoded_images import DecodedImage


def create_normalization(
    config: TrainConfig, images: Sequence[DecodedImage], *, is_cut: bool = False
) -> Normalization:
    """Make the normalisation that a config asks for.

    "auto" is that of the model it starts from; else, for 8-bit images and pre-trained encoders,
    ImageNet's; else percentiles of each image, because brightness and stain differ from image to
    image, and 12 bits in uint16 or an unknown scale of floats fit no fixed range. If the images are
    patches that were cut before (`is_cut`), those of 8 bits get the mean and standard deviation of
    all: an empty patch has percentiles of its own, which its whole image has not.

    Raises
    ------
    ConfigError
        The images have another dtype than those of the model whose fixed normalisation is theirs.
    """
    name: str = config.training.normalization
    model = config.model
    channels, dtype = len(images[0].image), find_dtype(images)
    if name == "auto" and model.start_from is not None:
        card = read_card(model.start_from)
        if card.normalization.kind == "fixed" and card.dtype != str(dtype):
            raise ConfigError(
                f"{model.start_from} was trained on images of {card.dtype} and normalises by "
                f"{card.normalization.source}, these are of {dtype}: convert them, or choose "
                "another --normalization, e.g. dataset."
            )
        return card.normalization
    if name == "auto":
        has_weights = model.pretrained or model.weights is not None
        fixed = "imagenet" if has_weights else "dataset" if is_cut else "percentile"
        name = fixed if dtype == np.uint8 else "percentile"
    if name == "percentile":
        return create_percentile()
    match name:
        case "dataset":
            return create_fixed(*_measure(images), "mean and std of the training images")
        case "imagenet":
            return create_imagenet(dtype, channels)
        case _:
            return create_range(dtype, channels)


def require_one_dtype(images: Sequence[DecodedImage], *, by: str) -> None:
    """Refuse images of several dtypes, which no fixed normalisation can treat alike.

    Raises
    ------
    ConfigError
        There are some.
    """
    found = sorted({str(decoded.image.dtype) for decoded in images})
    if len(found) > 1:
        raise ConfigError(
            f"The images have several dtypes ({', '.join(found)}), which normalization {by!r} "
            "cannot treat alike: use percentile, or convert them to one dtype."
        )


def find_dtype(images: Sequence[DecodedImage]) -> np.dtype[Any]:
    """Dtype that holds the intensities of all images."""
    return np.result_type(*{decoded.image.dtype for decoded in images})


def find_range(images: Sequence[DecodedImage]) -> float:
    """Intensity of white: 255 in 8 bits, else the largest there is, as 12 bits lie in uint16."""
    dtype = find_dtype(images)
    if dtype == np.uint8:
        return intensity_range(dtype)
    return max(float(decoded.image.max()) for decoded in images) or 1.0


def find_extent(images: Sequence[DecodedImage]) -> tuple[float, float]:
    """Least and greatest intensity of all images."""
    rows = [image for decoded in images for image, _ in decoded.iter_rows()]
    return min(float(image.min()) for image in rows), max(float(image.max()) for image in rows)


def _measure(images: Sequence[DecodedImage]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) over all pixels of the images."""
    rows = [image for decoded in images for image, _ in decoded.iter_rows()]
    pixels = sum(decoded.mask.size for decoded in images)
    mean = sum(image.sum(axis=(1, 2), dtype=np.float64) for image in rows) / pixels
    centre = mean[:, None, None]
    square = sum(np.square(image - centre).sum(axis=(1, 2)) for image in rows)
    return np.asarray(mean), np.sqrt(square / pixels)
