"""Reads the masks of a data set with the classes of a model: by value, or by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pixelwise.classes import VOID, MaskValues, SegmentationClass
from pixelwise.datasets.codes import WHITES
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.mapping import BINARY_NAMES, VOID_NAME, ClassMap, format_value
from pixelwise.datasets.wording import spell_classes, spell_pairs
from pixelwise.errors import DataError, quote_value

_GENERIC: Final = (BINARY_NAMES[1], "object")
"""Default names of the foreground."""
_CUT: Final = 64
"""A table with more values than this maps ranges of greys."""
_INFERRED: Final = re.compile(r"(?:class|value) (-?\d+)|(#[0-9a-f]{6})")


@dataclass(frozen=True)
class KnownClasses:
    """The classes of a model.

    Attributes
    ----------
    classes : tuple of SegmentationClass
    background : int or None
        The class that is not foreground.
    values : MaskValues or None
        Their mask values in the training data, if known.
    """

    classes: tuple[SegmentationClass, ...]
    background: int | None = 0
    values: MaskValues | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(item.name for item in self.classes)


def match_classes(data: Dataset, known: KnownClasses) -> Dataset:
    """Return the data set with the classes of a model, in the model's order.

    Masks with inferred classes are read by the mask values of the training, if possible; otherwise
    classes are matched by name, in any order. A data set may lack classes.

    Raises
    ------
    DataError
        The data set has classes that the model lacks; the message says how to name them.
    """
    class_map = None
    if data.seen is not None and data.samples:
        class_map = _match_by_value(data, known)
    if class_map is not None:
        words = f"{data.mapping}; read by the values that the model was trained on"
        problems = tuple(p for p in data.problems if p.message != data.unclear)
        read = replace(data, mapping=words, problems=problems, unclear="")
        return _reread(read, known, class_map)
    if data.unclear:
        return data  # its own message says what to do
    order = _match_names(data, known)
    if order is None:
        raise DataError(_describe_difference(data, known))
    tables = {sample.class_map for sample in data.samples}
    renumbered = {one: _renumber(one, order, known.names) for one in tables}
    samples = tuple(replace(s, class_map=renumbered[s.class_map]) for s in data.samples)
    pairs = zip((item.name for item in data.classes), (known.names[i] for i in order), strict=True)
    words = "".join(
        f"; {quote_value(own)} is the model's {quote_value(name)}"
        for own, name in pairs
        if own != name
    )
    read = replace(data, samples=samples, mapping=f"{data.mapping}{words}")
    return replace(read, classes=known.classes, background=known.background)


def _reread(data: Dataset, known: KnownClasses, class_map: ClassMap) -> Dataset:
    """Return the data set with another class map."""
    samples = tuple(replace(sample, class_map=class_map) for sample in data.samples)
    return replace(data, samples=samples, classes=known.classes, background=known.background)


def _match_by_value(data: Dataset, known: KnownClasses) -> ClassMap | None:
    """Class map of the training, if it covers all values of the masks."""
    values = known.values or _guess_values(known.names)
    own = data.samples[0].class_map
    if values is None or (own.colors and not values.colors and values.rest is None):
        return None
    own_void = [value for value, index in own.table if index == VOID]
    seen = set(data.seen or ())
    if values.colors and not own.colors:
        seen = {value * 0x010101 for value in seen if 0 <= value <= VOID}
        own_void = [value * 0x010101 for value in own_void]
    table = dict(values.table)
    conventional = {value for value in own_void if value in seen and value not in table}
    unknown = {value for value in seen - conventional if value not in table}
    if (unknown and values.rest is None) or _is_other_cut(values, data):
        return None
    if not data.unclear and (lost := [v for v in seen - set(own_void) if table.get(v) == VOID]):
        _refuse_void(data, known, lost)
    said_void = {value for value in own_void if value not in seen}
    void = tuple((value, VOID) for value in sorted(conventional | said_void))
    kept = tuple(pair for pair in values.table if pair[0] not in said_void)
    return ClassMap(kept + void, values.rest, values.colors, known.names)


def _is_other_cut(values: MaskValues, data: Dataset) -> bool:
    """Whether the training mapped ranges of greys, but these masks are not such greys."""
    if values.colors or len(values.table) <= _CUT:
        return False
    is_cut = len(data.samples[0].class_map.table) > _CUT
    return not is_cut and not data.unclear


def _guess_values(names: Sequence[str]) -> MaskValues | None:
    """Mask values of classes with default names; None if a class has another name."""
    table: list[tuple[int, int]] = []
    colors = any(name.startswith("#") for name in names)
    for index, name in enumerate(names):
        if name == BINARY_NAMES[0]:
            table.append((0, index))
        elif found := _INFERRED.fullmatch(name):
            value = int(found[1]) if found[1] else int(found[2][1:], 16)
            table.append((value, index))
        else:
            return None
    return MaskValues(table=tuple(table), colors=colors)


def _match_names(data: Dataset, known: KnownClasses) -> list[int] | None:
    """Index in the model of each class of the data; None if the model lacks one."""
    own = [item.name for item in data.classes]
    names = {name: index for index, name in enumerate(known.names)}
    folded = {name.casefold(): index for name, index in names.items()}
    if len(folded) < len(names):
        folded = {}
    order = [names.get(name, folded.get(name.casefold(), -1)) for name in own]
    is_same = min(order) >= 0 and len(set(order)) == len(order)
    if is_same and (data.seen is None or known.values is None or _are_one_pair(data, known)):
        return order
    return _match_foreground(data, known)


def _are_one_pair(data: Dataset, known: KnownClasses) -> bool:
    """Whether default names mean the same: background and a white foreground on both sides."""
    return len(data.classes) == len(known.names) == 2 and _is_white_pair(data, known)


def _match_foreground(data: Dataset, known: KnownClasses) -> list[int] | None:
    """Match background and one foreground on both sides, if one has the default name."""
    own = [item.name for item in data.classes]
    if len(own) != 2 or len(known.names) != 2 or data.background is None:
        return None
    background = known.background
    if background is None or own[data.background].casefold() != known.names[background].casefold():
        return None
    pair = own[1 - data.background], known.names[1 - background]
    if not any(name in _GENERIC for name in pair) and pair[0] != pair[1]:
        return None
    if data.seen is not None and not _is_white_pair(data, known):
        return None
    return [background if index == data.background else 1 - background for index in range(2)]


def _is_white_pair(data: Dataset, known: KnownClasses) -> bool:
    """Whether both foregrounds are white (1, 255, …), everything but 0, or bright greys."""
    sides = [(data.samples[0].class_map.to_values(), data.background)] if data.samples else []
    sides += [(known.values, known.background)] if known.values else []
    return all(_is_white(values, background) for values, background in sides)


def _is_white(values: MaskValues, background: int | None) -> bool:
    """Whether 0 is the background, and one class is white or all the rest."""
    classes = dict(values.table)
    if values.colors or classes.get(0) != background:
        return False
    marked = {value for value, index in classes.items() if index not in (VOID, background)}
    return values.rest is not None or len(classes) > _CUT or marked <= set(WHITES)


def _renumber(own: ClassMap, order: Sequence[int], names: tuple[str, ...]) -> ClassMap:
    """Map to the classes of the model instead of the data set's."""
    table = tuple((value, VOID if i == VOID else order[i]) for value, i in own.table)
    rest = own.rest if own.rest in (None, VOID) else order[own.rest]
    return ClassMap(table, rest, own.colors, names)


def _refuse_void(data: Dataset, known: KnownClasses, lost: Sequence[int]) -> None:
    """Refuse values that were void in the training and look like a class here."""
    own = data.samples[0].class_map
    listed = ", ".join(format_value(value, own.colors) for value in sorted(lost))
    raise DataError(
        f"The value {listed} was void in the model's training, but is a class in {data.root} "
        f"({data.mapping}). Use {_advise(data, known)} if it is one, or name it 'void' there."
    )


def _describe_difference(data: Dataset, known: KnownClasses) -> str:
    """Describe which classes differ, and suggest an option that names the data set's values."""
    own = ", ".join(item.name for item in data.classes)
    difference = (
        f"The model has {len(known.names)} classes ({', '.join(known.names)}), the data set "
        f"{len(data.classes)} ({own}; {data.mapping}): expected no class that the model lacks."
    )
    if data.samples and data.samples[0].class_map.rest not in (None, VOID):
        return f"{difference} Use masks of classes, or a model of objects and background."
    return (
        f"{difference} Assign one of the model's classes, or 'void', to each mask value, "
        f"e.g. {_advise(data, known)}."
    )


def _advise(data: Dataset, known: KnownClasses) -> str:
    """Option that gives each value of the data set a class of the model, or void."""
    names = [item.name for item in data.classes]
    free = iter([name for name in known.names if name not in names])
    given = {n: n if n in known.names else next(free, VOID_NAME) for n in names}
    own = data.samples[0].class_map
    pairs = spell_pairs(own.table, names, colors=own.colors)
    return spell_classes({key: given.get(name, VOID_NAME) for key, name in pairs.items()})
