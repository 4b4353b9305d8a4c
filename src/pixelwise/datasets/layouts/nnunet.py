"""nnU-Net: ``imagesTr``, ``labelsTr`` (and ``Ts``), one file per channel, ``dataset.json``.

``case_0000.png`` and ``case_0001.png`` are the channels of one image, whose labels are
``case.png``. Both forms of ``dataset.json`` are read: version 2 (``channel_names``, labels by name)
and version 1 (``modality``, labels by number).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.classes import VOID
from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.json_files import JsonNode, read_json
from pixelwise.datasets.annotations.legend import BACKGROUND, Label
from pixelwise.datasets.channel_images import ChannelFiles
from pixelwise.datasets.layouts.annotated import iter_files, named_folder
from pixelwise.datasets.layouts.base import Entry, Layout, Listing
from pixelwise.datasets.mapping import VOID_NAME, ClassScheme, create_named_scheme
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask, ImageReader
from pixelwise.datasets.sample import Split
from pixelwise.errors import DataError, quote_value
from pixelwise.images import IMAGE_SUFFIXES

_DESCRIPTION: Final = "dataset.json"
_CHANNEL: Final = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_FOLDERS: Final[tuple[tuple[str, str, Split | None], ...]] = (
    ("imagesTr", "labelsTr", None),
    ("imagesTs", "labelsTs", "test"),
)
_NIFTI: Final = (".nii.gz", ".nii", ".mha", ".nrrd")


@dataclass(frozen=True)
class _Description:
    """Contents of ``dataset.json``.

    Attributes
    ----------
    ending : str
        Suffix of all files, or empty.
    channels : int
        Channels of every image, or 0.
    labels : tuple of (int, str)
        Value and name; empty if there are none.
    regions : tuple of str
        Labels that combine several values.
    """

    ending: str = ""
    channels: int = 0
    labels: tuple[tuple[int, str], ...] = ()
    regions: tuple[str, ...] = ()


def recognise(path: Path) -> str | None:
    """Why `path` is of this layout."""
    images, labels, _ = _FOLDERS[0]
    if (path / images).is_dir() and (path / labels).is_dir():
        return f"holds {images}/ and {labels}/"
    return None


def read(config: DataConfig) -> Listing:
    """List every image that has labels, with its channels joined."""
    said = _read_description(config.path / _DESCRIPTION)
    entries: list[Entry] = []
    problems: list[Problem] = []
    for images, labels, split in _choose_folders(config):
        found, more = _list_folder(images, labels, config=config, said=said, split=split)
        entries += found
        problems += more
    if isinstance(config.classes, Mapping) or config.classes == "instances":
        return Listing(tuple(entries), tuple(problems))
    _require_no_regions(said, config.path)
    return Listing(tuple(entries), tuple(problems), _create_scheme(said))


def _choose_folders(config: DataConfig) -> list[tuple[Path, Path, Split | None]]:
    """Folders that the config names, else those of training and test."""
    images = named_folder(config, config.images, "images")
    masks = named_folder(config, config.masks, "masks")
    if images or masks:
        first, second, _ = _FOLDERS[0]
        return [(images or config.path / first, masks or config.path / second, None)]
    pairs = [(config.path / i, config.path / m, split) for i, m, split in _FOLDERS]
    return [pair for pair in pairs if pair[0].is_dir()]


def _read_description(path: Path) -> _Description:
    """Read ``dataset.json``, if it exists."""
    if not path.is_file():
        return _Description()
    root = read_json(path)
    channels = root["channel_names"] if root["modality"].absent else root["modality"]
    ending = "" if root["file_ending"].absent else root["file_ending"].text().lower()
    labels, regions = _parse_labels(root["labels"])
    count = 0 if channels.absent else len(_items(channels))
    return _Description(ending, count, labels, regions)


def _parse_labels(node: JsonNode) -> tuple[tuple[tuple[int, str], ...], tuple[str, ...]]:
    """Values with their names, and the names of several values.

    Version 1 has ``{"0": "background"}``, version 2 ``{"background": 0, "tumour": [1, 2]}``.
    """
    if node.absent:
        return (), ()
    found: dict[int, str] = {}
    regions = []
    for key, item in _items(node):
        if isinstance(item.value, list):
            regions.append(key)
            continue
        reversed_ = isinstance(item.value, str) and not item.value.strip().isdecimal()
        value, name = (key, item.value.strip()) if reversed_ else (item.value, key.strip())
        if isinstance(value, bool) or not str(value).strip().isdecimal() or not name:
            item.fail("a label as name: value, or value: name")
        if int(value) in found:
            item.fail(f"a value other than that of {quote_value(found[int(value)])}")
        found[int(value)] = name
    return tuple(sorted(found.items())), tuple(regions)


def _items(node: JsonNode) -> list[tuple[str, JsonNode]]:
    """Keys and values of an object."""
    if not isinstance(node.value, dict):
        node.fail("an object with keys")
    return [(key, node[key]) for key in node.value]


def _list_folder(
    images: Path, labels: Path, *, config: DataConfig, said: _Description, split: Split | None
) -> tuple[list[Entry], list[Problem]]:
    """Images of a folder with their labels, and what does not fit."""
    endings = (said.ending,) if said.ending else (*_NIFTI, *sorted(IMAGE_SUFFIXES))
    masks = _list_masks(labels, endings) if labels.is_dir() else {}
    cases = _list_cases(images, endings, masks)
    most = Counter(len(files) for files in cases.values()).most_common(1)
    entries: list[Entry] = []
    problems: list[Problem] = []
    without: list[Path] = []
    for case, files in cases.items():
        numbers = sorted(files)
        if numbers != list(range(most[0][0])):
            message = (
                f"{images / case} has the channels {numbers}, most images of {images.name}/ have "
                f"{list(range(most[0][0]))}; add the missing ones, or remove the image"
            )
            problems.append(Problem("channels", str(images / case), message, fatal=True))
        elif case not in masks:
            without.append(files[0])
        else:
            paths = tuple(files[number] for number in numbers)
            reader = _create_reader(paths, config)
            entries.append(Entry(case, split, reader, FileMask(masks[case])))
    problems += _describe_left(without, labels, split)
    problems += [
        Problem(
            "unpaired", str(mask), f"{mask} has no image {case}_0000 in {images.name}/; left out"
        )
        for case, mask in masks.items()
        if case not in cases
    ]
    return entries, problems + _compare_channels(said, most, images)


def _create_reader(paths: tuple[Path, ...], config: DataConfig) -> ImageReader:
    """Reader of one file, or of several that are joined."""
    if len(paths) == 1:
        return FileImage(paths[0], config.axes)
    return ChannelFiles(paths, config.axes)


def _list_cases(
    folder: Path, endings: tuple[str, ...], masks: Mapping[str, Path]
) -> dict[str, dict[int, Path]]:
    """Files of every case by channel; `DataError` if a channel occurs twice."""
    cases: dict[str, dict[int, Path]] = {}
    for file in iter_files([folder], *endings):
        case, channel = _parse_name(_cut_ending(file, endings), masks)
        files = cases.setdefault(case, {})
        if channel in files:
            raise DataError(
                f"{files[channel]} and {file} are both channel {channel:04} of {case}: keep one."
            )
        files[channel] = file
    return cases


def _parse_name(name: str, masks: Mapping[str, Path]) -> tuple[str, int]:
    """Case and channel of an image; the Medical Segmentation Decathlon has no channel numbers."""
    match = _CHANNEL.fullmatch(name)
    if match is None or (name in masks and match["case"] not in masks):
        return name, 0
    return match["case"], int(match["channel"])


def _cut_ending(file: Path, endings: tuple[str, ...]) -> str:
    """Name of a file without its ending."""
    end = next(end for end in endings if file.name.lower().endswith(end))
    return file.name[: -len(end)]


def _list_masks(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """Labels by case; `DataError` if a case has two."""
    found: dict[str, Path] = {}
    for file in iter_files([folder], *endings):
        case = _cut_ending(file, endings)
        if case in found:
            raise DataError(f"{found[case]} and {file} are both labels of {case}: keep one.")
        found[case] = file
    return found


def _describe_left(without: list[Path], labels: Path, split: Split | None) -> list[Problem]:
    """Report images without labels: each training image, but only a count of test images."""
    if split == "test" and without:
        message = f"{len(without)} images have no labels in {labels.name}/ and are left out"
        return [Problem("note", str(without[0].parent), f"{message}, e.g. {without[0].name}")]
    return [
        Problem("unpaired", str(file), f"{file} has no labels in {labels.name}/; left out")
        for file in without
    ]


def _compare_channels(
    said: _Description, most: list[tuple[int, int]], folder: Path
) -> list[Problem]:
    """Report a channel count that differs from ``dataset.json``; an RGB file has three."""
    if not said.channels or not most or most[0][0] in (said.channels, 1):
        return []
    message = f"{_DESCRIPTION} names {said.channels} channels, images have {most[0][0]} files"
    return [Problem("channels", str(folder), message, fatal=True)]


def _require_no_regions(said: _Description, path: Path) -> None:
    """Raise if labels overlap: a pixel would have several classes."""
    if said.regions:
        raise DataError(
            f"{path / _DESCRIPTION} combines mask values to overlapping regions "
            f"({', '.join(said.regions[:5])}), but here a pixel has one class. Name each mask "
            "value: --classes 0=background,1=NAME,2=NAME (values of one name are one class)."
        )


def _create_scheme(said: _Description) -> ClassScheme | None:
    """Classes by their values in ascending order; None if they must be inferred."""
    if len(said.labels) < 2:
        return None
    spoken = {}
    for value, name in said.labels:
        label = Label(name)
        spoken[str(value)] = BACKGROUND if label.is_background else name
        if label.is_ignored:
            spoken[str(value)] = VOID_NAME
    if VOID not in dict(said.labels):
        spoken[str(VOID)] = VOID_NAME
    scheme = create_named_scheme(spoken, f"as {_DESCRIPTION} says")
    return scheme if spoken.get("0") == BACKGROUND else scheme.for_sparse()


LAYOUT: Final = Layout(
    "nnunet",
    "nnU-Net: imagesTr/case_0000.png (further channels _0001, ...) with labelsTr/case.png",
    recognise,
    read,
)
