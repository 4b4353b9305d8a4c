"""The class mapping: from mask values to classes, through one lookup table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.classes import VOID, MaskValues, SegmentationClass, create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets.wording import (
    find_background,
    require_one_meaning,
    spell_classes,
    spell_pairs,
)
from pixelwise.errors import ConfigError, DataError, quote_value

Array = npt.NDArray[Any]

VOID_NAME: Final = "void"
BINARY_NAMES: Final = ("background", "foreground")
_UNKNOWN: Final = -1
_TABLE_LIMIT: Final = 1 << 17
_SHOWN: Final = 8
_RANGE: Final = re.compile(r"(\d+)-(\d+)")
_LONGEST_RANGE: Final = 1 << 16


class MaskValueError(DataError):
    """A mask has values that are not mapped to a class."""


@dataclass(frozen=True)
class ClassMap:
    """The class of each mask value.

    Attributes
    ----------
    table : tuple of (int, int)
        Raw value and its class index (or `VOID`). A colour is one value, 0xRRGGBB.
    rest : int or None
        Class index (or `VOID`) of every other value; None refuses other values.
    colors : bool
        Raw values are colours of RGB masks.
    names : tuple of str
        Class names, for messages.
    """

    table: tuple[tuple[int, int], ...]
    rest: int | None = None
    colors: bool = False
    names: tuple[str, ...] = field(default=(), compare=False)

    def to_values(self) -> MaskValues:
        """Return the map as stored in a model's card."""
        return MaskValues(table=self.table, rest=self.rest, colors=self.colors)

    def apply(self, raw: Array) -> npt.NDArray[np.uint8]:
        """Translate mask values into class indices.

        Parameters
        ----------
        raw : ndarray, (N, C, Y, X)
            Mask values as stored: C = 1, or 3 for colours (or for grey stored as RGB). If `rest` is
            a class, as for instance masks, 3 channels are colours.

        Returns
        -------
        ndarray of uint8, (N, Y, X)
            Class indices, 255 where void.

        Raises
        ------
        MaskValueError
            A value is not mapped; the message names values and pixel counts.
        """
        values = self._take_values(raw)
        if values.dtype == np.uint8:
            return self._translate(values)
        low, high = int(values.min()), int(values.max())
        if high - low < _TABLE_LIMIT:
            found = self._create_table(low, high)[values.astype(np.int64) - low]
        else:
            found = self._search(values)
        if self.rest is None:
            self._refuse(values[found == _UNKNOWN])
        return found.astype(np.uint8)

    def _take_values(self, raw: Array) -> Array:
        """One value per pixel, (N, Y, X)."""
        if self.colors:
            return pack_colors(raw)
        takes_colors = self.rest not in (None, VOID)
        if takes_colors and not is_grey(raw):
            # A colour of any depth is an object; black counts as 0.
            marked: Array = np.asarray(raw.any(axis=1))
            return pack_colors(raw) if raw.dtype == np.uint8 else marked
        return require_integers(_take_grey(raw))

    def _translate(self, values: Array) -> npt.NDArray[np.uint8]:
        """Look up 8-bit values with `bytes.translate`, ten times as fast as indexing."""
        data, table = values.tobytes(), self._create_table(0, 255)
        if self.rest is None:
            known = np.flatnonzero(table != _UNKNOWN).astype(np.uint8)
            self._refuse(np.frombuffer(data.translate(None, known.tobytes()), np.uint8))
        found = bytearray(data.translate(table.astype(np.uint8).tobytes()))
        return np.frombuffer(found, np.uint8).reshape(values.shape)

    def _refuse(self, unknown: Array) -> None:
        """Raise if there are any unmapped values."""
        if unknown.size:
            raise MaskValueError(_describe_unknown(unknown, self))

    def _create_table(self, low: int, high: int) -> npt.NDArray[np.int16]:
        """Class of every value from `low` to `high`."""
        fill = _UNKNOWN if self.rest is None else self.rest
        table = np.full(high - low + 1, fill, np.int16)
        for value, index in self.table:
            if low <= value <= high:
                table[value - low] = index
        return table

    def _search(self, values: Array) -> npt.NDArray[np.int16]:
        """Class of each value by binary search, if the values are too far apart for a table."""
        known = sorted(self.table)
        keys = np.array([value for value, _ in known], np.int64)
        at = np.searchsorted(keys, values).clip(max=len(keys) - 1)
        classes: npt.NDArray[np.int16] = np.array([index for _, index in known], np.int16)[at]
        classes[keys[at] != values] = _UNKNOWN if self.rest is None else self.rest
        return classes


@dataclass(frozen=True)
class ClassScheme:
    """Classes, the map of mask values to them, and its explanation in words.

    Attributes
    ----------
    background : int or None
        The class that is not foreground, if any.
    seen : tuple of int or None
        Values found in the masks, if the classes were inferred from them.
    unclear : str
        Why the masks could not be interpreted; empty if they could.
    """

    classes: tuple[SegmentationClass, ...]
    class_map: ClassMap
    words: str
    background: int | None = 0
    seen: tuple[int, ...] | None = None
    unclear: str = ""

    def ignore(self, values: Iterable[float]) -> ClassScheme:
        """Return the scheme with more values read as void."""
        extra = tuple(parse_value(f"{value:.17g}") for value in values)
        if not extra:
            return self
        kept = tuple(pair for pair in self.class_map.table if pair[0] not in extra)
        table = kept + tuple((value, VOID) for value in extra)
        words = f"{self.words}; {', '.join(map(str, extra))} = void"
        return replace(self, class_map=replace(self.class_map, table=table), words=words)

    def for_sparse(self) -> ClassScheme:
        """Return the scheme for sparse annotation, whose background is the class of that name."""
        return replace(self, background=find_background([item.name for item in self.classes]))


def create_scheme(config: DataConfig) -> ClassScheme | None:
    """Scheme given by the config; None if it has to be inferred from the masks (``auto``).

    Raises
    ------
    ConfigError
        A key is neither a number nor ``#rrggbb``, colours and numbers are mixed, or 0 is given a
        name although it means 'not annotated'.
    """
    if config.classes == "auto":
        return None
    if config.classes == "instances":
        if config.sparse:
            raise ConfigError(
                "classes='instances' reads 0 as background, sparse reads it as 'not annotated': "
                "give one of them."
            )
        return create_instance_scheme("every value but 0 is an object").ignore(config.void)
    pairs = dict(config.classes)
    if config.sparse and pairs.setdefault("0", VOID_NAME) != VOID_NAME:
        raise ConfigError(
            "With sparse annotation 0 means 'not annotated', but classes names it "
            f"{quote_value(pairs['0'])}: "
            "leave 0 out of the classes or turn sparse off."
        )
    scheme = create_named_scheme(pairs, "as given").ignore(config.void)
    return scheme.for_sparse() if config.sparse else scheme


def create_named_scheme(
    pairs: Mapping[str, str], reason: str, *, colors: Mapping[str, str] | None = None
) -> ClassScheme:
    """Scheme from ``{"0": "background", "255": "cell", "#ff0000": "void"}``-like pairs.

    Values with the same name are one class; classes are numbered in order of first appearance.

    Parameters
    ----------
    pairs : mapping
        Mask value or ``#rrggbb`` to class name; ``void`` ignores the value.
    reason : str
        Where the pairs come from.
    colors : mapping, optional
        Class name to ``#rrggbb``; colours of the default palette if not given.

    Raises
    ------
    ConfigError
        A key is neither a number nor ``#rrggbb``, both kinds are mixed, or fewer than two names.
    """
    by_color = {key.startswith("#") for key in pairs}
    if len(by_color) > 1:
        raise ConfigError(
            f"classes mixes colours and numbers: {', '.join(pairs)}. Use one kind: numbers for "
            "masks with one value per pixel, colours for RGB masks."
        )
    names = tuple(dict.fromkeys(name for name in pairs.values() if name != VOID_NAME))
    index = {name: number for number, name in enumerate(names)} | {VOID_NAME: VOID}
    table = tuple((value, index[name]) for k, name in pairs.items() for value in parse_values(k))
    require_one_meaning(table, names)
    if colors is None and by_color == {True}:
        colors = {name: key for key, name in reversed(list(pairs.items()))}
    zero = dict(table).get(0, VOID)
    background = find_background(names, zero=None if zero == VOID else zero)
    shown = [colors[name] for name in names] if colors else None
    classes = create_classes(names, shown, background=background)
    spelled = ", ".join(k if n.endswith(k) else f"{k} = {n}" for k, n in pairs.items())
    class_map = ClassMap(table, colors=by_color == {True}, names=names)
    return ClassScheme(classes, class_map, f"{reason}: {spelled}", background)


def create_instance_scheme(reason: str, name: str = "object") -> ClassScheme:
    """Scheme of instance labels and merged masks: 0 is background, every other value one class."""
    return ClassScheme(
        create_classes(["background", name]),
        ClassMap(((0, 0),), rest=1, names=("background", name)),
        f"{reason}: 0 = background, all other values = {name}",
    )


def parse_value(text: str) -> int:
    """Read a mask value: ``7``, ``7.0``, ``-1``, or a colour ``#rrggbb`` as 0xRRGGBB.

    Raises
    ------
    ConfigError
        The text is neither.
    """
    try:
        if text.startswith("#") and len(text) == 7:
            return int(text[1:], 16)
        if float(text).is_integer():
            return int(float(text))
    except (ValueError, OverflowError):
        pass
    raise ConfigError(
        f"A mask value must be a whole number or a colour #rrggbb, got {quote_value(text)}."
    )


def parse_values(text: str) -> Sequence[int]:
    """Read a mask value as `parse_value` does, or a range of them: ``0-127``.

    Raises
    ------
    ConfigError
        The text is invalid, or the range is empty or has more than 65,536 values.
    """
    if not (found := _RANGE.fullmatch(text)):
        return (parse_value(text),)
    first, last = map(int, found.groups())
    if not 0 <= last - first < _LONGEST_RANGE:
        raise ConfigError(
            f"A range of mask values goes from the lower to the higher one, with at most "
            f"{_LONGEST_RANGE:,} values, e.g. 0-127; got {quote_value(text)}."
        )
    return range(first, last + 1)


def pack_colors(raw: Array) -> npt.NDArray[np.int64]:
    """Pack each colour into one number 0xRRGGBB: (N, C, Y, X) of 0 to 255 -> (N, Y, X).

    Raises
    ------
    DataError
        The mask is deeper than 8 bits or has neither 1 nor 3 channels.
    """
    if raw.dtype != np.uint8 or raw.shape[1] not in (1, 3):
        raise DataError(
            f"A colour-coded mask must have three 8-bit channels, found {raw.shape[1]} of "
            f"{raw.dtype}; save it as an RGB PNG."
        )
    red, green, blue = np.broadcast_to(raw, (len(raw), 3, *raw.shape[2:])).transpose(1, 0, 2, 3)
    packed: npt.NDArray[np.int64] = red.astype(np.int64) << 16
    packed |= green.astype(np.int64) << 8
    packed |= blue
    return packed


def is_grey(raw: Array) -> bool:
    """Whether a mask (N, C, Y, X) has one value per pixel, possibly repeated over channels."""
    return raw.shape[1] == 1 or bool((raw == raw[:, :1]).all())


def require_integers(values: Array) -> Array:
    """Return mask values as integers; 64-bit ones as signed, so that all bits set is -1.

    Raises
    ------
    DataError
        Values with a fraction, or NaN.
    """
    if values.dtype == np.uint64:
        return values.astype(np.int64)
    if values.dtype.kind in "uib":
        return values
    whole = np.isfinite(values) & (values == np.round(values))
    if not whole.all():
        wrong = values[~whole]
        raise MaskValueError(
            f"{wrong.size} pixels of the mask have {values.dtype} values that are not integers, "
            f"e.g. {wrong.flat[0]}; save the mask with integer class values, in Python e.g. "
            "(mask > 0.5).astype('uint8')."
        )
    return values.astype(np.int64)


def format_value(value: int, colors: bool) -> str:
    """Write a raw value as a number or as ``#rrggbb``."""
    return f"#{value:06x}" if colors else str(value)


def _take_grey(raw: Array) -> Array:
    """Values (N, Y, X) of a mask with one value per pixel."""
    if not is_grey(raw):
        advice = spell_classes(_name_some_colors(raw)) if raw.dtype == np.uint8 else "#rrggbb=name"
        raise MaskValueError(
            f"The mask has {raw.shape[1]} different channels, but the classes are given as single "
            f"values; give them as colours, e.g. {advice}, or save the mask as grey."
        )
    return raw[:, 0]


def _name_some_colors(raw: Array) -> dict[str, str]:
    """Pairs of the first colours of a mask and placeholder names."""
    found = np.unique(pack_colors(raw))[:_SHOWN].tolist()
    return {
        format_value(value, colors=True): f"name {number}" if value else BINARY_NAMES[0]
        for number, value in enumerate(found, 1)
    }


def _describe_unknown(wrong: Array, known: ClassMap) -> str:
    """Name unknown values, most frequent first, with their pixel counts and the remedy."""
    values, counts = np.unique(wrong, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    written = [format_value(int(values[i]), known.colors) for i in order]
    shown = [f"{written[n]} ({counts[i]} pixels)" for n, i in enumerate(order[:_SHOWN])]
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    listed = spell_pairs(known.table, known.names, colors=known.colors)
    advice = spell_classes(listed | dict.fromkeys(written[:_SHOWN], VOID_NAME))
    return (
        f"The mask has values that are not mapped to a class: {', '.join(shown)}{more}. "
        f"Ignore them: {advice}; or give each of them a class name there."
    )
