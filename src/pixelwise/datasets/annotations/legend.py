"""From the names of exported classes to class indices, by the user's words where there are any."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pixelwise.classes import MAX_CLASSES, VOID, create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets.mapping import BINARY_NAMES, VOID_NAME, ClassMap, ClassScheme
from pixelwise.errors import ConfigError, DataError

BACKGROUND: Final = BINARY_NAMES[0]
OTHERS: Final = "*"
"""Key of `DataConfig.classes` for every exported class that is not named."""
_BACKGROUND_NAMES: Final = frozenset({"background", "_background_"})
_IGNORED_NAMES: Final = frozenset({"void", "ignore", "ignore*", "__ignore__"})
_UNLABELLED: Final = ""
"""Key for what no label covers, among the names of the labels."""
_SHOWN: Final = 5


@dataclass(frozen=True)
class Label:
    """A class as an export names it, and its colour ``#rrggbb`` if it has one."""

    name: str
    color: str | None = None

    @property
    def is_background(self) -> bool:
        """Whether its pixels are what nobody has annotated."""
        return self.name.lower() in _BACKGROUND_NAMES

    @property
    def is_ignored(self) -> bool:
        """Whether its pixels are void by their name."""
        return self.name.lower() in _IGNORED_NAMES


@dataclass(frozen=True)
class Legend:
    """The classes of an export, and the value that pixels of each label are drawn with.

    Attributes
    ----------
    scheme : ClassScheme
        The classes; drawn values are their indices, 255 is void.
    values : tuple of (str, int)
        Exported label and its value.
    background : int
        Value of pixels that no label covers.
    """

    scheme: ClassScheme
    values: tuple[tuple[str, int], ...]
    background: int

    @property
    def by_label(self) -> dict[str, int]:
        """Value of each label."""
        return dict(self.values)


def create_legend(labels: Sequence[Label], config: DataConfig, reason: str) -> Legend:
    """Give the labels of an export their values: background first, then in the order given.

    `config.classes` comes before the names of the export. Its keys are exported labels (or their
    numbers from 1 on in that order), its names those of the classes; labels of one name are one
    class, ``void`` ignores a label, ``*`` stands for all labels that are not named. What nobody
    annotated is called ``background`` (or 0) and stays that where nothing is said of it; with
    `config.sparse` it is void.

    Raises
    ------
    DataError
        There is no label, or there are too many.
    ConfigError
        `config.classes` names labels that do not exist, or leaves some out.
    """
    unique = {label.name: label for label in reversed(labels)}
    ordered = [unique[name] for name in dict.fromkeys(label.name for label in labels)]
    names = {label.name: _name_by_default(label) for label in ordered}
    unlabelled = VOID_NAME if config.sparse else BACKGROUND
    if config.classes == "instances":
        names = {key: "object" if _is_class(name) else name for key, name in names.items()}
    elif isinstance(config.classes, Mapping):
        names, unlabelled = _name_as_said(names, config.classes, unlabelled=unlabelled)
    return _number({_UNLABELLED: unlabelled} | names, ordered, config=config, reason=reason)


def _name_by_default(label: Label) -> str:
    """Class of a label when the user says nothing."""
    if label.is_background:
        return BACKGROUND
    return VOID_NAME if label.is_ignored else label.name


def _is_class(name: str) -> bool:
    """Whether a class stands for objects."""
    return name not in (BACKGROUND, VOID_NAME)


def _name_as_said(
    names: Mapping[str, str], said: Mapping[str, str], *, unlabelled: str
) -> tuple[dict[str, str], str]:
    """Put the user's names in place of the exported ones; in the order in which they were given."""
    found: dict[str, str] = {}
    for key, name in said.items():
        if key == OTHERS:
            continue
        for label in _find_labels(key, names):
            if label in found:
                raise ConfigError(f"classes name {label or BACKGROUND!r} twice, e.g. as {key!r}.")
            found[label] = name
    left = [key for key, name in names.items() if key not in found and _is_class(name)]
    if left and OTHERS not in said:
        raise ConfigError(
            f"classes leave out {len(left)} of the exported classes: {_shorten(left)}. Name each "
            f"(classes: {left[0]}=name), or all others at once (classes: {OTHERS}={BACKGROUND} or "
            f"{OTHERS}={VOID_NAME})."
        )
    if unlabelled != VOID_NAME:
        unlabelled = found.pop(_UNLABELLED, unlabelled)
    found.pop(_UNLABELLED, None)
    found |= dict.fromkeys(left, said.get(OTHERS, BACKGROUND))
    return found | {key: name for key, name in names.items() if key not in found}, unlabelled


def _find_labels(key: str, names: Mapping[str, str]) -> list[str]:
    """Labels that a key of the user means.

    A key is a label, its number, or ``background``: what nobody annotated, with the labels that
    are called so.
    """
    shown = [label for label in names if _is_class(names[label]) or names[label] == VOID_NAME]
    backgrounds = [label for label, name in names.items() if name == BACKGROUND]
    if key.lower() in _BACKGROUND_NAMES or key == "0":
        return [_UNLABELLED, *backgrounds]
    folded = [label for label in names if label.lower() == key.lower()]
    if key in names or len(folded) == 1:
        return [key] if key in names else folded
    if re.fullmatch(r"[1-9]\d{0,3}", key) and int(key) <= len(shown):
        return [shown[int(key) - 1]]
    raise ConfigError(
        f"classes name {key!r}, which the annotations do not hold. Their classes are "
        f"{_shorten([BACKGROUND, *shown])}."
    )


def _number(
    names: Mapping[str, str], labels: Sequence[Label], *, config: DataConfig, reason: str
) -> Legend:
    """Give every class name an index, in the order in which they first appear."""
    order = _order_classes(names, config)
    classes = [name for name in order if name != VOID_NAME]
    _require_count(classes, reason)
    index = {name: number for number, name in enumerate(classes)} | {VOID_NAME: VOID}
    created = create_classes(classes, _choose_colors(classes, names, labels))
    table = (*((i, i) for i in range(len(classes))), (VOID, VOID))
    unlabelled = names[_UNLABELLED]
    background = index.get(BACKGROUND if config.sparse else unlabelled)
    scheme = ClassScheme(
        created,
        ClassMap(table),
        f"{reason}: {', '.join(_describe(names))}",
        None if background == VOID else background,
    )
    return Legend(scheme, tuple((k, index[v]) for k, v in names.items() if k), index[unlabelled])


def _order_classes(names: Mapping[str, str], config: DataConfig) -> list[str]:
    """Class names, each once: as the user listed them, after the background if that is unsaid."""
    said = dict(config.classes) if isinstance(config.classes, Mapping) else {}
    said.pop(OTHERS, None)
    used = dict.fromkeys(names.values())
    told = any(key == "0" or key.lower() in _BACKGROUND_NAMES for key in said)
    first = [] if told else [names[_UNLABELLED]]
    return list(dict.fromkeys([*first, *(n for n in said.values() if n in used), *used]))


def _choose_colors(
    classes: Sequence[str], names: Mapping[str, str], labels: Sequence[Label]
) -> list[str] | None:
    """Colours of the export, if they tell the classes apart; None leaves the palette's."""
    known = {names[label.name]: label.color for label in reversed(labels) if label.color}
    defaults = create_classes(classes)
    chosen = [known.get(item.name) or item.color for item in defaults]
    return chosen if len(set(chosen)) == len(chosen) else None


def _describe(names: Mapping[str, str]) -> list[str]:
    """Say what became of each label: its own name, or ``label = class``."""
    told = any(key and name == names[_UNLABELLED] for key, name in names.items())
    return [
        key if key == name else f"{key or 'not annotated'} = {name}"
        for key, name in names.items()
        if key or not told
    ]


def _require_count(classes: Sequence[str], reason: str) -> None:
    """Raise if the classes are too few or too many for a class mask."""
    if len(classes) < 2:
        raise DataError(
            f"{reason}: expected at least two classes (one of them can be the background), found "
            f"{_shorten(classes) or 'none'}. Is anything annotated?"
        )
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"{reason}: {len(classes)} classes, at most {MAX_CLASSES} are possible. Join some: "
            f"classes: {classes[1]}=name,{OTHERS}={BACKGROUND}."
        )


def _shorten(names: Sequence[str]) -> str:
    """List the first few names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
