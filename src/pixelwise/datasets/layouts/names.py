"""Matches masks to images by their names alone: pure functions, no file access.

Names are compared on four levels, from the strictest to the most lenient; the first level that
pairs all images or all masks is used:

1. equal names;
2. equal names without words such as `mask` or `image`;
3. equal parts: numbers as numbers, without the words that all names of one side have and none of
   the other has;
4. one kind of masks out of several: masks with the same extra words, if only that kind has a mask
   for every image.

On each level, no two images and no two masks may look the same. If no level pairs all of one side,
equal names (levels 1 and 2) are used if they pair at least half.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from typing import Final, Literal

from pixelwise.datasets.layouts.words import (
    IMAGE_WORDS,
    MASK_WORDS,
    PART,
    PIECE,
    Part,
    Parts,
    cut_suffix,
    number_parts,
)
from pixelwise.datasets.sample import SPLIT_NAMES

_FIRST_CHANNEL: Final = re.compile(r"_0000$")  # ends nnU-Net's image names, but not its labels
_NUMBERED: Final = re.compile(r"[_\-. ]*\(?\d{1,3}\)?$")
_LONGEST_RUN: Final = 6
_FEWEST_BY_PARTS: Final = 2
"""A single pair says nothing about which words can be dropped."""

Key = Hashable
Split = re.Pattern[str]
Rule = Literal["any", "mixed", "one side"]


@dataclass(frozen=True)
class Name:
    """The parts of a file's name that are used for matching.

    Attributes
    ----------
    scope : Hashable
        Names are only compared within a scope: a folder of images and its folder of masks.
    folders : str
        Sub-folders below the scope, with slashes; may be empty.
    stem : str
        Name without its suffix, in the normal form NFC.
    """

    scope: Hashable
    folders: str
    stem: str

    @property
    def path(self) -> str:
        """Sub-folders and stem."""
        return f"{self.folders}/{self.stem}" if self.folders else self.stem

    def strip_channel(self) -> Name:
        """Name without nnU-Net's channel number, which its labels lack."""
        return Name(self.scope, self.folders, _FIRST_CHANNEL.sub("", self.stem))


@dataclass(frozen=True)
class Matching:
    """Pairs of indices (image, masks), best mask first, and the rule that paired them, in words.

    `rivals` are other kinds of masks of the same images, by the extra words in their names; there
    are no pairs if several kinds fit equally well.
    """

    pairs: tuple[tuple[int, tuple[int, ...]], ...]
    words: str = ""
    rivals: tuple[str, ...] = ()
    complete: bool = False


def create_name(scope: Hashable, folders: str, file_name: str) -> Name:
    """Name of a file; `.ome` and `.nii` belong to its suffix."""
    stem = unicodedata.normalize("NFC", cut_suffix(file_name))
    return Name(scope, unicodedata.normalize("NFC", folders), stem)


def match_names(images: Sequence[Name], masks: Sequence[Name], *, rule: Rule = "any") -> Matching:
    """Pair the names of images with those of masks.

    Parameters
    ----------
    images, masks : sequence of Name
        Masks without a suffix given by the user.
    rule : {"any", "mixed", "one side"}
        Which words may be dropped. "mixed": images and masks are in the same folders, so files that
        are not masks may be anything; "one side": only file names identify the masks.

    Returns
    -------
    Matching
        Empty if the names do not fit, or are ambiguous.
    """
    partial = Matching(())
    for words, image_key, mask_key in _iter_equal_levels():
        found = _pair(images, masks, image_key=image_key, mask_key=mask_key, words=words)
        if found.complete:
            return found
        if len(found.pairs) > len(partial.pairs):
            partial = found
    if by_parts := _match_parts(images, masks, rule=rule):
        return by_parts
    if rule == "any" and (single := _match_single(images, masks)):
        return single
    kinds = _match_kinds(images, masks)
    if kinds.pairs and not partial.pairs:
        return kinds
    half = 2 * len(partial.pairs) >= min(len(images), len(masks))
    if partial.pairs and half and not _are_shifted(images, masks, partial):
        return partial
    return Matching((), rivals=kinds.rivals)


def _are_shifted(images: Sequence[Name], masks: Sequence[Name], found: Matching) -> bool:
    """Whether masks are numbered like images, but with another start or step.

    If one side counts from 0 and the other from 1, all pairs of equal names are wrong.
    """
    sides = [sorted(_find_numbers(name) for name in names) for names in (images, masks)]
    if len(sides[0]) != len(sides[1]) or found.complete or not all(map(all, sides)):
        return False
    pairs = [(own[-1], other[-1]) for own, other in zip(*sides, strict=True)]
    shifts = {mask - image for image, mask in pairs}
    steps = {mask * pairs[0][0] == image * pairs[0][1] for image, mask in pairs}
    return shifts != {0} and (len(shifts) == 1 or steps == {True})


def _find_numbers(name: Name) -> tuple[int, ...]:
    """Numbers in a name."""
    return tuple(int(part) for part in PART.findall(name.stem) if part.isdecimal())


def _iter_equal_levels() -> Iterable[tuple[str, Callable[[Name], Key], Callable[[Name], Key]]]:
    """Levels 1 and 2: with sub-folders and without, first case-sensitive, then ignoring case."""
    equal, cut = "of equal names", "of equal names without words such as 'mask' and 'image'"
    yield equal, attrgetter("scope", "path"), attrgetter("scope", "path")
    yield equal, attrgetter("scope", "stem"), attrgetter("scope", "stem")
    yield f"{equal}, ignoring case", _folded_path_key, _folded_path_key
    for fold in (False, True):
        for below in (True, False):
            words = f"{cut}, ignoring case" if fold else cut

            def image_key(name: Name, fold: bool = fold, below: bool = below) -> Key:
                return _words_key(name, IMAGE_WORDS, fold=fold, below=below)

            def mask_key(name: Name, fold: bool = fold, below: bool = below) -> Key:
                return _words_key(name, IMAGE_WORDS | MASK_WORDS, fold=fold, below=below)

            yield words, image_key, mask_key


def _folded_path_key(name: Name) -> Key:
    return name.scope, name.path.casefold()


def _words_key(name: Name, words: frozenset[str], *, fold: bool, below: bool) -> Key:
    """Parts of a name without the words for its role; numbers as spelled.

    Words for masks are kept in an image's name: it may be another mask of the same object.
    """
    parts = [part for part in PART.findall(name.stem) if part.lower() not in words]
    kept = tuple(part.casefold() if fold else part for part in parts)
    return name.scope, name.folders if below else "", kept


def _pair(
    images: Sequence[Name],
    masks: Sequence[Name],
    *,
    image_key: Callable[[Name], Key],
    mask_key: Callable[[Name], Key],
    words: str,
) -> Matching:
    """Pair by equal keys; no pairs if two paired files of one side have the same key.

    Files that differ only in their suffix count as one: the caller chooses. Numbered masks of one
    image (a_mask, a_mask_1) belong together.
    """
    by_key: dict[Key, list[int]] = defaultdict(list)
    for number, name in enumerate(masks):
        by_key[mask_key(name)].append(number)
    by_image: dict[Key, list[int]] = defaultdict(list)
    for number, name in enumerate(images):
        by_image[image_key(name)].append(number)
    both = by_key.keys() & by_image.keys()
    for key in both:
        if _look_alike(masks, by_key[key]) or _look_alike(images, by_image[key]):
            return Matching(())
        if _is_empty(key) and (len(by_key) > 1 or len(by_image) > 1):
            return Matching(())
    extra = _find_numbered(masks, by_key, mask_key=mask_key, wanted=by_image)
    pairs = {i: (*by_key[key],) for key in both for i in by_image[key]}
    for key, numbers in extra.items():
        for i in by_image[key]:
            pairs[i] = (*pairs.get(i, ()), *numbers)
    used = {m for found in pairs.values() for m in found}
    complete = bool(pairs) and (len(pairs) == len(images) or len(used) == len(masks))
    return Matching(tuple(sorted(pairs.items())), words, complete=complete)


def _look_alike(names: Sequence[Name], numbers: Sequence[int]) -> bool:
    """Whether files of one key differ in more than their suffix."""
    return len({names[i].path for i in numbers}) > 1


def _is_empty(key: Key) -> bool:
    """Whether a name consists only of words for images and masks."""
    return isinstance(key, tuple) and key[-1] == ()


def _find_numbered(
    masks: Sequence[Name],
    by_key: dict[Key, list[int]],
    *,
    mask_key: Callable[[Name], Key],
    wanted: dict[Key, list[int]],
) -> dict[Key, list[int]]:
    """Further masks of an image: a word for masks, then a number (a_mask_1, a_mask_2).

    A name that matches an image with its number belongs only to that image.
    """
    found: dict[Key, list[int]] = defaultdict(list)
    for key, numbers in by_key.items():
        if key in wanted:
            continue
        for number in numbers:
            name = masks[number]
            short = _NUMBERED.sub("", name.stem)
            last = PART.findall(short)[-1:]
            if short == name.stem or not last or last[0].lower() not in MASK_WORDS:
                continue
            if (plain := mask_key(Name(name.scope, name.folders, short))) in wanted:
                found[plain].append(number)
    return {k: n for k, n in found.items() if k in by_key or len(n) > 1}


def _match_parts(images: Sequence[Name], masks: Sequence[Name], *, rule: Rule) -> Matching | None:
    """Level 3: equal parts, ignoring those that one side always and the other never has."""
    for split, below in product((PIECE, PART), (True, False)):

        def list_image(name: Name, split: Split = split, below: bool = below) -> Parts:
            return _list_parts(name.strip_channel(), split, below=below)

        def list_mask(name: Name, split: Split = split, below: bool = below) -> Parts:
            return _list_parts(name, split, below=below)

        sides = [*map(list_image, images)], [*map(list_mask, masks)]
        dropped = find_droppable(*sides, rule=rule)
        if dropped is None:
            continue
        found = _pair(
            images,
            masks,
            image_key=_dropping(list_image, dropped[0]),
            mask_key=_dropping(list_mask, dropped[1]),
            words=_describe_dropped(dropped),
        )
        if found.complete and len(found.pairs) >= _FEWEST_BY_PARTS:
            return found
    return None


def _dropping(
    list_parts: Callable[[Name], Parts], dropped: frozenset[Part]
) -> Callable[[Name], Key]:
    """Return a key function: the scope, and the parts that are not dropped."""
    return lambda name: (name.scope, tuple(p for p in list_parts(name) if p not in dropped))


def _list_parts(name: Name, split: Split, *, below: bool) -> Parts:
    """Parts with numbers as integers; each word once, since folders and files repeat them."""
    seen: set[Part] = set()
    parts: list[Part] = []
    for part in number_parts(split.findall(name.path if below else name.stem)):
        if isinstance(part, int) or part not in seen:
            parts.append(part)
        seen.add(part)
    return tuple(parts)


def _match_single(images: Sequence[Name], masks: Sequence[Name]) -> Matching | None:
    """Match one image and one mask, whose name extends the image's, but not by a number."""
    if len(images) != 1 or len(masks) != 1:
        return None
    (image,), (mask,) = images, masks
    extra = mask.stem.removeprefix(image.stem)
    if extra == mask.stem or extra[:1].isalnum() or any(map(str.isdecimal, PIECE.findall(extra))):
        return None
    return Matching(((0, (0,)),), f"whose mask has {extra!r} after the image's name", complete=True)


def find_droppable(
    images: Sequence[Parts], masks: Sequence[Parts], *, rule: Rule = "any"
) -> tuple[frozenset[Part], frozenset[Part]] | None:
    """Parts to drop on each side: those in all names of one side and in none of the other.

    With the rule "mixed" images lose only words for images; with "one side" only images or only
    masks lose words. None if both sides would drop a number or a split's name, because these
    distinguish files.
    """
    words = IMAGE_WORDS | MASK_WORDS
    always = [_find_constant(side) for side in (images, masks)]
    ever = [{part for parts in side for part in parts} for side in (images, masks)]
    dropped = [always[0] - ever[1] - MASK_WORDS, always[1] - ever[0]]
    if rule == "mixed":
        dropped[0] = {part for part in dropped[0] if part in IMAGE_WORDS}
    if rule == "one side" and dropped[0] - words and dropped[1] - words:
        return None
    if all(any(isinstance(p, int) or p in SPLIT_NAMES for p in side) for side in dropped):
        return None
    return frozenset(dropped[0] | IMAGE_WORDS), frozenset(dropped[1] | words)


def _find_constant(side: Sequence[Parts]) -> set[Part]:
    """Parts that every name has; empty for a single name."""
    if len(side) < _FEWEST_BY_PARTS:
        return set()
    return set.intersection(*map(set, side))


def _describe_dropped(dropped: tuple[frozenset[Part], frozenset[Part]]) -> str:
    """Describe which words were not compared."""
    words = IMAGE_WORDS | MASK_WORDS
    shown = [", ".join(repr(str(p)) for p in sorted(side - words, key=str)) for side in dropped]
    parts = [
        f"{text} of the {what}"
        for text, what in zip(shown, ("images", "masks"), strict=True)
        if text
    ]
    without = f", without {' and '.join(parts)}" if parts else ""
    return f"whose names have equal parts{without}"


def _match_kinds(images: Sequence[Name], masks: Sequence[Name]) -> Matching:
    """Level 4: the only kind of masks that covers all images.

    No other kind may cover more than half of the images, or have as many masks, paired or not.
    """
    by_image: dict[Key, int] = {}
    for number, name in enumerate(images):
        by_image[(name.scope, _list_parts(name, PART, below=True))] = number
    kinds: dict[Parts, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, name in enumerate(masks):
        found = _find_image(name, by_image)
        if found is not None:
            kinds[found[0]][found[1]].append(number)
    rivals = tuple(sorted(" ".join(map(str, kind)) for kind in kinds))
    sizes = Counter({kind: len(pairs) for kind, pairs in kinds.items()})
    if len(by_image) < len(images) or not sizes or len(images) < _FEWEST_BY_PARTS:
        return Matching((), rivals=rivals)
    (best, size), *others = sizes.most_common()
    single = all(len(numbers) == 1 for numbers in kinds[best].values())
    held = [set(_list_parts(name, PART, below=True)) for name in masks]
    wide = {kind: sum(parts.issuperset(kind) for parts in held) for kind in kinds}
    narrow = all(2 * n <= len(images) and wide[kind] < wide[best] for kind, n in others)
    if size < len(images) or not single or not narrow:
        return Matching((), rivals=rivals)
    pairs = tuple(sorted((i, (m[0],)) for i, m in kinds[best].items()))
    words = f"whose masks have {' '.join(map(str, best))!r} in their names"
    return Matching(pairs, words, rivals, complete=True)


def _find_image(mask: Name, by_image: dict[Key, int]) -> tuple[Parts, int] | None:
    """Find the only image whose name a mask extends, and the extra words."""
    parts = _list_parts(mask, PART, below=True)
    found: dict[int, Parts] = {}
    for length in range(1, min(_LONGEST_RUN, len(parts) - 1) + 1):
        for start in range(len(parts) - length + 1):
            run = parts[start : start + length]
            image = by_image.get((mask.scope, parts[:start] + parts[start + length :]))
            if image is not None and any(isinstance(part, str) for part in run):
                found.setdefault(image, run)
    if len(found) != 1:
        return None
    (image, run), *_ = found.items()
    return run, image
