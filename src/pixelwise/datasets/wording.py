"""What the mask values are said to mean: by names, and by the option that says it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from pixelwise.classes import VOID
from pixelwise.errors import ConfigError

BACKGROUND_NAMES: Final = frozenset(("background", "_background_", "bg"))
"""What a class is called, in lower case, that is no foreground, whatever its value."""


def spell_classes(pairs: Mapping[str, str]) -> str:
    """Write pairs of value and name as an option that a shell takes: ``--classes 0=a,1=b``.

    A value below 0 comes last, so that no shell and no parser takes it for an option.
    """
    ordered = sorted(pairs.items(), key=lambda pair: pair[0].startswith("-"))
    return f"--classes {shlex.quote(','.join(f'{key}={name}' for key, name in ordered))}"


def spell_pairs(
    table: Iterable[tuple[int, int]], names: Sequence[str], *, colors: bool = False
) -> dict[str, str]:
    """Write a table of values and class indices as pairs; neighbours of one class as a range."""
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
    """Index of the class that is no foreground: the one called so, or that of value 0 (black).

    Parameters
    ----------
    names : sequence of str
        Of all classes.
    zero : int, optional
        Class of the value 0, where it has one and may say so.
    """
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
                f"classes give the value {value} two meanings, {first!r} and {second!r}: "
                "leave out one of them."
            )
