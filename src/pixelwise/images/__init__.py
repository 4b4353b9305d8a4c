"""Image files in and out: one protocol, named axes, a memory budget, atomic writing."""

from __future__ import annotations

from pixelwise.images.sinks import SUFFIXES, write_picture, write_tiff
from pixelwise.images.source import (
    IMAGE_SUFFIXES,
    DecodedImage,
    ImageFile,
    ImageSource,
    is_zarr,
    iter_image_files,
    open_image,
    read_image,
)
from pixelwise.images.zarr_sink import ZarrContent, ZarrWriter, write_zarr, writing_zarr

__all__ = [
    "IMAGE_SUFFIXES",
    "SUFFIXES",
    "DecodedImage",
    "ImageFile",
    "ImageSource",
    "ZarrContent",
    "ZarrWriter",
    "is_zarr",
    "iter_image_files",
    "open_image",
    "read_image",
    "write_picture",
    "write_tiff",
    "write_zarr",
    "writing_zarr",
]
