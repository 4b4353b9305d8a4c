"""What mask values mean when nobody says: asked of the masks, answered in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.classes import VOID
from pixelwise.datasets.mapping import (
    BINARY_NAMES,
    VOID_NAME,
    ClassScheme,
    create_instance_scheme,
    create_named_scheme,
    format_value,
    is_grey,
    pack_colors,
    require_integers,
)
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import MaskReader, PlanesHeader
from pixelwise.errors import ConfigError, DataError, PixelwiseError

Array = npt.NDArray[Any]
MaskOfImage = tuple[MaskReader, PlanesHeader]

_MASKS_READ: Final = 128
_CODES: Final = 64
"""More values than this are no codes of classes, unless they run 0, 1, 2, ... without a gap."""
_FEW: Final = 20
"""A mask with more values than this may number its objects."""
_ONE_BLOB: Final = 0.9
"""Share of values that are one connected region each, from which labels count as instances."""
_BLOB_MASKS: Final = 8


@dataclass(frozen=True)
class MaskValues:
    """Distinct values of one mask, ascending; colours as 0xRRGGBB."""

    values: tuple[int, ...]
    colors: bool


def infer_scheme(
    masks: Sequence[MaskOfImage], *, void: Iterable[float] = (), sparse: bool = False
) -> tuple[ClassScheme, list[Problem]]:
    """Read masks (all, or 128 spread over the data set) and tell what their values mean.

    Understood are two values, indices 0, 1, 2, ... (with 255 as void), codes such as 0, 128, 255,
    instance labels (connected, different from image to image), and colours.

    Parameters
    ----------
    masks : sequence
        Masks with the headers of their images.
    void : iterable of float
        Values to ignore.
    sparse : bool
        0 means 'not annotated'; classes start from 1.

    Returns
    -------
    scheme : ClassScheme
        How the values were read, in words that also say how many masks were read.
    problems : list of Problem
        Masks that could not be read.

    Raises
    ------
    DataError
        The values fit nothing; the message says what was found and how to name the classes.
    """
    chosen = [masks[i] for i in _spread(len(masks), _MASKS_READ)]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(_survey, chosen))
    problems = [result for result in results if isinstance(result, Problem)]
    surveys = [result for result in results if isinstance(result, MaskValues)]
    if not surveys:
        raise DataError("No mask could be read, so the classes are unknown.")
    ignored = {int(value) for value in void} | ({0} if sparse else set())
    try:
        scheme = _interpret(surveys, chosen, ignored=ignored, sparse=sparse)
    except ConfigError as error:
        raise DataError(f"The masks do not show what the classes are: {error}") from error
    count = f"all {len(chosen)}" if len(chosen) == len(masks) else f"{len(chosen)} of {len(masks)}"
    words = f"{scheme.words} (values of {count} masks)"
    return replace(scheme, words=words), problems


def _spread(count: int, limit: int) -> list[int]:
    """Return up to `limit` indices, evenly spread over 0 to `count` - 1."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, limit))})


def _survey(mask: MaskOfImage) -> MaskValues | Problem:
    """Read the values of one mask."""
    reader, header = mask
    try:
        raw = reader.read(header)
        if is_grey(raw):
            return MaskValues(_find_values(require_integers(raw[:, 0])), colors=False)
        return MaskValues(_find_values(pack_colors(raw)), colors=True)
    except PixelwiseError as error:
        return Problem("unreadable", str(reader.path), str(error), fatal=True)


def _find_values(values: Array) -> tuple[int, ...]:
    """Sorted distinct values; counted where they are few, sorted where they are wide."""
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high < 1 << 16:
        present: Array = np.flatnonzero(np.bincount(values.ravel()))
    else:
        present = np.unique(values)
    return tuple(present.tolist())


def _interpret(
    surveys: Sequence[MaskValues], masks: Sequence[MaskOfImage], *, ignored: set[int], sparse: bool
) -> ClassScheme:
    """Choose among the kinds of masks."""
    if any(survey.colors for survey in surveys):
        scheme = _read_colors(masks, ignored)
        return scheme.for_sparse() if sparse else scheme
    present = sorted({value for survey in surveys for value in survey.values} - ignored)
    if not present:
        raise DataError(
            "The masks hold no value but the ignored ones "
            f"({', '.join(map(str, sorted(ignored)))}): nothing is annotated."
        )
    if sparse:
        return _read_sparse(present, ignored)
    if set(present) <= {0, 1} or set(present) <= {0, 255}:
        return _read_binary(present, ignored)
    if _are_instances(surveys, masks, ignored=ignored):
        return create_instance_scheme(
            f"{len(present) - (0 in present)} values that number connected objects, read as "
            "instances"
        ).ignore(ignored)
    return _read_codes(present, ignored)


def _read_binary(present: list[int], ignored: set[int]) -> ClassScheme:
    """Two values, or one of them: 0 is background; beside masks of 0 alone, 1 or 255 may come."""
    high = (1, 255) if present == [0] else (255 if 255 in present else 1,)
    pairs = {"0": BINARY_NAMES[0]} | {str(value): BINARY_NAMES[1] for value in high}
    shown = " and ".join(map(str, present))
    return create_named_scheme(
        pairs | _name_void(ignored), f"mask value{'s' * (len(present) > 1)} {shown} read as binary"
    )


def _read_sparse(present: list[int], ignored: set[int]) -> ClassScheme:
    """Sparse annotation: 0 is void, classes from 1 on."""
    void = {255} if _is_conventional_void(present, first=1) else set()
    pairs = {str(value): f"class {value}" for value in present if value not in void}
    if len(pairs) < 2:
        raise DataError(
            f"With sparse annotation the masks hold one class only (value {', '.join(pairs)}; 0 "
            "means 'not annotated'). Draw at least two classes, e.g. 1 for background."
        )
    scheme = create_named_scheme(
        pairs | _name_void(ignored | void), "sparse annotation, 0 is not annotated"
    )
    return scheme.for_sparse()


def _read_codes(present: list[int], ignored: set[int]) -> ClassScheme:
    """Read indices 0, 1, 2, ... or any few grey values: one class each, in ascending order."""
    void = {255} if _is_conventional_void(present, first=0) else set()
    codes = [value for value in present if value not in void]
    contiguous = codes == list(range(len(codes)))
    if len(codes) > (VOID if contiguous else _CODES):
        raise DataError(
            f"The masks hold {len(codes)} different values ({codes[0]} to {codes[-1]}), which are "
            "neither class indices nor codes of a few classes nor instances. Name the values "
            "(classes: 0=background,255=cell), say 'instances', or save the masks without lossy "
            "compression."
        )
    if len(codes) == 2 and codes[0] == 0:
        names = dict(zip(map(str, codes), BINARY_NAMES, strict=True))
        kind = "binary"
    else:
        word = "class" if contiguous else "value"
        names = {str(v): BINARY_NAMES[0] if v == 0 else f"{word} {v}" for v in codes}
        kind = "class indices" if contiguous else "one class per value"
    reason = f"{len(codes)} mask values read as {kind}"
    if void:
        reason += " (255 beside indices is void by convention)"
    return create_named_scheme(names | _name_void(ignored | void), reason)


def _is_conventional_void(present: list[int], first: int) -> bool:
    """Whether 255 stands beside indices that run from `first` without a gap."""
    others = present[:-1]
    return (
        present[-1] == VOID
        and len(others) > 1
        and others == list(range(first, first + len(others)))
    )


def _read_colors(masks: Sequence[MaskOfImage], ignored: set[int]) -> ClassScheme:
    """One class per colour: black first, then by how many pixels have it."""
    counts: dict[int, int] = {}
    for reader, header in masks:
        try:
            values, found = np.unique(pack_colors(reader.read(header)), return_counts=True)
        except PixelwiseError:
            continue
        for value, count in zip(values.tolist(), found.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
    if len(counts) > _CODES:
        raise DataError(
            f"The masks are RGB pictures with {len(counts)} colours; expected one colour per class "
            f"and at most {_CODES}. Are these the masks, and were they saved without lossy "
            "compression?"
        )
    order = sorted(counts.keys() - ignored, key=lambda value: (value != 0, -counts[value]))
    keys = [format_value(value, colors=True) for value in order]
    names = [BINARY_NAMES[0] if key == "#000000" else key for key in keys]
    if len(keys) == 2 and keys[0] == "#000000":
        names = list(BINARY_NAMES)
    void = {format_value(value, colors=True): VOID_NAME for value in sorted(ignored)}
    pairs = dict(zip(keys, names, strict=True)) | void
    return create_named_scheme(pairs, f"{len(keys)} colours, one class each")


def _name_void(ignored: set[int]) -> dict[str, str]:
    """Pairs that ignore values."""
    return {str(value): VOID_NAME for value in sorted(ignored)}


def _are_instances(
    surveys: Sequence[MaskValues], masks: Sequence[MaskOfImage], *, ignored: set[int]
) -> bool:
    """Whether the values number objects: they look like numbers, and each is one connected region.

    Classes can be in one piece too (organs, a cell and its nucleus), so the values must also look
    counted, see `_look_counted`.
    """
    if not _look_counted([set(survey.values) - ignored - {0} for survey in surveys]):
        return False
    values = blobs = 0
    for reader, header in (masks[i] for i in _spread(len(masks), _BLOB_MASKS)):
        try:
            found = _count_blobs(reader.read(header)[:, 0], ignored)
        except PixelwiseError:
            continue
        values, blobs = values + found[0], blobs + found[1]
    return blobs > 0 and values / blobs >= _ONE_BLOB


def _look_counted(own: Sequence[set[int]]) -> bool:
    """Whether the values of each mask look like numbers of its own objects.

    One mask has many of them, or they go beyond 255, or each mask counts 1, 2, 3, ... without a
    gap but not equally far.
    """
    largest = max(max(values, default=0) for values in own)
    if largest > VOID or max(map(len, own)) > _FEW:
        return True
    dense = all(len(values) == max(values, default=0) for values in own)
    return dense and largest > 2 and any(values != own[0] for values in own)


def _count_blobs(labels: Array, ignored: set[int]) -> tuple[int, int]:
    """Values other than 0 in (N, Y, X) labels, and connected regions of equal value."""
    from skimage.measure import label

    integers = require_integers(labels)
    integers = np.where(np.isin(integers, list(ignored)), 0, integers)
    values = len(set(_find_values(integers)) - {0})
    blobs = label(integers, background=0, connectivity=integers.ndim)
    return values, int(blobs.max())
