"""Wording of class mappings: option texts, class names, and checks of both."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from pixelwise.classes import VOID
from pixelwise.errors import ConfigError, quote_value

BACKGROUND_NAMES: Final = frozenset(("background", "_background_", "bg"))
"""Lower-case names of classes that are never foreground."""


def spell_classes(pairs: Mapping[str, str]) -> str:
    """Write pairs of value and name as a shell-quoted option: ``--classes 0=a,1=b``.

    Negative values come last, so that no parser mistakes them for an option.
    """
    ordered = sorted(pairs.items(), key=lambda pair: pair[0].startswith("-"))
    return f"--classes {shlex.quote(','.join(f'{key}={name}' for key, name in ordered))}"


def spell_pairs(
    table: Iterable[tuple[int, int]], names: Sequence[str], *, colors: bool = False
) -> dict[str, str]:
    """Write a table of values and class indices as pairs; adjacent values become a range."""
    called = dict(enumerate(names)) | {VOID: "void"}
    numbered = [(value, called.get(index, f"class {index}")) for value, index in table]
    if colors:
        return {f"#{value:06x}": name for value, name in numbered}
    pairs: dict[str, str] = {}
    run = sorted(numbered)
    for (name, _), group in groupby(
        enumerate(run), key=lambda item: (item[1][1], item[1][0] - item[0])
    ):
        values = [value for _, (value, _) in group]
        is_range = len(values) > 2 and values[0] >= 0
        keys = [f"{values[0]}-{values[-1]}"] if is_range else [str(value) for value in values]
        pairs |= dict.fromkeys(keys, name)
    return pairs


def find_background(names: Sequence[str], zero: int | None = None) -> int | None:
    """Index of the background class: the one named so, else `zero`, the class of value 0."""
    called = [number for number, name in enumerate(names) if name.lower() in BACKGROUND_NAMES]
    return called[0] if called else zero


def require_one_meaning(table: Iterable[tuple[int, int]], names: Sequence[str]) -> None:
    """Raise `ConfigError` if a value, alone or in a range, stands for two classes."""
    known: dict[int, int] = {}
    for value, index in table:
        if known.setdefault(value, index) != index:
            first, second = (
                "void" if number == VOID else names[number] for number in (known[value], index)
            )
            raise ConfigError(
                f"classes gives the value {value} two meanings, {quote_value(first)} and "
                f"{quote_value(second)}: "
                "leave out one of them."
            )
