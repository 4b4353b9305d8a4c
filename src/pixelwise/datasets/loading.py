"""From a folder to a `Dataset`: find the layout, read headers, settle classes and channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

from pixelwise.classes import VOID
from pixelwise.config import DataConfig
from pixelwise.datasets.clean import find_unclean
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.inference import infer_scheme
from pixelwise.datasets.layouts import Entry, Found, Listing, list_data
from pixelwise.datasets.layouts.foreign import describe_foreign
from pixelwise.datasets.mapping import ClassScheme, create_instance_scheme, create_scheme
from pixelwise.datasets.palettes import decide_reading, iter_palette_masks
from pixelwise.datasets.problems import Kind, Problem, merge_notes
from pixelwise.datasets.readers import FileMask, JoinedMask, MaskFacts, PlanesHeader
from pixelwise.datasets.sample import Sample
from pixelwise.datasets.surveys import UnclearMasksError
from pixelwise.errors import ConfigError, DataError, PixelwiseError, ReadError
from pixelwise.images.reader import Palette


def load_dataset(
    data: str | Path | DataConfig, layout: str = "auto", *, strict: bool = True, **fields: Any
) -> Dataset:
    """Load a folder of images and masks: headers only, pixels are read from the samples.

    Parameters
    ----------
    data : path or DataConfig
        Folder, or a full config.
    layout : str
        Layout of the folder; ``auto`` recognises it. Only with a path.
    strict : bool
        Refuse a data set with broken files; otherwise leave them out and list them in `problems`.
    **fields
        Fields of `DataConfig`, e.g. ``classes={"0": "background", "255": "cell"}``.

    Raises
    ------
    ReadError
        The folder is missing or cannot be read.
    DataError
        Nothing was recognised, no image has a mask, or files are broken (`strict`).
    ConfigError
        A field is wrong.
    """
    config = _create_config(data, layout=layout, fields=fields)
    found, listing = list_data(config)
    for split in ("validation", "test"):
        listing = _add_folder(split, found, listing, config=config)
    listing = _name_uniquely(listing)
    _require_entries(found, listing)
    if listing.settled:  # the layout has already applied the class names
        config = config.model_copy(update={"classes": "auto", "sparse": False})
    dataset = _build(config, found, listing=listing)
    return dataset.require_sound() if strict else dataset


def _create_config(
    data: str | Path | DataConfig, *, layout: str, fields: dict[str, Any]
) -> DataConfig:
    """Combine the arguments into one config."""
    if not isinstance(data, DataConfig):
        return DataConfig.create(path=data, layout=layout, **fields)
    return DataConfig.create(**(data.model_dump() | fields)) if fields else data


def _add_folder(
    split: Literal["validation", "test"], found: Found, listing: Listing, *, config: DataConfig
) -> Listing:
    """Add the images of the folder that is named for a split; no other split has them then."""
    folder: Path | None = getattr(config, split)
    if folder is None:
        return listing
    beside, extra = list_data(config.model_copy(update={"path": folder}))
    entries = tuple(replace(entry, split=split) for entry in extra.entries)
    if not entries:
        raise DataError(f"The {split} folder {folder} has no image with a mask.")
    if listing.settled or create_scheme(config) is None:
        _require_same_classes(split, (found, listing), (beside, extra))
    held = {entry.image.path.resolve() for entry in entries}
    others = tuple(e for e in listing.entries if e.image.path.resolve() not in held)
    if not any(entry.split in (None, "train") for entry in others):
        raise DataError(
            f"All images of {config.path} are in the {split} folder {folder} too, or are "
            "validation or test images: none is left to train on."
        )
    problems = listing.problems + extra.problems
    if moved := len(listing.entries) - len(others):
        message = f"{moved} of the images are also in the {split} folder: used only there"
        problems += (Problem("note", str(folder), message),)
    return replace(listing, entries=others + entries, problems=problems)


def _require_same_classes(
    split: str, train: tuple[Found, Listing], other: tuple[Found, Listing]
) -> None:
    """Refuse a folder of a split with another layout or other classes than the training data.

    Raises
    ------
    DataError
        The layouts differ, or their classes do.
    """
    (found, listing), (beside, extra) = train, other
    if beside.layout.name != found.layout.name:
        raise DataError(
            f"The {split} folder {beside.root} was read as {beside.layout.name} "
            f"({beside.reason}), {found.root} as {found.layout.name} ({found.reason}): expected "
            "the same layout. Give it with --layout, or map the mask values of both with --classes."
        )
    names = [_name_classes(one.scheme) for one in (extra, listing)]
    if names[0] != names[1]:
        raise DataError(
            f"The {split} folder {beside.root} has the classes {names[0]}, {found.root} has "
            f"{names[1]}: expected the same, in the same order."
        )


def _name_classes(scheme: ClassScheme | None) -> str:
    return "" if scheme is None else ", ".join(item.name for item in scheme.classes)


def _require_entries(found: Found, listing: Listing) -> None:
    """Raise if no image has a mask."""
    if not listing.entries:
        shown = "".join(f"\n  {problem}" for problem in listing.problems[:5])
        if foreign := describe_foreign(found.root):
            shown += foreign
        raise DataError(
            f"{found.root} ({found.layout.name}: {found.reason}) has no image with a mask. An "
            f"image and its mask must have the same name.{shown}"
        )


def _name_uniquely(listing: Listing) -> Listing:
    """Add numbers to equal entry names, with a note: patch files are named after them."""
    taken = {entry.name.lower() for entry in listing.entries}
    seen: set[str] = set()
    entries, renamed = [], []
    for entry in listing.entries:
        if entry.name.lower() in seen:
            numbered = (f"{entry.name}-{number}" for number in count(2))
            name = next(name for name in numbered if name.lower() not in taken)
            entry = replace(entry, name=name)
            renamed.append(entry)
            taken.add(name.lower())
        seen.add(entry.name.lower())
        entries.append(entry)
    if not renamed:
        return listing
    message = (
        f"{len(renamed)} images have the name of another one and got a number, "
        f"e.g. {renamed[0].name} for {renamed[0].image.path}"
    )
    problem = Problem("duplicate", str(renamed[0].image.path), message)
    return replace(listing, entries=tuple(entries), problems=(*listing.problems, problem))


@dataclass(frozen=True)
class _Checked:
    """An entry whose headers were read and match."""

    entry: Entry
    header: PlanesHeader
    facts: tuple[MaskFacts, ...] | None = None


def _build(config: DataConfig, found: Found, *, listing: Listing) -> Dataset:
    """Read headers, determine channels and classes, and create the samples."""
    checked, problems = _check_headers(listing.entries)
    if config.skip_unreadable:
        checked, problems = _skip_unreadable(checked, problems)
    channels, channel_problems = _settle_channels(checked)
    unfit = {problem.where for problem in channel_problems if problem.fatal}
    checked = [c for c in checked if str(c.entry.image.path) not in unfit]
    checked, reading_problems = _settle_reading(config, listing, checked)
    scheme, scheme_problems = _settle_scheme(config, found, listing=listing, checked=checked)
    class_map = replace(scheme.class_map, names=tuple(item.name for item in scheme.classes))
    samples = [
        Sample(
            name=c.entry.name,
            group=c.entry.group or c.entry.name,
            split=c.entry.split,
            image=c.entry.image,
            mask=c.entry.mask,
            header=c.header,
            class_map=class_map,
            channels=channels,
            resize=config.resize,
        )
        for c in checked
    ]
    return Dataset(
        root=config.path,
        layout=found.layout.name,
        reason=found.reason,
        samples=tuple(samples),
        classes=scheme.classes,
        mapping=scheme.words,
        in_channels=channels,
        dtypes=tuple(sorted({c.header.dtype for c in checked})),
        background=scheme.background,
        seen=scheme.seen,
        unclear=scheme.unclear,
        problems=(
            *listing.problems,
            *problems,
            *channel_problems,
            *reading_problems,
            *scheme_problems,
        ),
    )


def _check_headers(entries: Sequence[Entry]) -> tuple[list[_Checked], list[Problem]]:
    """Read all headers; an unusable image or mask becomes a fatal problem."""
    checked, problems = [], []
    for entry in entries:
        try:
            header = entry.image.read_header()
        except PixelwiseError as error:
            problems.append(Problem("unreadable", str(entry.image.path), str(error), fatal=True))
            continue
        try:
            facts = entry.mask.require_match(header)
        except PixelwiseError as error:
            kind: Kind = "shape" if isinstance(error, DataError) else "unreadable"
            problems.append(Problem(kind, str(entry.mask.path), str(error), fatal=True))
            continue
        checked.append(_Checked(entry, header, facts))
    return checked, problems


def _skip_unreadable(
    checked: Sequence[_Checked], problems: Sequence[Problem]
) -> tuple[list[_Checked], list[Problem]]:
    """Read all files fully, leave out unreadable ones, and report each."""
    results = [_read_whole(c) for c in checked]
    found = [*problems, *(result for result in results if result is not None)]
    sound = [c for c, result in zip(checked, results, strict=True) if result is None]
    if not sound:
        raise DataError(f"No image with its mask can be read: {'; '.join(map(str, found[:5]))}")
    return sound, [
        replace(problem, fatal=False, message=f"left out: {problem.message}")
        if problem.kind == "unreadable"
        else problem
        for problem in found
    ]


def _read_whole(checked: _Checked) -> Problem | None:
    """Read an image and its mask fully; return the problem, if any."""
    path = checked.entry.image.path
    try:
        checked.entry.image.read()
        path = checked.entry.mask.path
        checked.entry.mask.read(checked.header)
    except ReadError as error:
        return Problem("unreadable", str(path), str(error))
    return None


def _settle_channels(checked: Sequence[_Checked]) -> tuple[int, list[Problem]]:
    """Channels of the data set: those of most images; grey among RGB is repeated."""
    counts = Counter(c.header.shape[1] for c in checked)
    if not counts:
        return 1, []
    channels = counts.most_common(1)[0][0]
    if set(counts) >= {1, 3} and channels == 1:
        channels = 3
    fitting = {1, 3} if channels == 3 else {channels}
    problems = []
    if channels == 3 and 1 in counts:
        message = (
            f"{counts[1]} grey images among {counts[channels]} with {channels} channels: "
            "their channel is repeated"
        )
        problems.append(Problem("note", "all images", message))
    for c in checked:
        if (found := c.header.shape[1]) not in fitting:
            message = (
                f"{c.entry.image.path} has {found} channels ({c.header.axes}), most images have "
                f"{channels}; leave it out, or give the axes"
            )
            problems.append(Problem("channels", str(c.entry.image.path), message, fatal=True))
    return channels, problems


def _settle_reading(
    config: DataConfig, listing: Listing, checked: Sequence[_Checked]
) -> tuple[list[_Checked], list[Problem]]:
    """Choose one reading for all masks, and collect the notes on images and masks."""
    scheme = listing.scheme if listing.settled else create_scheme(config) or listing.scheme
    given = scheme.class_map if scheme is not None and scheme.class_map.rest is None else None
    masks = list(iter_palette_masks((c.header, c.facts) for c in checked))
    reading = decide_reading(masks, class_map=given, root=config.path)
    notes = [(c.entry.image.path, note) for c in checked for note in c.header.notes]
    notes += [(m.mask.path, note) for m in masks for note in m.facts.notes]
    read = [replace(c, entry=_read_as(c.entry, reading.palette)) for c in checked]
    return read, [*reading.problems, *merge_notes(notes)]


def _read_as(entry: Entry, palette: Palette) -> Entry:
    """Set the data set's reading on the mask of an entry."""
    if not isinstance(entry.mask, FileMask | JoinedMask):
        return entry
    return replace(entry, mask=entry.mask.read_as(palette))


def _settle_scheme(
    config: DataConfig, found: Found, *, listing: Listing, checked: Sequence[_Checked]
) -> tuple[ClassScheme, list[Problem]]:
    """Classes from the config, else from the layout, else inferred from the masks."""
    if scheme := create_scheme(config):
        return scheme, _judge_objects(scheme, checked)
    if listing.scheme:
        if config.sparse and found.layout.name != "patches":
            raise ConfigError(
                f"sparse reads 0 as 'not annotated', but in this layout it is a class "
                f"({listing.scheme.words}): name the classes, or turn sparse off."
            )
        return listing.scheme.ignore(config.void), _judge_objects(listing.scheme, checked)
    try:
        masks = [(c.entry.mask, c.header) for c in checked]
        return infer_scheme(masks, void=config.void, sparse=config.sparse)
    except DataError as error:
        problem = Problem("values", str(config.path), str(error), fatal=True)
        scheme = create_instance_scheme("the masks were not understood")
        scheme = replace(scheme, unclear=str(error))
        if not isinstance(error, UnclearMasksError):
            return scheme, [problem]
        class_map = replace(scheme.class_map, colors=error.colors)
        return replace(scheme, class_map=class_map, seen=error.seen), [problem]


def _judge_objects(scheme: ClassScheme, checked: Sequence[_Checked]) -> list[Problem]:
    """Report grey edges if every value but 0 is an object."""
    files = [(c.entry.mask, c.header) for c in checked if isinstance(c.entry.mask, FileMask)]
    if scheme.class_map.rest in (None, VOID) or not files:
        return []
    fault = find_unclean(files, scheme.classes[-1].name)
    where = str(files[0][0].path.parent)
    return [] if fault is None else [Problem("values", where, fault, fatal=True)]
