"""Part of an only image as validation data: planes of a stack, or rows or columns of a plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pixelwise.classes import VOID
from pixelwise.config import TRAINED_PATCH
from pixelwise.datasets.sample import Part, Sample

_AXES = ("planes", "rows", "columns")


@dataclass(frozen=True)
class _Cut:
    """An image cut in two along one axis."""

    axis: int
    validation: tuple[int, int]
    training: tuple[int, int]
    classes: int
    """Classes that both sides show."""


def hold_out_part(sample: Sample, fraction: float, *, seed: int) -> tuple[Sample, Sample] | None:
    """Cut an image in two that share no pixel: one to train on, one to validate on.

    Stacks are cut between planes, where at least two are annotated; other images across their
    longer side. The validation part lies at one end and holds about `fraction` of the annotated
    pixels. Ends at which both parts show all classes come first; `seed` chooses among equal ones.

    Parameters
    ----------
    sample : Sample
        An image with its mask, which is read.
    fraction : float
        Share of the annotated pixels to validate on, between 0 and 1.
    seed : int
        Seed of the choice.

    Returns
    -------
    training, validation : Sample, or None
        None if the image is too small, or its annotation lies in one place.
    """
    labels = sample.read_mask()
    cuts = [cut for axis in range(3) for cut in _iter_cuts(labels, axis, fraction)]
    if not cuts:
        return None
    height, width = labels.shape[1:]
    order = (0, 1, 2) if height >= width else (0, 2, 1)
    best = min((-cut.classes, order.index(cut.axis)) for cut in cuts)
    equal = [cut for cut in cuts if (-cut.classes, order.index(cut.axis)) == best]
    cut = equal[seed % len(equal)]
    return _take(sample, cut.axis, cut.training), _take(sample, cut.axis, cut.validation)


def describe_part(sample: Sample) -> str:
    """Say which part of an image a sample is: "planes 0 to 3", counted from 0; empty if whole."""
    if sample.part is None:
        return ""
    whole = replace(sample, part=None).shape
    sizes = (whole[0], *whole[2:])
    for name, (start, stop), size in zip(_AXES, sample.part.ranges, sizes, strict=True):
        if (start, stop) != (0, size):
            return f"{name} {start} to {stop - 1}"
    return ""


def _iter_cuts(labels: npt.NDArray[np.uint8], axis: int, fraction: float) -> Iterator[_Cut]:
    """Cut (N, Y, X) labels along an axis, with the validation part at either end."""
    length, least = labels.shape[axis], TRAINED_PATCH if axis else 1
    rest = tuple(other for other in range(3) if other != axis)
    annotated = (labels != VOID).sum(axis=rest).cumsum()
    if length < 2 * least or not annotated[-1]:
        return
    low = int(np.searchsorted(annotated, fraction * annotated[-1])) + 1
    high = int(np.searchsorted(annotated, (1 - fraction) * annotated[-1])) + 1
    for place, is_low in ((low, True), (high, False)):
        place = min(max(place, least), length - least)
        ends = ((0, place), (place, length))
        validation, training = ends if is_low else ends[::-1]
        shown = [_list_classes(labels, axis, end) for end in (training, validation)]
        if len(shown[0]) > 1 and shown[1]:
            yield _Cut(axis, validation, training, len(shown[0] & shown[1]))


def _list_classes(labels: npt.NDArray[np.uint8], axis: int, ends: tuple[int, int]) -> set[int]:
    found = np.unique(labels.take(range(*ends), axis=axis))
    return {int(value) for value in found if value != VOID}


def _take(sample: Sample, axis: int, ends: tuple[int, int]) -> Sample:
    planes, _, height, width = sample.shape
    ranges = [(0, planes), (0, height), (0, width)]
    ranges[axis] = ends
    return replace(sample, part=Part(*ranges))
