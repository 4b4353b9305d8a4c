"""Shared by layouts with annotation files: finding files, splits, and the image of an annotation.

Annotation files name their images. Names are only resolved inside the data folder.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.sniffing import AnnotationFormat, sniff
from pixelwise.datasets.layouts.base import iter_folders, plain
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.sample import SPLIT_NAMES, Split
from pixelwise.errors import ReadError
from pixelwise.images import is_zarr, iter_image_files
from pixelwise.parsing import list_folder

_DEPTH: Final = 3
_TRIED: Final = 500


def iter_tree(root: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """`root` and its visible sub-folders down to `depth`, parents first."""
    yield root
    if depth:
        for folder in iter_folders(root):
            if not is_zarr(folder):
                yield from iter_tree(folder, depth - 1)


def iter_files(folders: Iterable[Path], *suffixes: str) -> Iterator[Path]:
    """Visible files of folders with these suffixes, in any letter case; sorted in each folder.

    Raises
    ------
    ReadError
        A folder cannot be listed.
    """
    for folder in folders:
        for file in list_folder(folder):
            named = file.name.lower().endswith(suffixes) and not file.name.startswith(".")
            if named and file.is_file():
                yield file


def iter_annotations(
    path: Path, wanted: AnnotationFormat, *, depth: int = _DEPTH
) -> Iterator[Path]:
    """Annotation files of a format in a folder and its sub-folders, by their content."""
    if path.is_dir():
        files = iter_files(iter_tree(path, depth), *wanted.suffixes)
        yield from (file for file in files if sniff(file) is wanted)


def find_annotation(path: Path, wanted: AnnotationFormat, *, depth: int = _DEPTH) -> Path | None:
    """First annotation file of a format among the first 500 candidates."""
    if not path.is_dir():
        return None
    files = iter_files(iter_tree(path, depth), *wanted.suffixes)
    return next((file for file in islice(files, _TRIED) if sniff(file) is wanted), None)


def find_split(path: Path, root: Path) -> Split | None:
    """Split named by the folders between `root` and a file, the innermost first."""
    for part in reversed(path.relative_to(root).parts[:-1]):
        if split := SPLIT_NAMES.get(plain(part)):
            return split
    return None


def split_inside(path: Path, root: Path) -> Split | None:
    """As `find_split`, for a file that may be outside `root`."""
    return find_split(path, root) if path.is_relative_to(root) else None


def find_split_word(stem: str) -> Split | None:
    """Split named by a word in a file's name: ``instances_train2017``."""
    found = {SPLIT_NAMES[w] for w in re.split(r"[^a-z]+", stem.lower()) if w in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


def resolve_inside(root: Path, base: Path, name: str) -> Path | None:
    """Path of a file that an annotation names, or None if it would be outside `root`.

    Absolute names, drives and ``..`` beyond `root` are outside; a backslash counts as a slash.
    """
    plain_name = name.replace("\\", "/")
    if PurePosixPath(plain_name).is_absolute() or PureWindowsPath(name).drive or "\0" in name:
        return None
    path = Path(os.path.abspath(base / plain_name))  # noqa: PTH100  resolve() would follow links
    inside = path.is_relative_to(os.path.abspath(root))  # noqa: PTH100
    if not inside:
        return None
    up = ".." in PurePosixPath(plain_name).parts
    return Path(os.path.normpath(base / plain_name)) if up else base / plain_name


def named_folder(config: DataConfig, name: str | None, what: str) -> Path | None:
    """Folder or file that the config names as `what`, if any; `ReadError` if it is missing."""
    if name is None:
        return None
    path = config.path / name
    if not path.exists():
        raise ReadError(f"{path} is missing; check '{what}'.")
    return path


@dataclass(frozen=True)
class Matches:
    """Images with their annotation files, and what did not fit."""

    pairs: tuple[tuple[Path, Path], ...]
    problems: tuple[Problem, ...]


def match_by_name(
    images: Sequence[Path],
    files: Sequence[Path],
    *,
    key: Callable[[Path], set[str]],
    root: Path,
) -> Matches:
    """Pair images with annotation files by name.

    `key` returns the image stems, or whole names, that an annotation file is for. An annotation in
    the image's own folder is preferred, then those of the same split; several are fatal.
    """
    by_name: dict[str, list[Path]] = {}
    for file in files:
        for name in key(file):
            by_name.setdefault(name, []).append(file)
    found: list[tuple[Path, Path]] = []
    problems: list[Problem] = []
    for image in images:
        names = (image.name, image.stem, image.stem.removesuffix(".ome"))
        candidates = next((by_name[name] for name in names if name in by_name), [])
        chosen = _prefer(candidates, image, root)
        if len(chosen) == 1:
            found.append((image, chosen[0]))
        elif chosen:
            listed = ", ".join(str(file) for file in chosen[:3])
            message = f"{image} has {len(chosen)} annotations ({listed}); keep one of them"
            problems.append(Problem("duplicate", str(image), message, fatal=True))
        else:
            message = f"{image} has no annotation of its name; left out"
            problems.append(Problem("unpaired", str(image), message))
    return Matches(*_require_one_image_each(found, files, problems))


def _prefer(candidates: Sequence[Path], image: Path, root: Path) -> list[Path]:
    """Candidates closest to an image."""
    beside = [file for file in candidates if file.parent == image.parent]
    split = split_inside(image, root)
    same = [file for file in candidates if split_inside(file, root) == split]
    return beside or same or list(candidates)


def _require_one_image_each(
    found: list[tuple[Path, Path]], files: Sequence[Path], problems: list[Problem]
) -> tuple[tuple[tuple[Path, Path], ...], tuple[Problem, ...]]:
    """Report images that share an annotation (fatal) and annotations without an image."""
    owners: dict[Path, list[Path]] = {}
    for image, file in found:
        owners.setdefault(file, []).append(image)
    for file, images in owners.items():
        if len(images) > 1:
            names = ", ".join(str(image) for image in images[:3])
            message = f"{file} fits {len(images)} images ({names}); keep one of them"
            problems.append(Problem("duplicate", str(file), message, fatal=True))
    problems += [
        Problem("unpaired", str(file), f"{file} has no image of its name; left out")
        for file in files
        if file not in owners
    ]
    kept = tuple(pair for pair in found if len(owners[pair[1]]) == 1)
    return kept, tuple(problems)


def list_images(folders: Iterable[Path]) -> list[Path]:
    """Image files of folders."""
    return [file for folder in folders for file in iter_image_files(folder)]
