"""Reads every file of a data set and reports its contents and all problems at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.classes import VOID
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.mapping import MaskValueError
from pixelwise.datasets.problems import Kind, Problem
from pixelwise.datasets.sample import Sample
from pixelwise.errors import DataError, PixelwiseError
from pixelwise.figures import Panel, draw_overview, to_rgb8
from pixelwise.scores import count_values

Array = npt.NDArray[Any]
_SHOWN = 20


@dataclass(frozen=True)
class ClassCount:
    """Statistics of one class.

    Attributes
    ----------
    pixels : int
        In all masks.
    share : float
        Fraction of the annotated pixels, 0 to 1.
    images : int
        Masks that contain it.
    """

    name: str
    color: str
    pixels: int
    share: float
    images: int


@dataclass(frozen=True)
class Inspection:
    """Contents and problems of a data set.

    Attributes
    ----------
    root, layout, reason : str
        Folder, its layout, and why that was chosen.
    images, sources : int
        Samples, and the source images they come from.
    splits, sizes, dtypes, axes : dict
        How many images have each; sizes as 'height x width', axes as understood.
    planes : int
        Planes of all images; more than images for stacks.
    channels : int
        Of every image.
    intensities : tuple of float or None
        Lowest and highest finite pixel value.
    mapping : str
        How mask values were read.
    classes : tuple of ClassCount
        In the order of their indices.
    void_pixels : int
        Ignored pixels.
    problems : tuple of Problem
        Fatal ones first.
    """

    root: str
    layout: str
    reason: str
    images: int
    sources: int
    splits: dict[str, int]
    sizes: dict[str, int]
    dtypes: dict[str, int]
    axes: dict[str, int]
    planes: int
    channels: int
    intensities: tuple[float, float] | None
    mapping: str
    classes: tuple[ClassCount, ...]
    void_pixels: int
    problems: tuple[Problem, ...]

    @property
    def sound(self) -> bool:
        """Whether the data set can be used for training."""
        return not any(problem.fatal for problem in self.problems)

    @property
    def void_share(self) -> float:
        """Share of ignored pixels in all pixels."""
        return self.void_pixels / max(self.void_pixels + sum(c.pixels for c in self.classes), 1)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self) | {"sound": self.sound, "void_share": self.void_share}

    def text(self) -> str:
        """Everything as text."""
        faults = [problem for problem in self.problems if problem.fatal]
        notes = [problem for problem in self.problems if not problem.fatal]
        channels = f"{self.channels} channel" + "s" * (self.channels > 1)
        spread = (
            "" if self.intensities is None else ", values {:g} to {:g}".format(*self.intensities)
        )
        return "\n".join(
            [
                f"{self.root}",
                f"layout      {self.layout}: {self.reason}",
                f"images      {self.images} from {self.sources} sources, {self.planes} planes",
                f"sizes       {_join(self.sizes)} (height x width)",
                f"pixels      {_join(self.dtypes)}, {channels}{spread}",
                f"axes        {_join(self.axes)}",
                f"splits      {_join(self.splits)}",
                f"masks       {self.mapping}",
                "classes",
                *self._class_lines(),
                *_list_problems("to fix", faults),
                *_list_problems("notes", notes),
                *(["no problem found"] if not self.problems else []),
            ]
        )

    def _class_lines(self) -> list[str]:
        """One line per class, and one for void."""
        width = max(len(item.name) for item in self.classes)
        lines = [
            f"  {number:3d} {item.name:{width}}  {item.color}  {item.share:7.2%}  "
            f"in {item.images} images"
            for number, item in enumerate(self.classes)
        ]
        return [*lines, f"      void: {self.void_share:.2%} of all pixels"]


@dataclass(frozen=True)
class _Examined:
    """Contents of one sample; `counts` are pixels per mask value."""

    counts: Array
    low: float | None
    high: float | None
    problems: tuple[Problem, ...]


def inspect_dataset(data: Dataset) -> Inspection:
    """Read every image and mask, several at a time, and collect statistics and problems.

    Broken files are listed in `problems`, together with those found while loading (load with
    ``strict=False`` to keep them).
    """
    with ThreadPoolExecutor() as pool:
        examined = list(pool.map(_examine, data.samples))
    counts = np.array([e.counts for e in examined]).reshape(-1, 256)
    found = [problem for e in examined for problem in e.problems]
    lows = [e.low for e in examined if e.low is not None]
    highs = [e.high for e in examined if e.high is not None]
    samples = data.samples
    return Inspection(
        root=str(data.root),
        layout=data.layout,
        reason=data.reason,
        images=len(samples),
        sources=len(data.groups),
        splits=_tally(sample.split or "not assigned" for sample in samples),
        sizes=_tally(f"{s.header.shape[2]} x {s.header.shape[3]}" for s in samples),
        dtypes=_tally(sample.header.dtype for sample in samples),
        axes=_tally(str(sample.header.axes) for sample in samples),
        planes=sum(sample.header.shape[0] for sample in samples),
        channels=data.in_channels,
        intensities=(min(lows), max(highs)) if lows else None,
        mapping=data.mapping,
        classes=_count_classes(data, counts),
        void_pixels=int(counts[:, VOID].sum()),
        problems=_collect([*data.problems, *found, *_judge_masks(data, counts)]),
    )


def draw_inspection(
    inspection: Inspection, data: Dataset, *, path: str | Path, samples: int = 4
) -> None:
    """Draw a few images, their overlays, and the share of every class.

    Parameters
    ----------
    inspection : Inspection
        Of `data`.
    data : Dataset
        Data set whose images are drawn, evenly spread; broken ones are left out.
    path : path
        PNG, SVG or PDF.
    samples : int
        Images to draw.

    Raises
    ------
    WriteError
        The folder cannot be written.
    """
    panels: list[Panel] = []
    step = max(len(data.samples) // max(samples, 1), 1)
    for sample in [*data.samples[::step], *data.samples]:
        if len(panels) == samples or sample.name in {panel.title for panel in panels}:
            continue
        try:
            panels.append(_create_panel(sample))
        except PixelwiseError:
            continue
    draw_overview(
        panels,
        data.classes,
        shares=[item.share for item in inspection.classes],
        title=f"{data.root.name}: {inspection.images} images, {inspection.layout}",
        path=Path(path),
    )


def _create_panel(sample: Sample) -> Panel:
    """Middle plane of a sample."""
    planes, labels = sample.read_image(), sample.read_mask()
    middle = len(planes) // 2
    return Panel(sample.name, to_rgb8(planes[middle]), labels[middle])


def _examine(sample: Sample) -> _Examined:
    """Read one sample; errors become problems."""
    problems: list[Problem] = []
    counts = np.zeros(256, np.int64)
    low = high = None
    try:
        planes, notes = sample.read_image_and_notes()
        problems += [Problem("note", str(sample.image_path), note) for note in notes]
        finite = np.isfinite(planes) if planes.dtype.kind == "f" else None
        if finite is not None and not finite.all():
            problems.append(_describe_nan(sample, int((~finite).sum())))
            planes = planes[finite]
        if planes.size:
            low, high = float(planes.min()), float(planes.max())
    except PixelwiseError as error:
        problems.append(Problem("unreadable", str(sample.image_path), str(error), fatal=True))
    try:
        counts = count_values(sample.read_mask())
    except PixelwiseError as error:
        problems.append(Problem(_kind(error), str(sample.mask_path), str(error), fatal=True))
    return _Examined(counts, low, high, tuple(problems))


def _kind(error: PixelwiseError) -> Kind:
    """Kind of problem that an error of a mask stands for."""
    if isinstance(error, MaskValueError):
        return "values"
    return "shape" if isinstance(error, DataError) else "unreadable"


def _describe_nan(sample: Sample, count: int) -> Problem:
    """Report NaN or infinite pixels."""
    message = (
        f"{sample.image_path} has {count} NaN or infinite pixels; replace them, e.g. by 0, or "
        "leave the image out"
    )
    return Problem("nan", str(sample.image_path), message, fatal=True)


def _count_classes(data: Dataset, counts: Array) -> tuple[ClassCount, ...]:
    """Pixels, share and images of every class, from (samples, 256) counts."""
    pixels = counts[:, : len(data.classes)].sum(axis=0)
    total = max(int(pixels.sum()), 1)
    images = (counts > 0).sum(axis=0)
    return tuple(
        ClassCount(item.name, item.color, int(pixels[i]), float(pixels[i] / total), int(images[i]))
        for i, item in enumerate(data.classes)
    )


def _judge_masks(data: Dataset, counts: Array) -> list[Problem]:
    """Report masks without information: only background, only void, or one class everywhere."""
    present = np.flatnonzero(counts[:, : len(data.classes)].any(axis=0))
    if len(present) == 1 and present[0] != data.background:
        name = data.classes[present[0]].name
        message = (
            f"all masks hold only one class, {name}; there is nothing to learn, check the classes"
        )
        return [Problem("empty", str(data.root), message, fatal=True)]
    foreground = counts[:, :VOID].copy()
    if data.background is not None:
        foreground[:, data.background] = 0
    read, empty = counts.any(axis=1), ~foreground.any(axis=1)
    names = [str(data.samples[i].mask_path) for i in np.flatnonzero(read & empty)]
    if not names:
        return []
    fatal = len(names) == int(read.sum())
    what = "all masks hold" if fatal else f"{len(names)} masks hold"
    advice = "; there is nothing to learn, check the classes" if fatal else ""
    shown = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    message = f"{what} no class but background or void{advice}: {shown}"
    return [Problem("empty", names[0], message, fatal=fatal)]


def _collect(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Deduplicate problems, fatal ones first; equal notes on many files become one."""
    merged: dict[tuple[str, str], list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        merged.setdefault((problem.kind, problem.message), []).append(problem)
    kept = []
    for group in merged.values():
        first = group[0]
        if len(group) > 1:
            message = f"{len(group)} files, e.g. {first.where}: {first.message}"
            first = Problem(first.kind, first.where, message, first.fatal)
        kept.append(first)
    return tuple(sorted(kept, key=lambda problem: not problem.fatal))


def _tally(values: Iterable[str]) -> dict[str, int]:
    """Count values, most frequent first."""
    return dict(Counter(values).most_common())


def _join(counts: dict[str, int]) -> str:
    """Write counts as 'this (20), that (3)', or just 'this' if it is the only one."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count})" for value, count in counts.items()) or "none"


def _list_problems(title: str, problems: Sequence[Problem]) -> list[str]:
    """Format a titled list, or nothing; long ones are shortened (`to_dict` is complete)."""
    if not problems:
        return []
    more = len(problems) - _SHOWN
    shown = [f"  {problem}" for problem in problems[:_SHOWN]]
    return [f"{title}:", *shown, *([f"  and {more} more"] if more > 0 else [])]
