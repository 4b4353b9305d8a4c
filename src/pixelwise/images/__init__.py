"""Image files in and out: one protocol, named axes, a memory budget, atomic writing."""

from __future__ import annotations

from pixelwise.images.containers import find_file, name_image, split_inner
from pixelwise.images.content import ImageContent, RowReader
from pixelwise.images.formats import IMAGE_SUFFIXES, find_format, is_zarr
from pixelwise.images.listing import explain_left_out, iter_image_files, list_left_out
from pixelwise.images.reader import RegionReader
from pixelwise.images.sinks import SUFFIXES, is_ome_tiff, load_writer, write_picture, write_tiff
from pixelwise.images.source import (
    DecodedImage,
    ImageArray,
    ImageFile,
    ImageSource,
    describe_gaps,
    open_image,
    read_image,
)
from pixelwise.images.zarr_sink import (
    ZarrWriter,
    require_replaceable,
    write_zarr,
    writing_zarr,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "SUFFIXES",
    "DecodedImage",
    "ImageArray",
    "ImageContent",
    "ImageFile",
    "ImageSource",
    "RegionReader",
    "RowReader",
    "ZarrWriter",
    "describe_gaps",
    "explain_left_out",
    "find_file",
    "find_format",
    "is_ome_tiff",
    "is_zarr",
    "iter_image_files",
    "list_left_out",
    "load_writer",
    "name_image",
    "open_image",
    "read_image",
    "require_replaceable",
    "split_inner",
    "write_picture",
    "write_tiff",
    "write_zarr",
    "writing_zarr",
]
