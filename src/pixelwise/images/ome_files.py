"""Multi-file OME-TIFF: which planes of a set are in one file, by its OME-XML.

The XML of each file describes the whole set and names the files of all planes. Those names are
never followed: each file is an image of its own planes only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from pixelwise.errors import ReadError
from pixelwise.parsing import parse_xml

File = tuple[str, str]
Index = tuple[int, ...]


@dataclass(frozen=True)
class OwnPlanes:
    """Planes of a set that are in one file.

    Attributes
    ----------
    letters : str
        Their axes above Y and X, slowest first, without axes of size 1. Empty if there is one
        plane, or the planes form no grid.
    sizes : tuple of int
        One per letter.
    note : str
        Says that other files hold the rest.
    """

    letters: str
    sizes: tuple[int, ...]
    note: str


def read_own_planes(text: str | None, name: str) -> OwnPlanes | None:
    """Read which planes a file holds; None if its OME-XML mentions no other file.

    Parameters
    ----------
    text : str or None
        OME-XML of the file.
    name : str
        Name of the file, without folder.
    """
    try:
        root = parse_xml(text or "", "OME-XML")
    except ReadError:
        return None
    binary = root.find("{*}BinaryOnly")
    if binary is not None:
        companion = binary.get("MetadataFile", "another file")
        return OwnPlanes("", (), f"its metadata are in {companion}, which is not read")
    pixels, data = root.find(".//{*}Pixels"), list(root.iterfind(".//{*}TiffData"))
    files = [_find_file(one) for one in data]
    named = {file for file in files if file is not None}
    own = _find_own(named, root.get("UUID"), name)
    if pixels is None or len(named - own) == 0:
        return None
    mine = [one for one, file in zip(data, files, strict=True) if file in own]
    order = "".join(reversed(pixels.get("DimensionOrder", "XYZCT")[2:]))
    return _describe_set(
        tuple(_iter_planes(mine, pixels, order)), order, pixels=pixels, files=len(named)
    )


def _find_file(data: Any) -> File | None:
    """UUID and name of the file that a TiffData element refers to."""
    uuid = data.find("{*}UUID")
    return None if uuid is None else (str(uuid.text), uuid.get("FileName", ""))


def _find_own(named: set[File], uuid: str | None, name: str) -> set[File]:
    """Find the references to the file itself: by its UUID, else by its name."""
    by_uuid = {file for file in named if file[0] == uuid}
    return by_uuid or {file for file in named if file[1].lower() == name.lower()}


def _iter_planes(data: list[Any], pixels: Any, order: str) -> Iterator[Index]:
    """Yield plane indices in the order of the file's pages, slowest axis first."""
    sizes = [_read_count(pixels, f"Size{letter}") for letter in order]
    samples = pixels.find("{*}Channel")
    if samples is not None and "C" in order:
        at = order.index("C")
        sizes[at] //= max(int(samples.get("SamplesPerPixel", 1)), 1)
    for one in sorted(data, key=lambda one: int(one.get("IFD", 0))):
        count = _read_count(one, "PlaneCount", 1 if one.get("IFD") is not None else prod(sizes))
        first = [int(one.get(f"First{letter}", 0)) for letter in order]
        start = 0
        for index, size in zip(first, sizes, strict=True):
            start = start * size + index
        for flat in range(start, min(start + count, prod(sizes))):
            yield tuple(int(i) for i in np.unravel_index(flat, sizes))


def _read_count(element: Any, name: str, default: int = 1) -> int:
    """Read an attribute that counts something, at least 1."""
    return max(int(element.get(name, default)), 1)


def _describe_set(planes: tuple[Index, ...], order: str, *, pixels: Any, files: int) -> OwnPlanes:
    """Axes of the planes, if they form a grid in the order of the pages, and a note."""
    total = prod(_read_count(pixels, f"Size{letter}") for letter in "ZCT")
    note = (
        f"is one of {files} files of a set of {total} planes: only its own planes were read, "
        "each file is a separate image"
    )
    spans = [sorted(set(places)) for places in zip(*planes, strict=True)]
    if list(planes) != list(product(*spans)):  # no grid
        return OwnPlanes("", (), note)
    kept = [i for i, span in enumerate(spans) if len(span) > 1]
    return OwnPlanes("".join(order[i] for i in kept), tuple(len(spans[i]) for i in kept), note)
