"""Names unsupported annotation formats, and what to export instead."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from pixelwise.datasets.annotations.sniffing import FORMATS, AnnotationFormat, sniff
from pixelwise.datasets.layouts.annotated import iter_files, iter_tree
from pixelwise.errors import ReadError

_MOST_FILES: Final = 2000
_SUFFIXES: Final = tuple({suffix for item in FORMATS if item.export for suffix in item.suffixes})


def describe_foreign(path: Path) -> str | None:
    """Name the unsupported annotation formats in a folder, and what to export instead.

    None if there are none. Called only if no images with masks were found: unsupported files beside
    good masks do not matter.
    """
    found: dict[str, tuple[AnnotationFormat, Path]] = {}
    for file, item in _iter_known(path):
        if item.export:
            found.setdefault(item.name, (item, file))
    if not found:
        return None
    lines = [
        f"  {item.name}, e.g. {file.relative_to(path)}: {item.export}"
        for item, file in found.values()
    ]
    advice = (
        "Name the folders of the images and of what was exported: pixelwise inspect "
        f"{shlex.quote(str(path))} --images FOLDER --masks FOLDER"
    )
    return "\n".join(["\nThere are annotations in an unsupported format:", *lines, advice])


def _iter_known(path: Path) -> Iterator[tuple[Path, AnnotationFormat]]:
    """Files of a folder whose format is known."""
    try:
        files = list(islice(iter_files(iter_tree(path), *_SUFFIXES), _MOST_FILES))
    except ReadError:
        return
    for file in files:
        if item := sniff(file):
            yield file, item
