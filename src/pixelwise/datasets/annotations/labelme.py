"""LabelMe JSON: the shapes of one image, drawn as LabelMe draws them."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.annotations.checks import (
    require_nearby,
    require_one_plane,
    require_pixels_meant,
    require_stated_size,
)
from pixelwise.datasets.annotations.json_files import JsonNode, Points, read_json
from pixelwise.datasets.headers import PlanesHeader, create_mask
from pixelwise.errors import DataError

Mask = npt.NDArray[np.bool_]
_LEAST_POINTS: Final = {
    "polygon": 3,
    "oriented_rectangle": 4,
    "rectangle": 2,
    "circle": 2,
    "mask": 2,
}
_WITHOUT_AREA: Final = frozenset({"point", "points", "line", "linestrip"})
_DAMAGE: Final = (binascii.Error, OSError, SyntaxError, ValueError, EOFError, IndexError)
_LARGEST_MASK_BYTES: Final = 1 << 28


@dataclass(frozen=True)
class LabelMeShape:
    """One shape: its label, its kind, its points (V, 2) as (x, y), and its mask if it is one."""

    place: str
    label: str
    kind: str
    points: Points
    mask: Mask | None = None


@dataclass(frozen=True)
class LabelMeFile:
    """A parsed file.

    Attributes
    ----------
    image_name : str
        Name of the image, relative to the file; empty if it is not named.
    stated : tuple of int or None
        Height and width of the image.
    embedded : bool
        Whether the image is embedded in the file.
    shapes : tuple of LabelMeShape
        In drawing order.
    labels : tuple of str
        Labels of all shapes.
    without_area : tuple of str
        Labels of points and lines, which are left out.
    """

    path: Path
    image_name: str
    stated: tuple[int, int] | None
    embedded: bool
    shapes: tuple[LabelMeShape, ...]
    labels: tuple[str, ...]
    without_area: tuple[str, ...]


def read_labelme(path: Path) -> LabelMeFile:
    """Read and check a LabelMe file.

    Raises
    ------
    ReadError
        The file is missing or not JSON.
    DataError
        An entry is invalid.
    """
    root = read_json(path)
    name = root["imagePath"]
    sides = [root[key] for key in ("imageHeight", "imageWidth")]
    stated = None if any(s.value is None for s in sides) else (sides[0].size(), sides[1].size())
    shapes, without = [], []
    for node in root["shapes"]:
        kind = "polygon" if node["shape_type"].absent else node["shape_type"].text()
        if kind in _WITHOUT_AREA:
            without.append(node["label"].text())
        else:
            shapes.append(_parse_shape(node, kind))
    return LabelMeFile(
        path,
        "" if name.absent else name.text(),
        stated,
        not root["imageData"].absent,
        tuple(shapes),
        tuple(dict.fromkeys(shape.label for shape in shapes)),
        tuple(without),
    )


def _parse_shape(node: JsonNode, kind: str) -> LabelMeShape:
    """Parse one shape with an area."""
    if kind not in _LEAST_POINTS:
        node["shape_type"].fail(f"one of {', '.join(_LEAST_POINTS)}")
    least = _LEAST_POINTS[kind]
    points = node["points"].points(least=least)
    if kind != "polygon" and len(points) != least:
        node["points"].fail(f"{least} points of a {kind}")
    mask = _parse_mask(node["mask"]) if kind == "mask" else None
    return LabelMeShape(node.place, node["label"].text(), kind, points, mask)


def _parse_mask(node: JsonNode) -> Mask:
    """Pixels (Y, X) of a mask, a PNG in base64."""
    from PIL import PngImagePlugin

    try:
        data = base64.b64decode(node.text(), validate=True)
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as picture:
            if picture.width * picture.height > _LARGEST_MASK_BYTES:
                node.fail("a mask of at most 2^28 pixels")
            pixels = np.asarray(picture.convert("L") if picture.mode not in "1L" else picture)
    except _DAMAGE as error:
        if isinstance(error, DataError):
            raise
        node.fail(f"a PNG picture in base64 ({error})")
    return pixels.astype(bool)


@dataclass(frozen=True)
class LabelMeMask:
    """The mask of a LabelMe file.

    Pillow fills the shapes including their outlines, later ones over earlier ones, as LabelMe's own
    export does: `labelme.utils.shapes_to_label`.
    """

    path: Path
    values: tuple[tuple[str, int], ...]
    background: int

    def require_match(self, image: PlanesHeader) -> None:
        """Compare the stated size with the image's."""
        self._read_checked(image)

    def read(self, image: PlanesHeader) -> npt.NDArray[Any]:
        """Class indices (1, 1, Y, X), 255 where void."""
        annotation, values = self._read_checked(image), dict(self.values)
        drawn: npt.NDArray[Any] = create_mask(self.path, image, self.background)[0]
        for shape in annotation.shapes:
            _require_nearby(shape, image, self.path)
            inside = _draw(shape, (image.shape[2], image.shape[3]), self.path)
            drawn[inside] = values[shape.label]
        return drawn[None, None]

    def _read_checked(self, image: PlanesHeader) -> LabelMeFile:
        """Read the file and check it against the image."""
        require_one_plane(self.path, image)
        annotation = read_labelme(self.path)
        require_stated_size(self.path, annotation.stated, image.shape[2:])
        if unknown := set(annotation.labels) - dict(self.values).keys():
            raise DataError(
                f"{self.path} has new labels {sorted(unknown)} since the data set was opened. Open "
                "the data set again."
            )
        outlines = [s.points for s in annotation.shapes if s.kind not in ("circle", "mask")]
        require_pixels_meant(self.path, outlines, (image.shape[2], image.shape[3]))
        return annotation


def _require_nearby(shape: LabelMeShape, image: PlanesHeader, path: Path) -> None:
    """Raise if a shape reaches far outside the image."""
    low, high = float(shape.points.min()), float(shape.points.max())
    if shape.kind == "circle":
        radius = float(np.hypot(*(shape.points[0] - shape.points[1])))
        low, high = low - radius, high + radius
    require_nearby(f"{path}, {shape.place}", (low, high), (image.shape[2], image.shape[3]))


def _draw(shape: LabelMeShape, shape_yx: tuple[int, int], path: Path) -> Mask:
    """Pixels (Y, X) of one shape."""
    from PIL import Image, ImageDraw

    if shape.mask is not None:
        return _place_mask(shape, shape.mask, shape_yx, path=path)
    picture = Image.new("L", shape_yx[::-1])
    draw = ImageDraw.Draw(picture)
    points = [(float(x), float(y)) for x, y in shape.points]
    if shape.kind == "circle":
        (x, y), (on_x, on_y) = points
        radius = hypot(x - on_x, y - on_y)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)
    elif shape.kind == "rectangle":
        low, high = shape.points.min(axis=0), shape.points.max(axis=0)
        draw.rectangle((*low.tolist(), *high.tolist()), outline=1, fill=1)
    else:
        draw.polygon(points, outline=1, fill=1)
    return np.asarray(picture).astype(bool)


def _place_mask(shape: LabelMeShape, mask: Mask, shape_yx: tuple[int, int], *, path: Path) -> Mask:
    """Paste a mask into its box, whose corners are whole pixels inside the image."""
    (left, top), (right, bottom) = shape.points.astype(int).tolist()
    box = (bottom - top + 1, right - left + 1)
    fits = min(left, top) >= 0 and bottom < shape_yx[0] and right < shape_yx[1]
    if mask.shape != box or not fits:
        raise DataError(
            f"{path}, {shape.place}: the mask has {mask.shape[0]} x {mask.shape[1]} pixels, its "
            f"box is {box[0]} x {box[1]} (height x width) at x={left}, y={top} in an image of "
            f"{shape_yx[0]} x {shape_yx[1]}; expected a mask that fills its box inside the image."
        )
    drawn = np.zeros(shape_yx, bool)
    drawn[top : bottom + 1, left : right + 1] = mask
    return drawn
