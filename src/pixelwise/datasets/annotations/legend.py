"""From the labels of an export to class indices, as the user's config maps them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pixelwise.classes import MAX_CLASSES, VOID, create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets.mapping import BINARY_NAMES, VOID_NAME, ClassMap, ClassScheme
from pixelwise.errors import ConfigError, DataError, quote_value

BACKGROUND: Final = BINARY_NAMES[0]
OTHERS: Final = "*"
"""Key of `DataConfig.classes` for all labels that are not named."""
_BACKGROUND_NAMES: Final = frozenset({"background", "_background_"})
_IGNORED_NAMES: Final = frozenset({"void", "ignore", "ignore*", "__ignore__"})
_UNLABELLED: Final = ""
"""Key for pixels that no label covers, among the labels."""
_SHOWN: Final = 5


@dataclass(frozen=True)
class Label:
    """A class name in an export, and its colour ``#rrggbb`` if it has one."""

    name: str
    color: str | None = None

    @property
    def is_background(self) -> bool:
        """Whether its name stands for unannotated pixels."""
        return self.name.lower() in _BACKGROUND_NAMES

    @property
    def is_ignored(self) -> bool:
        """Whether its name stands for void."""
        return self.name.lower() in _IGNORED_NAMES


@dataclass(frozen=True)
class Legend:
    """The classes of an export, and the pixel value of each label.

    Attributes
    ----------
    scheme : ClassScheme
        The classes; pixel values are their indices, 255 is void.
    values : tuple of (str, int)
        Label and its pixel value.
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
    """Assign a value to each label of an export: background first, then in the order given.

    `config.classes` overrides the names of the export. Its keys are labels (or their numbers in
    this order, from 1), its values class names; labels with the same name form one class, ``void``
    ignores a label, ``*`` stands for all other labels. The key ``background`` (or 0) means
    unannotated pixels; they are background by default, or void with `config.sparse`.

    Raises
    ------
    DataError
        There are no labels, or too many.
    ConfigError
        `config.classes` names unknown labels, or leaves some out.
    """
    unique = {label.name: label for label in reversed(labels)}
    ordered = [unique[name] for name in dict.fromkeys(label.name for label in labels)]
    names = {label.name: _name_by_default(label) for label in ordered}
    unlabelled = VOID_NAME if config.sparse else BACKGROUND
    if config.classes == "instances":
        names = {key: "object" if _is_class(name) else name for key, name in names.items()}
    elif isinstance(config.classes, Mapping):
        names, unlabelled = _rename(names, config.classes, unlabelled=unlabelled)
    return _number({_UNLABELLED: unlabelled} | names, ordered, config=config, reason=reason)


def _name_by_default(label: Label) -> str:
    """Class of a label that the config does not mention."""
    if label.is_background:
        return BACKGROUND
    return VOID_NAME if label.is_ignored else label.name


def _is_class(name: str) -> bool:
    """Whether a class is neither background nor void."""
    return name not in (BACKGROUND, VOID_NAME)


def _rename(
    names: Mapping[str, str], wanted: Mapping[str, str], *, unlabelled: str
) -> tuple[dict[str, str], str]:
    """Replace exported names by the user's, in the user's order."""
    found: dict[str, str] = {}
    for key, name in wanted.items():
        if key == OTHERS:
            continue
        for label in _find_labels(key, names):
            if label in found:
                raise ConfigError(
                    f"classes name {quote_value(label or BACKGROUND)} twice, e.g. as "
                    f"{quote_value(key)}."
                )
            found[label] = name
    left = [key for key, name in names.items() if key not in found and _is_class(name)]
    if left and OTHERS not in wanted:
        raise ConfigError(
            f"classes does not name {len(left)} of the exported classes: {_shorten(left)}. Name "
            f"each (classes: {left[0]}=name), or all others at once (classes: "
            f"{OTHERS}={BACKGROUND} or {OTHERS}={VOID_NAME})."
        )
    if unlabelled != VOID_NAME:
        unlabelled = found.pop(_UNLABELLED, unlabelled)
    found.pop(_UNLABELLED, None)
    found |= dict.fromkeys(left, wanted.get(OTHERS, BACKGROUND))
    return found | {key: name for key, name in names.items() if key not in found}, unlabelled


def _find_labels(key: str, names: Mapping[str, str]) -> list[str]:
    """Labels that a key in the config refers to.

    A key is a label, its number, or ``background``: unannotated pixels and labels of that name.
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
        f"classes names {quote_value(key)}, which is not in the annotations. Their classes are "
        f"{_shorten([BACKGROUND, *shown])}."
    )


def _number(
    names: Mapping[str, str], labels: Sequence[Label], *, config: DataConfig, reason: str
) -> Legend:
    """Assign an index to each class name, in order of first appearance."""
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
    """List unique class names in the user's order, background first unless listed."""
    wanted = dict(config.classes) if isinstance(config.classes, Mapping) else {}
    wanted.pop(OTHERS, None)
    used = dict.fromkeys(names.values())
    has_background = any(key == "0" or key.lower() in _BACKGROUND_NAMES for key in wanted)
    first = [] if has_background else [names[_UNLABELLED]]
    return list(dict.fromkeys([*first, *(n for n in wanted.values() if n in used), *used]))


def _choose_colors(
    classes: Sequence[str], names: Mapping[str, str], labels: Sequence[Label]
) -> list[str] | None:
    """Colours of the export, if they are distinct; None keeps the palette's."""
    known = {names[label.name]: label.color for label in reversed(labels) if label.color}
    defaults = create_classes(classes)
    chosen = [known.get(item.name) or item.color for item in defaults]
    return chosen if len(set(chosen)) == len(chosen) else None


def _describe(names: Mapping[str, str]) -> list[str]:
    """Describe the class of each label: its own name, or ``label = class``."""
    is_named = any(key and name == names[_UNLABELLED] for key, name in names.items())
    return [
        key if key == name else f"{key or 'not annotated'} = {name}"
        for key, name in names.items()
        if key or not is_named
    ]


def _require_count(classes: Sequence[str], reason: str) -> None:
    """Raise if there are too few or too many classes for a class mask."""
    if len(classes) < 2:
        raise DataError(
            f"{reason}: expected at least two classes (one of them can be the background), found "
            f"{_shorten(classes) or 'none'}. Is anything annotated?"
        )
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"{reason}: {len(classes)} classes, at most {MAX_CLASSES} are possible. Merge some: "
            f"classes: {classes[1]}=name,{OTHERS}={BACKGROUND}."
        )


def _shorten(names: Sequence[str]) -> str:
    """List the first few names."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
