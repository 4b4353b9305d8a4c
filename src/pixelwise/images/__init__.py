"""Image files in and out: one protocol, named axes, a memory budget, atomic writing."""

from __future__ import annotations

from pixelwise.images.sinks import write_picture, write_tiff
from pixelwise.images.source import (
    IMAGE_SUFFIXES,
    DecodedImage,
    ImageFile,
    ImageSource,
    iter_image_files,
    open_image,
    read_image,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "DecodedImage",
    "ImageFile",
    "ImageSource",
    "iter_image_files",
    "open_image",
    "read_image",
    "write_picture",
    "write_tiff",
]
