"""GeoJSON as QuPath exports it: the objects of one image, with their classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.annotations.checks import require_one_plane, require_pixels_meant
from pixelwise.datasets.annotations.drawing import Piece, draw_pieces
from pixelwise.datasets.annotations.json_files import JsonNode, Points, read_json
from pixelwise.datasets.headers import PlanesHeader, create_mask
from pixelwise.errors import DataError, quote_value

UNCLASSIFIED: Final = "unclassified"
_REGIONS_TO_TRAIN_ON: Final = "Region*"
_WITHOUT_AREA: Final = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString"})
_LEAST_POINTS: Final = 4  # the first point is repeated at the end


@dataclass(frozen=True)
class Region:
    """An object: its class, and its polygons, each with the rings (V, 2) of outline and holes."""

    place: str
    label: str
    polygons: tuple[tuple[Points, ...], ...]


@dataclass(frozen=True)
class GeoJsonFile:
    """A parsed file.

    Attributes
    ----------
    regions : tuple of Region
        Objects with an area.
    colors : tuple of (str, str)
        Class and its ``#rrggbb``, for those that have one.
    notes : tuple of (str, int)
        Omissions with their counts.
    """

    path: Path
    regions: tuple[Region, ...]
    colors: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, int], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes that occur."""
        return tuple(dict.fromkeys(region.label for region in self.regions))


def read_geojson(path: Path) -> GeoJsonFile:
    """Read and check a GeoJSON file: a FeatureCollection, a list of features, or one feature.

    Raises
    ------
    ReadError
        The file is missing or not JSON.
    DataError
        An entry is invalid, or an object is not on the first plane.
    """
    counts: Counter[str] = Counter()
    colors: dict[str, str] = {}
    regions = []
    for node in _list_features(read_json(path)):
        if (region := _parse_feature(node, counts, colors)) is not None:
            regions.append(region)
    return GeoJsonFile(path, tuple(regions), tuple(colors.items()), tuple(counts.items()))


def _list_features(root: JsonNode) -> list[JsonNode]:
    """Features of a file."""
    if isinstance(root.value, list):
        return list(root)
    if isinstance(root.value, dict) and root.value.get("type") == "Feature":
        return [root]
    if not isinstance(root.value, dict) or root.value.get("type") != "FeatureCollection":
        root.fail("a GeoJSON FeatureCollection, as QuPath exports it")
    return list(root["features"])


def _parse_feature(node: JsonNode, counts: Counter[str], colors: dict[str, str]) -> Region | None:
    """Parse one object; None if it has no area or no class."""
    geometry, properties = node["geometry"], node["properties"]
    if geometry.absent:
        counts["objects have no outline: left out"] += 1
        return None
    kind = geometry["type"].text()
    if kind in _WITHOUT_AREA:
        counts["points and lines have no area: left out"] += 1
        return None
    _require_first_plane(geometry)
    label, color = _parse_class(properties)
    if label == _REGIONS_TO_TRAIN_ON:
        counts[f"regions of the class {label} only mark where to train: left out"] += 1
        return None
    if not node["nucleusGeometry"].absent:
        counts["cells have a nucleus of their own, which is not drawn"] += 1
    if color:
        colors.setdefault(label, color)
    return Region(node.place, label, _parse_polygons(geometry, kind))


def _require_first_plane(geometry: JsonNode) -> None:
    """Raise if an object is not on the first plane of a stack."""
    if geometry["plane"].absent:
        return
    for axis in "zt":
        node = geometry["plane"][axis]
        if node.value is not None and node.number() > 0:
            node.fail("0: outlines of stacks are not read; export each plane as an image")


def _parse_polygons(geometry: JsonNode, kind: str) -> tuple[tuple[Points, ...], ...]:
    """Polygons with their rings; in QuPath, pixel 0 spans 0 to 1."""
    if kind not in ("Polygon", "MultiPolygon"):
        geometry["type"].fail("Polygon or MultiPolygon")
    polygons = [geometry["coordinates"]] if kind == "Polygon" else list(geometry["coordinates"])
    found = tuple(tuple(r.points(least=_LEAST_POINTS) for r in polygon) for polygon in polygons)
    if not found or not all(found):
        geometry["coordinates"].fail("at least one ring of points")
    return found


def _parse_class(properties: JsonNode) -> tuple[str, str | None]:
    """Name and colour of an object's class."""
    if properties.absent or properties["classification"].absent:
        return UNCLASSIFIED, None
    node = properties["classification"]
    if isinstance(node.value, str):
        return node.text(), None
    names = node["names"]
    if not names.absent:
        name = ": ".join(part.text() for part in names)
    else:
        name = UNCLASSIFIED if node["name"].absent else node["name"].text()
    return name, _parse_color(node)


def _parse_color(node: JsonNode) -> str | None:
    """Colour as ``#rrggbb``: of [red, green, blue], or of Java's signed integer ARGB."""
    color, packed = node["color"].value, node["colorRGB"].value
    if isinstance(color, list) and len(color) == 3 and all(_is_byte(part) for part in color):
        return "#" + bytes(color).hex()
    if isinstance(packed, int) and not isinstance(packed, bool):
        return f"#{packed & 0xFFFFFF:06x}"
    return None


def _is_byte(value: object) -> bool:
    """Whether a JSON value is a whole number from 0 to 255."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


@dataclass(frozen=True)
class GeoJsonMask:
    """The mask of a GeoJSON file.

    Larger objects are drawn first, so that cells are on top of the surrounding tissue. A pixel is
    inside if its centre is, see `pixelwise.datasets.polygons.fill_rings`.
    """

    path: Path
    values: tuple[tuple[str, int], ...]
    background: int

    def require_match(self, image: PlanesHeader) -> None:
        """Raise if the image is a stack, or outlines are outside it."""
        self._read_checked(image)

    def read(self, image: PlanesHeader) -> npt.NDArray[Any]:
        """Class indices (1, 1, Y, X), 255 where void."""
        values = dict(self.values)
        drawn = create_mask(self.path, image, self.background)
        pieces = []
        for region in self._read_checked(image):
            if region.label not in values:
                raise DataError(
                    f"{self.path} has a new class {quote_value(region.label)} since the data "
                    "set was opened. "
                    "Open the data set again."
                )
            value = values[region.label]
            pieces.append(Piece(f"{self.path}, {region.place}", 0, value, region.polygons))
        return draw_pieces(drawn, pieces)[:, None]

    def _read_checked(self, image: PlanesHeader) -> tuple[Region, ...]:
        """Read the objects and check them against the image."""
        require_one_plane(self.path, image)
        regions = read_geojson(self.path).regions
        outlines = [
            np.concatenate([ring for rings in r.polygons for ring in rings]) for r in regions
        ]
        require_pixels_meant(self.path, outlines, (image.shape[2], image.shape[3]))
        return regions
