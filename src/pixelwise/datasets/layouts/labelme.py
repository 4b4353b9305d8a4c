"""LabelMe: one JSON of shapes per image, beside it or in a separate folder.

LabelMe's export in Pascal VOC style is the layout ``voc``; the XML of its old web tool is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.labelme import LabelMeFile, LabelMeMask, read_labelme
from pixelwise.datasets.annotations.legend import Label, create_legend
from pixelwise.datasets.annotations.sniffing import LABELME
from pixelwise.datasets.layouts.annotated import (
    find_annotation,
    iter_annotations,
    iter_tree,
    list_images,
    named_folder,
    resolve_inside,
    split_inside,
)
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage
from pixelwise.errors import DataError
from pixelwise.parsing import read_bytes

_NAME_FILES: Final = ("labels.txt", "class_names.txt")


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    file = find_annotation(path, LABELME)
    return f"found LabelMe annotations such as {file.relative_to(path)}" if file else None


def read(config: DataConfig) -> Listing:
    """List every image that a JSON names, with a mask drawn from its shapes."""
    folder = named_folder(config, config.masks, "masks") or config.path
    files = [read_labelme(path) for path in iter_annotations(folder, LABELME)]
    if not files:
        raise DataError(
            f"{folder} has no LabelMe JSON; expected one per image, with its name. Name their "
            "folder with 'masks'."
        )
    labels, problems = _order_labels(files, config.path)
    legend = create_legend(
        [Label(name) for name in labels], config, "LabelMe's shapes, later ones over earlier ones"
    )
    images = list_images(iter_tree(named_folder(config, config.images, "images") or config.path))
    owners: dict[Path, LabelMeFile] = {}
    entries: list[Entry] = []
    for file in files:
        image = _find_image(file, images, config)
        if image is None:
            problems.append(_describe_missing(file))
            continue
        _require_only(file, owners.setdefault(image, file), image)
        mask = LabelMeMask(file.path, legend.values, legend.background)
        split = split_inside(image, config.path)
        entries.append(Entry(image.stem, split, FileImage(image, config.axes), mask))
    problems += [
        Problem("unpaired", str(p), f"{p} has no LabelMe JSON; left out")
        for p in images
        if p not in owners
    ]
    problems += _describe_lines(files)
    return Listing(tuple(entries), tuple(problems), legend.scheme, settled=True)


def _find_image(file: LabelMeFile, images: Sequence[Path], config: DataConfig) -> Path | None:
    """Image of a file: the one it names, else one of its own name, preferably beside it."""
    named = resolve_inside(config.path, file.path.parent, file.image_name or "/")
    if config.images is None and named in images:
        return named
    name = file.image_name.replace("\\", "/").rsplit("/", 1)[-1]
    for same in (
        [p for p in images if p.parent == file.path.parent and p.name == name],
        [p for p in images if p.parent == file.path.parent and p.stem == file.path.stem],
        [p for p in images if p.name == name and p.stem == file.path.stem],
        [p for p in images if p.stem == file.path.stem],
    ):
        same_split = [
            p for p in same if split_inside(p, config.path) == split_inside(file.path, config.path)
        ]
        if len(same) == 1 or len(same_split) == 1:
            return (same if len(same) == 1 else same_split)[0]
        if same:
            raise DataError(
                f"{file.path} fits {len(same)} images: {', '.join(map(str, same[:3]))}. Keep one."
            )
    return None


def _require_only(file: LabelMeFile, first: LabelMeFile, image: Path) -> None:
    """Raise if two files are for the same image."""
    if first is not file:
        raise DataError(
            f"{first.path} and {file.path} are both for the image {image}: expected one JSON per "
            "image. Remove one, or correct its imagePath."
        )


def _describe_missing(file: LabelMeFile) -> Problem:
    """Report that the image is missing, and how to extract an embedded one."""
    message = f"{file.path} has no image ({file.image_name or 'it names none'}); left out"
    if file.embedded:
        path = str(file.path)
        message += (
            '. It has the image embedded; extract it with: python -c "import base64, json, '
            f"pathlib; p = pathlib.Path({path!r}); p.with_suffix('.png').write_bytes("
            "base64.b64decode(json.loads(p.read_text(encoding='utf-8'))['imageData']))\""
        )
    return Problem("unpaired", str(file.path), message)


def _describe_lines(files: Sequence[LabelMeFile]) -> list[Problem]:
    """Note that points and lines were left out."""
    found = [label for file in files for label in file.without_area]
    if not found:
        return []
    where = next(file.path for file in files if file.without_area)
    names = ", ".join(sorted(set(found))[:5])
    message = f"{len(found)} points and lines have no area and are left out (labels: {names})"
    return [Problem("note", str(where), message)]


def _order_labels(files: Sequence[LabelMeFile], root: Path) -> tuple[list[str], list[Problem]]:
    """Labels in the order of labels.txt, else by name, so independent of their frequency."""
    used = sorted({label for file in files for label in file.labels})
    for path in (root / name for name in _NAME_FILES):
        if not path.is_file():
            continue
        lines = read_bytes(path, what="list").decode("utf-8", "replace").splitlines()
        listed = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
        known = [label for label in used if label in listed]
        if used and not known:
            message = f"none of its names is a label of the annotations ({used[0]}, ...): not used"
            return used, [Problem("note", str(path), message)]
        more = [label for label in used if label not in listed]
        message = f"the annotations have labels that it does not list: {', '.join(more[:5])}"
        return listed + more, [Problem("note", str(path), message)] if more else []
    return used, []


LAYOUT: Final = Layout(
    "labelme",
    "LabelMe's JSON files, one per image, beside it or in a separate folder",
    recognise,
    read,
    drawn=True,
)
