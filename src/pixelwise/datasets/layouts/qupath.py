"""QuPath: one GeoJSON per image, beside it or in a separate folder.

``slide.geojson`` and ``slide.tif.geojson`` are both for ``slide.tif``. QuPath's exported label
images are read as ``pairs``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.geojson import (
    UNCLASSIFIED,
    GeoJsonFile,
    GeoJsonMask,
    read_geojson,
)
from pixelwise.datasets.annotations.legend import Label, create_legend
from pixelwise.datasets.annotations.sniffing import GEOJSON
from pixelwise.datasets.layouts.annotated import (
    find_annotation,
    iter_annotations,
    iter_files,
    iter_tree,
    list_images,
    match_by_name,
    named_folder,
    split_inside,
)
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage
from pixelwise.errors import DataError

_PACKED: Final = (".geojson.gz", ".geojson.zip")


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    file = find_annotation(path, GEOJSON)
    return f"found GeoJSON annotations such as {file.relative_to(path)}" if file else None


def read(config: DataConfig) -> Listing:
    """List every image with the GeoJSON of its name."""
    folder = named_folder(config, config.masks, "masks") or config.path
    images = list_images(iter_tree(named_folder(config, config.images, "images") or config.path))
    files = {path: read_geojson(path) for path in iter_annotations(folder, GEOJSON)}
    if not files:
        raise DataError(
            f"{folder} has no GeoJSON; expected one per image, with its name. Export them in "
            "QuPath: File > Export objects as GeoJSON, without compression."
        )
    matches = match_by_name(images, list(files), key=lambda path: {path.stem}, root=config.path)
    used = [files[path] for _, path in matches.pairs]
    legend = create_legend(
        _list_labels(used or list(files.values())),
        config,
        "QuPath's classes, drawn from the largest object to the smallest",
    )
    entries = tuple(
        Entry(
            image.stem,
            split_inside(image, config.path),
            FileImage(image, config.axes),
            GeoJsonMask(path, legend.values, legend.background),
        )
        for image, path in matches.pairs
    )
    problems = (*matches.problems, *_describe(used), *_describe_packed(folder))
    return Listing(entries, problems, legend.scheme, settled=True)


def _list_labels(files: Sequence[GeoJsonFile]) -> list[Label]:
    """Classes sorted by name, so independent of their frequency; unclassified last."""
    colors = {name: color for file in reversed(files) for name, color in file.colors}
    names = sorted({name for file in files for name in file.labels} - {UNCLASSIFIED})
    if not names:
        return (
            [Label("object")] if not any(file.labels for file in files) else [Label(UNCLASSIFIED)]
        )
    more = [UNCLASSIFIED] if any(UNCLASSIFIED in file.labels for file in files) else []
    return [Label(name, colors.get(name)) for name in [*names, *more]]


def _describe(files: Sequence[GeoJsonFile]) -> list[Problem]:
    """Note what was left out of all files, and objects without a class."""
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(dict(file.notes))
    found = [Problem("note", "all GeoJSON files", f"{n} {text}") for text, n in counts.items()]
    bare = [file for file in files if UNCLASSIFIED in file.labels]
    if bare:
        message = (
            f"holds objects without a class, read as the class {UNCLASSIFIED!r}; give them a class "
            f"in QuPath, or map them (classes: {UNCLASSIFIED}=background or =void, with the other "
            "classes)"
        )
        found.append(Problem("note", str(bare[0].path), message))
    return found


def _describe_packed(folder: Path) -> list[Problem]:
    """Report compressed files, which are not read."""
    return [
        Problem("unreadable", str(file), f"{file} is compressed; unpack it first")
        for file in iter_files(iter_tree(folder), *_PACKED)
    ]


LAYOUT: Final = Layout(
    "qupath",
    "GeoJSON exported by QuPath, one per image: slide.tif with slide.geojson, or in geojson/",
    recognise,
    read,
    drawn=True,
)
