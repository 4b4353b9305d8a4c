"""Translates messages of the engine for a window: options become fields and buttons.

The engine's messages name the options of the command line. Every text that a window shows goes
through `for_window`, so that no message has to be written twice.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pixelwise.config import (
    AugmentationConfig,
    DataConfig,
    ModelConfig,
    PatchConfig,
    PredictConfig,
    TrainingConfig,
)
from pixelwise.config_base import Config
from pixelwise.errors import LONGEST_MESSAGE, show_text
from pixelwise.widgets.forms import name_field

_CONFIGS: Final[tuple[type[Config], ...]] = (
    DataConfig,
    PatchConfig,
    ModelConfig,
    AugmentationConfig,
    TrainingConfig,
    PredictConfig,
)
# Options that are no field of a config, and fields whose option has another name.
_OTHER: Final = {
    "model": "Network",
    "augment": "Preset",
    "lr": "Learning rate",
}
_PLACE: Final = "folder for the result"
"""What commands call --out; each window has a field of its own for it."""
_COMMANDS: Final = (
    (r"'?pixelwise inspect'?( lists)?", r"Count in the widget Patches\1"),
    (r"'?pixelwise patches( …)?( --size)?'?", "the widget Patches"),
    (r"'?pixelwise architectures'?", "the widget Models"),
    (r"'pixelwise resume [^']*'|'?pixelwise resume'?", "Resume"),
    (r"'?pixelwise train'?", "the widget Train"),
    (r"--split all, or ", ""),
    (r", or replace existing files with --overwrite", ""),  # windows cannot
    (r" on the command line", " in this window"),
)
_CHOICE: Final = re.compile(
    r"pixelwise inspect (?:'[^']*'|\S+)((?: --(?:images|masks|mask-suffix) (?:'[^']*'|\S+))+)"
)
"""A command to choose, as `datasets.layouts.choices` writes it: its options are fields here."""
_OPTION: Final = re.compile(r"--([a-z][a-z0-9-]*)((?:[ =])(?:'[^']*'|\"[^\"]*\"|[^\s,;()]+))?")
_WORD: Final = re.compile(r"[a-z]+")
_PYTHON_NAME: Final = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b(?![/.(\\])")


def for_window(text: str) -> str:
    """Replace options and commands in a message with the names of fields and buttons.

    Control characters are escaped, and very long text is cut.
    ``--classes '0=background,1=cell'`` becomes ``“Classes”: 0=background,1=cell``.
    """
    text = show_text(text, most=LONGEST_MESSAGE)
    text = _CHOICE.sub(_name_choice, text)
    for pattern, words in _COMMANDS:
        text = re.sub(pattern, words, text)
    text = _OPTION.sub(_name_option, text)
    return _PYTHON_NAME.sub(_name_python, text)


@cache
def list_labels() -> dict[str, str]:
    """Label of the field of each option, by the option's name without dashes."""
    labels: dict[str, str] = {}
    for config in _CONFIGS:
        for field in config.model_fields:
            labels.setdefault(field.replace("_", "-"), name_field(config, field))
    return labels | _OTHER


@cache
def _list_choices() -> frozenset[str]:
    """All values that fields with named choices can have."""
    schemas = (config.model_json_schema() for config in _CONFIGS)
    return frozenset(_iter_choices(list(schemas)))


def _iter_choices(schema: Any) -> Iterator[str]:
    """Texts of all choices in a JSON schema."""
    if isinstance(schema, dict):
        yield from (str(value) for value in schema.get("enum", ()))
        yield from ([str(schema["const"])] if "const" in schema else [])
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _iter_choices(part)


def _name_choice(found: re.Match[str]) -> str:
    """Fields and values of a suggested `inspect` command."""
    options = iter(shlex.split(found[1]))
    labels = list_labels()
    pairs = [
        f"“{labels[name.removeprefix('--')]}”: {value}"
        for name, value in zip(options, options, strict=True)
    ]
    return ", ".join(pairs)


def _name_option(found: re.Match[str]) -> str:
    """Label of an option, with its value if what follows is one."""
    name, value = found[1], found[2] or ""
    if name == "out":
        return f"{_PLACE}{found[2] or ''}"
    label = list_labels().get(name)
    if label is None and name.startswith("no-"):
        label = list_labels().get(name.removeprefix("no-"))
    if label is None:
        return found[0]
    bare = value[1:].rstrip(".:")
    if not value or (_WORD.fullmatch(bare) and bare not in _list_choices()):
        return f"“{label}”{value}"
    tail = value[1:].removeprefix(bare)
    return f"“{label}”: {' '.join(shlex.split(bare))}{tail}"


def _name_python(found: re.Match[str]) -> str:
    """Label of a field that a message names as in Python."""
    label = list_labels().get(found[0].replace("_", "-"))
    return found[0] if label is None else f"“{label}”"
