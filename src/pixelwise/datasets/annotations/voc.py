"""Masks in the style of Pascal VOC: PNG files whose colours stand for classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from pixelwise.axes import planes_shape, to_planes
from pixelwise.datasets.annotations.checks import require_stated_size
from pixelwise.datasets.annotations.legend import BACKGROUND, Label
from pixelwise.datasets.readers import PlanesHeader
from pixelwise.errors import DataError, quote_value
from pixelwise.images import open_image
from pixelwise.parsing import read_text

Array = npt.NDArray[Any]
BORDER: Final = 0xE0E0C0
"""Colour of VOC's object borders, which are void: index 255 of its palette."""
VOC_NAMES: Final = (
    BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
_INDEX_OF_VOID: Final = 255


def create_palette(count: int = 256) -> list[int]:
    """VOC's palette as 0xRRGGBB: three bits of the index at a time."""
    colors = []
    for index in range(count):
        rgb = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                rgb[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colors.append(rgb[0] << 16 | rgb[1] << 8 | rgb[2])
    return colors


def list_voc_labels() -> list[Label]:
    """VOC's 21 classes with their colours."""
    palette = create_palette(len(VOC_NAMES))
    return [Label(name, f"#{color:06x}") for name, color in zip(VOC_NAMES, palette, strict=True)]


def has_voc_palette(path: Path) -> bool:
    """Whether an image has VOC's palette."""
    try:
        with Image.open(path) as picture:
            palette = picture.getpalette() or []
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    known = [value for color in create_palette(len(VOC_NAMES)) for value in color.to_bytes(3)]
    return palette[: len(known)] == known


def read_labelmap(path: Path) -> list[Label]:
    """Names and colours of CVAT's ``labelmap.txt``, with lines ``name:r,g,b:parts:actions``.

    A label without a colour gets VOC's for its number, as in CVAT. The list is empty if no line has
    this form.

    Raises
    ------
    ReadError
        The file cannot be read.
    DataError
        Some lines do not have this form, or two labels share a name or a colour.
    """
    lines = [line.strip() for line in read_text(path, what="label map").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not any(":" in line for line in lines):
        return []
    palette = create_palette()
    labels = [_parse_label(path, line, palette[n % 256]) for n, line in enumerate(lines)]
    for key in ("name", "color"):
        values = [getattr(label, key) for label in labels]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise DataError(
                f"{path}: two labels have the {key} {quote_value(twice)}; expected that labels "
                "differ. Give each its own in CVAT and export again."
            )
    return labels


def _parse_label(path: Path, line: str, default: int) -> Label:
    """Parse one line of a labelmap."""
    name, *rest = line.rsplit(":", 3) if line.count(":") >= 3 else line.split(":")
    parts = rest[0].replace(" ", "").split(",") if rest and rest[0].strip() else []
    if not parts and rest:
        return Label(name.strip() or "?", f"#{default:06x}")
    if (
        len(parts) != 3
        or not all(p.isdecimal() and int(p) < 256 for p in parts)
        or not name.strip()
    ):
        raise DataError(
            f"{path}: expected name:red,green,blue:: with 0 to 255, found {quote_value(line)}."
        )
    return Label(name.strip(), "#" + bytes(map(int, parts)).hex())


@dataclass(frozen=True)
class ColorMask:
    """A mask whose colours stand for classes, stored as RGB, in a palette, or as indices.

    Attributes
    ----------
    path : Path
    colors : tuple of int
        Colours 0xRRGGBB of the indices from 0, for grey images; empty if grey values are colours
        themselves.
    """

    path: Path
    colors: tuple[int, ...] = ()

    def require_match(self, image: PlanesHeader) -> None:
        """Compare the headers of the mask and its image."""
        source = open_image(self.path)
        shape = planes_shape(source.axes.names, source.shape)
        require_stated_size(f"The mask {self.path}", shape[2:], image.shape[2:])
        if shape[0] != 1 or image.shape[0] != 1 or shape[1] not in (1, 3):
            raise DataError(
                f"The mask {self.path} has {shape[0]} planes of {shape[1]} channels, its image "
                f"{image.shape[0]} planes; expected one plane of grey values or RGB colours."
            )

    def read(self, image: PlanesHeader) -> Array:
        """Colours (1, 3, Y, X) of 8 bits."""
        self.require_match(image)
        source = open_image(self.path)
        raw = to_planes(source.read(), source.axes.names)
        if raw.dtype.itemsize > 1 or raw.dtype.kind not in "ub":
            raise DataError(
                f"The mask {self.path} holds {raw.dtype} values; expected 8-bit colours or "
                "indices, as in CVAT and VOC."
            )
        if raw.shape[1] == 3 or not self.colors:
            return np.broadcast_to(raw, (1, 3, *raw.shape[2:]))
        table = np.arange(256) * 0x010101
        table[: len(self.colors)] = self.colors[:256]
        if len(self.colors) <= _INDEX_OF_VOID:
            table[_INDEX_OF_VOID] = BORDER
        packed = table[raw[:, 0]]
        channels = [packed >> 16, packed >> 8 & 255, packed & 255]
        return np.stack(channels, axis=1).astype(np.uint8)
