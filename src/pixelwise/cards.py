"""The model card: what a model is, expects and returns. Read without torch.

A model is one safetensors file. It starts with the header's length in eight bytes (little-endian),
then the JSON header, whose ``__metadata__`` holds the card as JSON text under ``pixelwise`` and the
file's checksum (see `checksums`) under ``checksum``.
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from pixelwise.classes import Classes, MaskValues, require_background
from pixelwise.config_base import Config, describe_invalid
from pixelwise.errors import ModelFileError, ReadError
from pixelwise.normalization import Normalization
from pixelwise.parsing import open_regular, parse_json

ENSEMBLE = "ensemble"
"""Architecture of a model that joins others, its members; it cannot be trained."""
METADATA_KEY = "pixelwise"
CHECKSUM_KEY = "checksum"
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 16 << 20
_MOST_AXES = 8  # of a weight; a shape of a million axes would take minutes to multiply
_ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}


class TrainingSummary(Config):
    """What a model was trained on, and how it scored on the validation images."""

    data: str
    images: int
    patches: int
    epochs: int
    scores: dict[str, float | None] = Field(default_factory=dict)


class Card(Config):
    """Everything about a model but its weights.

    Attributes
    ----------
    architecture, encoder, options
        What `create_model` needs to build the network again.
    in_channels : int
        Channels of an input image.
    classes : tuple of SegmentationClass
        Class 0, 1, … of the labels.
    background : int or None
        Class that does not count as foreground in the scores.
    resize : (height, width) in pixels, or None
        Size that every image was resized to, and is in prediction.
    normalization : Normalization
    axes : str
        Axes of the images it was trained on.
    dtype : str
        Stored dtype of those images, a NumPy name.
    patch_size : (height, width) in pixels
    intensities : (least, greatest) or None
        Range of the training images, as stored; None in cards of older versions.
    mask_values : MaskValues or None
        What the training masks' values stood for, so that other masks are read the same way; None
        in cards of older versions, and if the layout defines the classes.
    training : TrainingSummary or None
    versions : dict
        Versions of the packages that wrote the model.
    """

    format: int = 1
    architecture: str
    encoder: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    in_channels: int = Field(ge=1)
    classes: Classes
    background: int | None = 0
    resize: tuple[int, int] | None = None
    normalization: Normalization
    axes: str
    dtype: str
    patch_size: tuple[int, int]
    intensities: tuple[float, float] | None = None
    mask_values: MaskValues | None = None
    training: TrainingSummary | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_background(self) -> Self:
        require_background(self.background, self.classes)
        members = self.options.get("members")
        if self.is_ensemble and not (
            isinstance(members, list)
            and all(isinstance(one, dict) and "architecture" in one for one in members)
        ):
            raise ValueError("an ensemble lists its members")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(item.name for item in self.classes)

    @property
    def is_ensemble(self) -> bool:
        """Whether the model joins others."""
        return self.architecture == ENSEMBLE

    @property
    def needs_whole_plane(self) -> bool:
        """Whether what it predicts for a region depends on pixels far from it."""
        return self.resize is not None or self.normalization.kind != "fixed"


def read_card(path: str | Path) -> Card:
    """Read a model file's card from its header, in milliseconds and without torch.

    Raises
    ------
    ReadError
        The file is missing or cannot be read.
    ModelFileError
        The file is no model of this project, is truncated, or is newer than this version.
    """
    path = Path(path)
    header = _read_header(path)
    metadata = header.get("__metadata__", {})
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelFileError(
            f"{path} is a safetensors file without a pixelwise card: expected a model file written "
            "by 'pixelwise train'."
        )
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise ModelFileError(
            f"The card of {path} cannot be read; it may come from a newer version: "
            f"{describe_invalid(error, 'the card')}"
        ) from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes of a model file's tensors from its header; errors as in `read_card`."""
    header = _read_header(path)
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name[:2] != "__"}


def promises_checksum(path: Path) -> bool:
    """Whether a model file's header announces a checksum; those of older versions do not.

    Raises
    ------
    ReadError, ModelFileError
        As in `read_card`.
    """
    metadata = _read_header(path).get("__metadata__", {})
    return isinstance(metadata, dict) and CHECKSUM_KEY in metadata


def _read_header(path: Path) -> dict[str, Any]:
    """Read the JSON header and check that all the tensors it names are in the file."""
    try:
        with open_regular(path) as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            text = file.read(length) if length <= _MAX_HEADER_BYTES else b""
            size = os.fstat(file.fileno()).st_size
    except ReadError:
        raise
    except OSError as error:
        raise ReadError(f"Cannot read the model file {path}: {error.strerror}.") from error
    try:
        header: dict[str, Any] = parse_json(text.decode(), str(path))
        sizes = [_measure(entry) for name, entry in header.items() if name[:2] != "__"]
    except (ReadError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path} is not a model file: expected a safetensors file from 'pixelwise train'."
        ) from error
    expected = _LENGTH_BYTES + length + sum(sizes)
    if size != expected:
        raise ModelFileError(
            f"The model file {path} is damaged: its header promises {expected} bytes, the file has "
            f"{size}. Copy it again, or use another checkpoint of the run."
        )
    return header


def _measure(entry: dict[str, Any]) -> int:
    """Bytes of a tensor; raises ValueError, KeyError or TypeError if shape and offsets disagree."""
    start, stop = entry["data_offsets"]
    shape = entry["shape"]
    is_shape = len(shape) <= _MOST_AXES and all(type(n) is int and n >= 0 for n in shape)
    size = prod(shape) * _ITEM_BYTES[entry["dtype"]] if is_shape else -1
    if size != stop - start:
        raise ValueError("a tensor's shape does not match its byte count")
    return size
