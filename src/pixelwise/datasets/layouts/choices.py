"""Suggests commands if it is unclear which masks belong to which images.

A command is shown only if it was tried and finds pairs.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.layouts.folders import ImageFolder, are_told_apart, list_folders
from pixelwise.datasets.layouts.looks import are_flat
from pixelwise.datasets.layouts.pairs import find_pairs
from pixelwise.datasets.layouts.words import cut_suffix
from pixelwise.errors import PixelwiseError

Choice = dict[str, str]
"""Fields of `DataConfig`."""

_MOST: Final = 6
_MOST_FOLDERS: Final = 12
_MOST_SUFFIXES: Final = 4
_LONGEST_SUFFIX: Final = 40


def list_choices(config: DataConfig) -> list[str]:
    """Commands that read the data folder of `config` in different ways, the most pairs first."""
    folders = [folder for folder in list_folders(config.path) if folder.role != "results"]
    found: list[tuple[int, Choice]] = []
    given = {name: getattr(config, name) for name in ("images", "masks", "mask_suffix")}
    given = {name: text for name, text in given.items() if text is not None}
    for choice in _iter_choices(folders[:_MOST_FOLDERS]):
        if any(choice.get(name, text) != text for name, text in given.items()):
            continue
        choice = choice | given
        plain = {name: text for name, text in choice.items() if name != "mask_suffix"}
        known = [other for _, other in found]
        if choice not in known and plain not in known and (count := _try(config, choice)):
            found.append((count, choice))
    found.sort(key=lambda item: -item[0])
    return [_format(config.path, choice) for _, choice in found[:_MOST]]


def _iter_choices(folders: Sequence[ImageFolder]) -> Iterator[Choice]:
    """Yield pairs of folders, then suffixes within folders."""
    flat = {folder.path: are_flat(folder.files) for folder in folders}
    masks = [f for f in folders if flat[f.path] is not False or f.role == "masks"]
    images = [f for f in folders if flat[f.path] is not True and f.role != "masks"]
    patterns: Counter[tuple[str, str]] = Counter()
    for image, mask in product(images, masks):
        if image.path == mask.path or are_told_apart(image, mask):
            continue
        pair = (image.relative or ".", mask.relative or ".")
        patterns.update(_generalise(*pair))
        yield {"images": pair[0], "masks": pair[1]}
        for suffix in islice(_list_suffixes(image, mask), _MOST_SUFFIXES):
            yield {"images": pair[0], "masks": pair[1], "mask_suffix": suffix}
    for (one, other), count in patterns.items():
        if count > 1:
            yield {"images": one, "masks": other}
    for folder in folders:
        for suffix in islice(_list_suffixes(folder, folder), _MOST_SUFFIXES):
            where = {"images": folder.relative, "masks": folder.relative}
            yield ({} if not folder.relative else where) | {"mask_suffix": suffix}


def _generalise(images: str, masks: str) -> Iterator[tuple[str, str]]:
    """Both paths with ``*`` instead of one folder that they share."""
    one, other = images.split("/"), masks.split("/")
    for i in range(min(len(one), len(other)) - 1):
        if one[i] != other[i]:
            return
        yield (
            "/".join([*one[:i], "*", *one[i + 1 :]]),
            "/".join([*other[:i], "*", *other[i + 1 :]]),
        )


def _list_suffixes(images: ImageFolder, masks: ImageFolder) -> Iterable[str]:
    """List suffixes of mask names after image names, the most frequent first."""
    stems = {cut_suffix(file.name) for file in images.files}
    counts: Counter[str] = Counter()
    for file in masks.files:
        stem = cut_suffix(file.name)
        for end in range(max(len(stem) - _LONGEST_SUFFIX, 1), len(stem)):
            if stem[:end] in stems and not stem[end].isalnum():
                counts[stem[end:]] += 1
                break
    return [suffix for suffix, _ in counts.most_common() if not _is_number(suffix)]


def _is_number(suffix: str) -> bool:
    """Whether a suffix is only a number, of an object or a channel."""
    return suffix.strip("_-. ()").isdecimal()


def _try(config: DataConfig, choice: Choice) -> int:
    """How many pairs a choice gives."""
    try:
        found = find_pairs(DataConfig.create(path=config.path, **choice))
    except PixelwiseError:
        return 0
    return 0 if found is None else len(found.pairs)


def _format(path: Path, choice: Choice) -> str:
    """Write a choice as a command line."""
    options = [f"--{name.replace('_', '-')} {shlex.quote(text)}" for name, text in choice.items()]
    return f"pixelwise inspect {shlex.quote(str(path))} {' '.join(options)}"
