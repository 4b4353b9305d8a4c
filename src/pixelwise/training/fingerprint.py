"""Checksums by which a training run recognises its images, masks, split and classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

import numpy as np

from pixelwise.datasets import Dataset
from pixelwise.patches.decoded_images import DecodedImage


def create_fingerprint(data: Dataset, **parts: Sequence[DecodedImage]) -> dict[str, str]:
    """Checksum of each image and mask, by its part and name, and the classes.

    CRC-32 finds what was changed by chance, in half the time of SHA-256.
    """
    checks = {
        f"{part} image {name}": f"{image} {mask}"
        for part, images in parts.items()
        for name, (image, mask) in check_images(images).items()
    }
    return checks | {"classes": ", ".join(item.name for item in data.classes)}


def check_images(images: Iterable[DecodedImage]) -> dict[str, tuple[str, str]]:
    """Checksum of each image and of its mask, by name."""
    return {
        decoded.name: (check_pixels(decoded.image), check_pixels(decoded.mask))
        for decoded in images
    }


def find_trained_on(known: Mapping[str, str], images: Mapping[str, tuple[str, str]]) -> list[str]:
    """Names of the images that a run with the fingerprint `known` was trained on."""
    return [
        name
        for name, (image, _) in images.items()
        if known.get(f"training image {name}", "").startswith(f"{image} ")
    ]


def check_pixels(pixels: np.ndarray) -> str:
    """Give shape, dtype and checksum of an array."""
    return f"{pixels.shape} {pixels.dtype} {crc32(np.ascontiguousarray(pixels).data):08x}"
