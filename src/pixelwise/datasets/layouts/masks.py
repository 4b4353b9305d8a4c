"""Finds masks by the suffix that the user gives, and their names without it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from pixelwise.datasets.layouts.words import cut_suffix, is_lossy
from pixelwise.errors import DataError

_SEPARATORS: Final = "_-. "


class UnclearPairsError(DataError):
    """There may be images and masks, but which belong together is unclear."""


def find_suffixed(files: Iterable[Path], suffix: str) -> dict[Path, str]:
    """Files with a mask's suffix, and their stems without it.

    The suffix may include the file's own (``_mask.png``, or just ``.png``). It is at the end of the
    name or, if no name ends with it, inside, not surrounded by letters or digits (`road` in
    um_road_001). Letter case is ignored only if no name fits otherwise.
    """
    listed = list(files)
    for find in _RULES:
        found = {file: stem for file in listed if (stem := find(file.name, suffix)) is not None}
        if found:
            return found
    return {}


def _cut_end(name: str, suffix: str) -> str | None:
    """Stem without the suffix at its end; None if it has another ending."""
    if "." in suffix and name.endswith(suffix):
        return name.removesuffix(suffix).rstrip(_SEPARATORS) or None
    stem = cut_suffix(name)
    if stem.endswith(suffix) and stem != suffix:
        return stem.removesuffix(suffix).rstrip(_SEPARATORS) or None
    return None


def _cut_end_of_any_case(name: str, suffix: str) -> str | None:
    """Stem without the suffix, ignoring letter case."""
    cut = _cut_end(name.lower(), suffix.lower())
    return None if cut is None else name[: len(cut)]


def _cut_inside(name: str, suffix: str) -> str | None:
    """Stem without a word inside it."""
    word = suffix.strip(_SEPARATORS)
    found = re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", cut_suffix(name))
    if not word or found is None:
        return None
    stem = found.string
    return (stem[: found.start()] + stem[found.end() :]).strip(_SEPARATORS) or None


_RULES: Final[tuple[Callable[[str, str], str | None], ...]] = (
    _cut_end,
    _cut_end_of_any_case,
    _cut_inside,
)


def require_lossless(
    masks: Sequence[Path], images: Sequence[Path], suffix: str | None
) -> tuple[Path, ...]:
    """Masks in a folder of images, without copies in lossy formats.

    Raises
    ------
    UnclearPairsError
        All masks are lossy and no image is: they are probably pictures of masks, unless the suffix
        names their format.
    """
    if suffix is not None and "." in suffix:
        return tuple(masks)
    kept = tuple(prefer_lossless(masks))
    all_lossy = any(is_lossy(mask) for mask in kept)
    if not (all_lossy and images) or any(map(is_lossy, images)):
        return kept
    ending = f"{suffix or ''}{masks[0].suffix}"
    raise UnclearPairsError(
        f"{masks[0]} has lossy compression, its image has not: is it a picture of a mask that is "
        f"stored elsewhere? To use it, give --mask-suffix {ending}."
    )


def prefer_lossless(files: Sequence[Path]) -> list[Path]:
    """Prefer lossless files among those with one stem, if there are any."""
    return [file for file in files if not is_lossy(file)] or list(files)
