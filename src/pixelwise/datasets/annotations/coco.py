"""COCO JSON: instances as polygons or run lengths, drawn as pycocotools draws them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.classes import VOID
from pixelwise.datasets.annotations.checks import (
    find_bounds,
    require_nearby,
    require_one_plane,
    require_pixels_meant,
    require_stated_size,
)
from pixelwise.datasets.annotations.json_files import JsonNode, Points, read_json
from pixelwise.datasets.annotations.runs import Runs, find_pixels, parse_runs, require_runs
from pixelwise.datasets.headers import PlanesHeader, create_mask
from pixelwise.errors import DataError, ReadError, quote_value

Identity = int | str
_FILES_KEPT: Final = 4
_LONGEST_OUTLINE: Final = 5e6
"""In pixels: pycocotools needs 80 bytes for each."""
_LEAST_NUMBERS: Final = 6


@dataclass(frozen=True, slots=True)
class CocoCategory:
    """A category: its name, and that of its parent or an empty text."""

    name: str
    parent: str


@dataclass(frozen=True, slots=True)
class CocoObject:
    """One annotation of an image.

    Attributes
    ----------
    place : str
        Such as ``annotations[3]``.
    category : int or str
    crowd : bool
        A group of objects, possibly including the gaps between them.
    outline : tuple of (V, 2) points, bytes, array, or None
        Polygons (x, y), compressed run lengths, run lengths, or nothing.
    box : tuple of float or None
        x, y, width, height.
    stated : tuple of int or None
        Height and width of the image that run lengths refer to.
    """

    place: str
    category: Identity
    crowd: bool
    outline: tuple[Points, ...] | bytes | Runs | None
    box: tuple[float, ...] | None
    stated: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image of the file: its name, its (height, width) if stated, and its objects."""

    file_name: str
    stated: tuple[int, int] | None
    objects: list[CocoObject] = field(default_factory=list)


@dataclass(frozen=True)
class CocoFile:
    """A parsed annotation file.

    Attributes
    ----------
    categories : dict
        By id, in the order of the ids.
    images : dict
        By id, in the order of the file.
    notes : tuple of str
        What was left out.
    """

    path: Path
    categories: dict[Identity, CocoCategory]
    images: dict[Identity, CocoImage]
    notes: tuple[str, ...]

    @property
    def used(self) -> set[Identity]:
        """Categories that occur in annotations."""
        return {item.category for image in self.images.values() for item in image.objects}


_lock = Lock()


def read_coco(path: Path) -> CocoFile:
    """Read and check a COCO file; the last few are cached until the file changes.

    Raises
    ------
    ReadError
        The file is missing or not JSON.
    DataError
        It is not a COCO file, or an entry is invalid.
    """
    try:
        stamp = path.stat()
    except OSError as error:
        raise ReadError(f"Cannot read the annotation {path}: {error.strerror or error}.") from error
    with _lock:  # the first reader parses, the others wait for it
        return _parse(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=_FILES_KEPT)
def _parse(path: Path, changed_ns: int, size: int) -> CocoFile:  # noqa: ARG001  key of the cache
    """Parse a file; time and size make the cache notice changes."""
    root = read_json(path)
    if not isinstance(root.value, dict) or not {"images", "categories"} <= root.value.keys():
        root.fail("a COCO file of instances, with 'images', 'annotations' and 'categories'")
    categories = _parse_categories(root["categories"])
    images: dict[Identity, CocoImage] = {}
    for node in root["images"]:
        identity = node["id"].identity()
        if identity in images:
            raise DataError(f"{node}: the id {quote_value(identity)} is given to two images.")
        images[identity] = _parse_image(node)
    counts: Counter[str] = Counter()
    for node in root["annotations"] if not root["annotations"].absent else ():
        image = images.get(node["image_id"].identity())
        if image is None:
            counts["annotations are of images that the file does not list: left out"] += 1
        else:
            image.objects.append(_parse_object(node, categories, counts))
    return CocoFile(path, categories, images, tuple(f"{n} {text}" for text, n in counts.items()))


def _parse_categories(nodes: JsonNode) -> dict[Identity, CocoCategory]:
    """Categories by id, in the order of their ids."""
    found: dict[Identity, CocoCategory] = {}
    for node in nodes:
        identity = node["id"].identity()
        if identity in found:
            raise DataError(f"{node}: the id {quote_value(identity)} is given to two categories.")
        parent = node["supercategory"].value
        name = node["name"].text()
        found[identity] = CocoCategory(name, parent if isinstance(parent, str) else "")
    return dict(sorted(found.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _parse_image(node: JsonNode) -> CocoImage:
    """Name and size of an image."""
    sides = [node[key] for key in ("height", "width")]
    stated = None if any(side.value is None for side in sides) else tuple(s.size() for s in sides)
    return CocoImage(node["file_name"].text(), stated)  # type: ignore[arg-type]


def _parse_object(
    node: JsonNode, categories: dict[Identity, CocoCategory], counts: Counter[str]
) -> CocoObject:
    """Parse one annotation; without an outline it keeps its box."""
    category = node["category_id"].identity()
    if category not in categories:
        node["category_id"].fail(f"one of the categories {list(categories)[:10]}")
    crowd = node["iscrowd"].value
    if crowd not in (None, 0, 1):
        node["iscrowd"].fail("0 or 1")
    outline, stated = _parse_outline(node["segmentation"], counts)
    box = None
    if outline is None:
        box = None if node["bbox"].absent else tuple(side.number() for side in node["bbox"])
        if box is not None and (len(box) != 4 or min(box[2:]) < 0):
            node["bbox"].fail("a box [x, y, width, height]")
        where = "their boxes are void" if box else "nor a box: left out"
        counts[f"annotations have no outline, {where}"] += 1
    return CocoObject(node.place, category, bool(crowd), outline, box, stated)


def _parse_outline(
    node: JsonNode, counts: Counter[str]
) -> tuple[tuple[Points, ...] | bytes | Runs | None, tuple[int, int] | None]:
    """Polygons or run lengths of an annotation, and the (height, width) these refer to."""
    if node.absent:
        return None, None
    if isinstance(node.value, dict):
        return _parse_encoded(node)
    polygons = []
    for ring in node:
        if not isinstance(ring.value, list):
            node.fail("polygons [[x, y, x, y, ...], ...] or runs {size, counts}")
        points = ring.flat_points()
        if points.size < _LEAST_NUMBERS:  # pycocotools would take two points for a box
            counts["parts of polygons have fewer than three points: left out"] += 1
        else:
            polygons.append(points)
    return (tuple(polygons) or None), None


def _parse_encoded(node: JsonNode) -> tuple[bytes | Runs, tuple[int, int]]:
    """Read runs, compressed (a text) or not (a list)."""
    sides = [side.size() for side in node["size"]]
    if len(sides) != 2:
        node["size"].fail("[height, width]")
    counts = node["counts"]
    if isinstance(counts.value, str):
        if not counts.value.isascii():
            counts.fail("compressed runs")
        return counts.value.encode(), (sides[0], sides[1])
    if not isinstance(counts.value, list):
        counts.fail("run lengths, as a list or compressed as a text")
    if any(isinstance(n, bool) or not isinstance(n, int) for n in counts.value):
        counts.fail("whole numbers")
    try:
        return np.array(counts.value, np.int64), (sides[0], sides[1])
    except OverflowError:
        counts.fail("run lengths that fit the image")


@dataclass(frozen=True)
class CocoMask:
    """The mask of one image of a COCO file.

    Crowds, and the boxes of objects without an outline, are drawn first, as void; then objects from
    the largest to the smallest, so that small ones are on top. Polygons are drawn by pycocotools.

    Attributes
    ----------
    path : Path
        The file; all its masks share one cached parse.
    image_id : int or str
    values : tuple of (str, int)
        Value of each category, by name.
    background : int
        Value of all other pixels.
    """

    path: Path
    image_id: Identity
    values: tuple[tuple[str, int], ...]
    background: int

    def require_match(self, image: PlanesHeader) -> None:
        """Compare the stated size with the image's."""
        require_one_plane(self.path, image)
        entry = self._find()
        require_stated_size(f"{self.path} ({entry.file_name})", entry.stated, image.shape[2:])

    def read(self, image: PlanesHeader) -> npt.NDArray[Any]:
        """Class indices (1, 1, Y, X), 255 where void."""
        self.require_match(image)
        height, width = image.shape[2:]
        coco, values = read_coco(self.path), dict(self.values)
        columns = create_mask(self.path, image, self.background).ravel()
        for item, runs in _sort(_trace(coco.path, self._find().objects, (height, width))):
            ignored = item.crowd or item.outline is None
            name = coco.categories[item.category].name
            columns[find_pixels(runs)] = VOID if ignored else values[name]
        return np.ascontiguousarray(columns.reshape(width, height).T)[None, None]

    def _find(self) -> CocoImage:
        """Entry of the image."""
        found = read_coco(self.path).images.get(self.image_id)
        if found is None:
            raise DataError(
                f"{self.path} no longer lists the image {quote_value(self.image_id)}: it has "
                "changed since "
                "the data set was opened. Open the data set again."
            )
        return found


def _sort(traced: Iterator[tuple[CocoObject, Runs]]) -> list[tuple[CocoObject, Runs]]:
    """Sort for drawing: void first, then objects from the largest to the smallest."""
    return sorted(
        traced,
        key=lambda pair: (
            not (pair[0].crowd or pair[0].outline is None),
            -int(pair[1][1::2].sum()),
        ),
    )


def _trace(
    path: Path, objects: list[CocoObject], shape_yx: tuple[int, int]
) -> Iterator[tuple[CocoObject, Runs]]:
    """Trace every object; an error names the annotation."""
    polygons = [p for o in objects if isinstance(o.outline, tuple) for p in o.outline]
    if polygons and find_bounds(polygons)[1] <= 1:
        require_pixels_meant(path, polygons, shape_yx)
    for item in objects:
        place = f"{path}, {item.place}"
        try:
            if isinstance(item.outline, tuple):
                yield item, _trace_polygons(item.outline, shape_yx)
            elif item.outline is not None:
                require_stated_size("its runs", item.stated, shape_yx)
                runs = item.outline
                runs = parse_runs(runs) if isinstance(runs, bytes) else runs
                yield item, require_runs(runs, shape_yx)
            elif item.box is not None:
                yield item, _trace_polygons((_outline_box(item.box),), shape_yx)
        except DataError as error:
            raise DataError(f"{place}: {error}. Export the annotations again.") from error


def _outline_box(box: tuple[float, ...]) -> Points:
    """Corners of a box (x, y, width, height)."""
    left, top, width, height = box
    right, bottom = left + width, top + height
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _trace_polygons(polygons: tuple[Points, ...], shape_yx: tuple[int, int]) -> Runs:
    """Trace the union of polygons; raise if they are far outside the image or too long."""
    from pycocotools import mask

    height, width = shape_yx
    require_nearby("its outline", find_bounds(list(polygons)), shape_yx)
    length = sum(float(np.abs(p - np.roll(p, 1, axis=0)).max(axis=1).sum()) for p in polygons)
    if length > _LONGEST_OUTLINE:
        raise DataError(f"its outline is {length:.0f} px long, at most {_LONGEST_OUTLINE:.0f}")
    traced = mask.frPyObjects([p.ravel().tolist() for p in polygons], height, width)
    return require_runs(parse_runs(mask.merge(traced)["counts"]), shape_yx)
