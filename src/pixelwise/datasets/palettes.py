"""Chooses one reading for all masks of a data set: palette indices, colours, or alpha.

An index is a class only if all files have the same palette, as from VOC and QuPath. Programs that
create a palette from an image's colours order each file differently, so the colours are the
classes. Grey of 1, 2 or 4 bits is similar: 1 may be class 1, or white. Headers decide if possible,
otherwise the values in the files; if these are contradictory, the masks are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.datasets.mapping import ClassMap
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileMask, MaskFacts, PlanesHeader
from pixelwise.datasets.transparency import Visibility, describe_conflict, survey_visibility
from pixelwise.errors import PixelwiseError
from pixelwise.images.colors import Colormap, is_grey_colormap, is_ramp
from pixelwise.images.reader import Palette

Array = npt.NDArray[Any]

_MASKS_READ: Final = 128
_WHITE: Final = 255


@dataclass(frozen=True)
class PaletteMask:
    """A mask in one file, and facts from its header."""

    mask: FileMask
    image: PlanesHeader
    facts: MaskFacts

    @property
    def has_palette(self) -> bool:
        """Whether values are indices into colours, not greys as with a ramp.

        A single entry is not a ramp: in an empty mask, black may have another index elsewhere.
        """
        colormap = self.facts.colormap
        return len(colormap) == 1 or (bool(colormap) and not is_ramp(colormap))

    @property
    def is_grey(self) -> bool:
        """Whether values are greys."""
        return self.facts.channels == 1 and not self.has_palette

    @property
    def white(self) -> int:
        """Value of white among the greys of the file."""
        return self.facts.white or _WHITE

    def read_values(self, palette: Palette) -> set[int]:
        """Distinct values of the first channel; none if the file is broken."""
        try:
            raw = FileMask(self.mask.path, palette).read(self.image)
        except PixelwiseError:
            return set()
        return set(np.unique(raw[:, 0]).astype(int).tolist())


@dataclass(frozen=True)
class Reading:
    """How the masks of a data set are read, with notes or problems."""

    palette: Palette = "index"
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Question:
    """The masks to decide about, their class map if given, and the data folder."""

    masks: Sequence[PaletteMask]
    class_map: ClassMap | None
    root: Path
    palettes: frozenset[Colormap] = field(default_factory=frozenset)

    def answer(self, palette: Palette, note: str = "") -> Reading:
        """Choose a reading, with the reason as a note."""
        problems = (Problem("note", str(self.root), f"masks: {note}"),) if note else ()
        return Reading(palette, problems)

    def refuse(self, message: str) -> Reading:
        """Refuse the masks."""
        return Reading("index", (Problem("values", str(self.root), message, fatal=True),))


def decide_reading(
    masks: Sequence[PaletteMask], *, class_map: ClassMap | None, root: Path
) -> Reading:
    """Decide what the masks of a data set are: indices and stored values, colours, or alpha.

    Parameters
    ----------
    masks : sequence of PaletteMask
    class_map : ClassMap or None
        Classes from the user or the layout: by colours, or by numbers.
    root : Path
        The data set, for messages.

    Returns
    -------
    Reading
        With a note if there was a choice; with a fatal problem if the files contradict each other.
    """
    palettes = frozenset(mask.facts.colormap for mask in masks if mask.has_palette)
    question = _Question(masks, class_map, root, palettes)
    found = [mask for mask in masks if mask.facts.alpha]
    if not found:
        return _decide_colors(question)
    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(_survey_alpha, _spread(found)))
    whole = reduce(Visibility.join, seen, Visibility())
    by_number = class_map is not None or not whole.is_alpha_the_mask
    if whole.conflicts and not (palettes and by_number and _find_shared(question)):
        return _decide_conflict(question, whole, found[0].mask.path)
    reading = _decide_colors(question)
    if not whole.hidden or (palettes and reading.palette == "index"):
        return reading
    note = "masks: some pixels are transparent; their colours were read, alpha adds nothing"
    return replace(reading, problems=(*reading.problems, Problem("note", str(root), note)))


def _decide_conflict(question: _Question, whole: Visibility, first: Path) -> Reading:
    """Use alpha if colours are uniform; refuse masks in both colours and alpha."""
    if not whole.is_alpha_the_mask:
        return question.refuse(describe_conflict(first, whole.conflicts))
    return question.answer(
        "alpha",
        "they have one colour everywhere, but different alpha: the alpha channel was read as the "
        "mask",
    )


def _survey_alpha(mask: PaletteMask) -> Visibility:
    """Colours of one mask by their visibility; none if the file is broken."""
    try:
        colors = mask.mask.read_colors(mask.image)
        return survey_visibility(colors, mask.mask.read_alpha(mask.image))
    except PixelwiseError:
        return Visibility()


def _decide_colors(question: _Question) -> Reading:
    """Choose between stored values and colours."""
    masks, palettes = question.masks, question.palettes
    few_bits = {mask.white for mask in masks if mask.is_grey}
    is_mixed = len(few_bits) > 1 or (palettes and few_bits)
    colored = [mask for mask in masks if mask.facts.channels == 3]
    if not palettes and len(few_bits) < 2 and not (colored and few_bits):
        return question.answer("index")
    if question.class_map is not None and question.class_map.colors:
        return question.answer("color", "read by colour, as the classes are given")
    if colored:
        return _decide_beside_colors(question, colored)
    if is_mixed:
        return _decide_mixed(question)
    return _decide_palettes(question)


def _decide_beside_colors(question: _Question, colored: Sequence[PaletteMask]) -> Reading:
    """Read colours if some masks are RGB, unless grey masks have values that are no colours.

    Black and white may occur only in grey files, as optimisers write them; other greys may not.
    """
    greys = [mask for mask in question.masks if mask.is_grey]
    known = {0, _WHITE} | set().union(*map(_read_greys, _spread(colored)))
    known |= {color >> 24 for palette in question.palettes for color in _iter_greys(palette)}
    for mask, values in zip(_spread(greys), _read_all(greys, "index"), strict=True):
        wrong = sorted({value * _WHITE // mask.white for value in values} - known)
        if wrong:
            return question.refuse(
                f"Some masks are RGB, others grey: {mask.mask.path} holds the grey {wrong[0]}, "
                "which is no colour of the others. Is it the index of a class? Save all masks in "
                "one form, as RGB or as grey."
            )
    return question.answer("color", "some files are RGB: colours are the classes")


def _read_greys(mask: PaletteMask) -> set[int]:
    """Greys among the colours of an RGB mask; none if the file is broken."""
    try:
        colors = mask.mask.read_colors(mask.image)
    except PixelwiseError:
        return set()
    is_grey = (colors == colors[:, :1]).all(axis=1)
    return set(np.unique(colors[:, 0][is_grey]).astype(int).tolist())


def _decide_palettes(question: _Question) -> Reading:
    """Decide for masks that all have palettes: shared, or different ones."""
    shared = _find_shared(question)
    if shared is None:
        return question.answer(
            "color",
            "the palettes of the files differ, so indices are meaningless: colours are the classes",
        )
    if question.class_map is not None:
        return _follow_numbers(question, shared, question.class_map)
    if _is_like_background(shared[0]):
        return question.answer("index", "all files share one palette: its indices are the classes")
    return _judge_first_entry(question, shared)


def _follow_numbers(question: _Question, shared: Colormap, class_map: ClassMap) -> Reading:
    """Read classes given by number as indices, or as greys if only those fit."""
    given = {value for value, _ in class_map.table}
    greys = {color >> 24 for color in shared}
    if is_grey_colormap(shared) and given <= greys and max(given) >= len(shared):
        return question.answer("color", "the greys of the palette are the values given")
    return question.answer("index", "palette indices, as the classes are given by number")


def _judge_first_entry(question: _Question, shared: Colormap) -> Reading:
    """Decide for a shared palette whose entry 0 is not black: whether it is the background.

    QuPath's white is. But if black or transparency is used too, that is the background.
    """
    used = sorted({value for values in _read_all(question.masks, "index") for value in values})
    entries = {index: shared[index] for index in used if index < len(shared)}
    backgrounds = [index for index, color in entries.items() if _is_like_background(color)]
    is_white = shared[0] >> 8 == 0xFFFFFF
    if backgrounds and (len(entries) <= 2 or not is_white):
        return question.answer(
            "color",
            f"index 0 of the palette is {_format(shared[0])} and index {backgrounds[0]} is "
            f"{_format(shared[backgrounds[0]])}, the colour of a background: colours are the "
            "classes",
        )
    return question.answer(
        "index",
        f"all files share one palette: its indices are the classes, index 0 is "
        f"{_format(shared[0])}",
    )


def _find_shared(question: _Question) -> Colormap | None:
    """Find the common palette of all files, as far as used; None if one index has two colours."""
    longest = max(question.palettes, key=len)
    if all(palette == longest[: len(palette)] for palette in question.palettes):
        return longest
    known: dict[int, int] = {}
    for mask in question.masks:
        for index in mask.read_values("index"):
            color = (*mask.facts.colormap, *[0xFF] * 256)[index]
            if known.setdefault(index, color) != color:
                return None
    return tuple(known.get(index, 0xFF) for index in range(max(known, default=0) + 1))


def _decide_mixed(question: _Question) -> Reading:
    """Decide for palettes and greys, or greys of several depths, by which reading fits all."""
    fits_index = _find_range(question)
    fits_color = _find_greys(question)
    stored: set[int] = set()
    seen: set[int] = set()
    others = [mask for mask in question.masks if mask.is_grey and not _is_coarsest(question, mask)]
    for mask, values in zip(_spread(others), _read_all(others, "index"), strict=True):
        stored |= values
        seen |= {value * _WHITE // mask.white for value in values}
    is_index, is_color = stored <= fits_index, seen <= fits_color
    kinds = "palettes and greys" if question.palettes else "greys of several bit depths"
    if is_index and (not is_color or stored <= {0}):
        return question.answer("index", f"{kinds}: stored values fit all files, and were read")
    if is_color:
        return question.answer(
            "color", f"{kinds}: displayed greys, 0 to 255, fit all files, and were read"
        )
    wrong = sorted(stored - fits_index)[:5]
    return question.refuse(
        f"The masks are {kinds}, and neither their stored values nor their colours mean the same "
        f"in all files: e.g. {others[0].mask.path} and others hold {wrong}. Save all masks as "
        "8-bit grey."
    )


def _is_coarsest(question: _Question, mask: PaletteMask) -> bool:
    """Whether a grey mask has the fewest bits, which limits the values of the others."""
    if question.palettes:
        return False
    return mask.white == min(m.white for m in question.masks if m.is_grey)


def _find_range(question: _Question) -> set[int]:
    """Find the stored values that mean the same in all files."""
    if question.palettes:
        shared = _find_shared(
            _Question(
                [m for m in question.masks if m.has_palette], None, question.root, question.palettes
            )
        )
        return set() if shared is None else set(range(len(shared)))
    return set(range(min(m.white for m in question.masks if m.is_grey) + 1))


def _find_greys(question: _Question) -> set[int]:
    """Greys, 0 to 255, that every kind of file can represent."""
    if question.palettes:
        return {color >> 24 for palette in question.palettes for color in _iter_greys(palette)}
    least = min(m.white for m in question.masks if m.is_grey)
    return {value * _WHITE // least for value in range(least + 1)}


def _iter_greys(palette: Colormap) -> Iterator[int]:
    """Colours of a palette that are greys."""
    return (color for color in palette if is_grey_colormap((color,)))


def _is_like_background(color: int) -> bool:
    """Whether a palette entry is black or transparent."""
    return color >> 8 == 0 or color & 255 == 0


def _format(color: int) -> str:
    """Write a palette entry as #rrggbb."""
    return f"#{color >> 8:06x}" + (" (transparent)" if color & 255 == 0 else "")


def _read_all(masks: Sequence[PaletteMask], palette: Palette) -> list[set[int]]:
    """Values of up to 128 masks."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda mask: mask.read_values(palette), _spread(masks)))


def _spread(masks: Sequence[PaletteMask]) -> list[PaletteMask]:
    """Take up to 128 masks, evenly spread."""
    count = min(len(masks), _MASKS_READ)
    return [masks[i] for i in sorted({round(i) for i in np.linspace(0, len(masks) - 1, count)})]


def iter_palette_masks(
    masks: Iterable[tuple[PlanesHeader, tuple[MaskFacts, ...] | None]],
) -> Iterator[PaletteMask]:
    """Mask files that can be read in several ways, with the headers of their images."""
    for image, files in masks:
        yield from (PaletteMask(FileMask(facts.path), image, facts) for facts in files or ())
