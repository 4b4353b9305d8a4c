"""Command-line options generated from the configs, so that the two cannot drift apart."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from pixelwise.cli.console import read_input
from pixelwise.config_base import Config, parse_mapping
from pixelwise.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

# Fields whose name is unclear outside of their section, and short forms.
_FLAGS = {
    ("ModelConfig", "name"): ("--model",),
    ("AugmentationConfig", "preset"): ("--augment",),
    ("TrainingConfig", "learning_rate"): ("--learning-rate", "--lr"),
}

overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace existing files, even those that this program did not write or that have changed "
    "since; never an input image or mask",
)
"""For commands that write files which may already exist."""


def config_options(
    config: type[Config], *, skip: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Decorate a command with one option per field of a config.

    An option that is not given stays out of `given_values`, so that the default of the config, or
    the value of a YAML file, applies. Options of fields in `skip` are left out.
    """

    def decorate(command: Command) -> Command:
        for name, field in reversed(config.model_fields.items()):
            if name not in skip:
                command = _create_option(config, name, field)(command)
        return command

    return decorate


def given_values(config: type[Config], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a config's fields that were given on the command line."""
    found = {name: values.get(_parameter(config, name)) for name in config.model_fields}
    return {name: value for name, value in found.items() if value is not None}


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, with the values of `changes` in place of those of `base`."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def _create_option(config: type[Config], name: str, field: FieldInfo) -> Callable[..., Any]:
    """Click option of one field."""
    flags = _FLAGS.get((config.__name__, name), (f"--{name.replace('_', '-')}",))
    kind = _plain_type(field.annotation)
    text = f"{field.description}{_describe_default(field)}"
    target = _parameter(config, name)
    if kind is bool:
        switch = f"{flags[0]}/--no-{flags[0][2:]}"
        return click.option(switch, target, default=None, help=text)
    if get_origin(kind) is Literal:
        choice = click.Choice([str(value) for value in get_args(kind)])
        return click.option(*flags, target, type=choice, default=None, help=text)
    return click.option(*flags, target, metavar=_metavar(kind), default=None, help=text)


def _parameter(config: type[Config], name: str) -> str:
    """Name of the option's value among the command's arguments."""
    return f"{config.__name__.lower()}_{name}"


def _plain_type(annotation: Any) -> Any:
    """Type of a field without `Annotated` and `None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            parts = [part for part in get_args(annotation) if part is not type(None)]
            if len(parts) > 1:
                return str
            annotation = parts[0]
        else:
            return annotation


def _metavar(kind: Any) -> str:
    """Show what a value looks like, for the help."""
    names = {int: "N", float: "X", Path: "PATH", str: "TEXT"}
    if get_origin(kind) is tuple:
        return "N|HxW" if get_args(kind)[-1] is not Ellipsis else "X,X"
    return names.get(kind, "NAME=VALUE,..." if get_origin(kind) is dict else "TEXT")


def _describe_default(field: FieldInfo) -> str:
    """Default in brackets, if there is one."""
    default = field.get_default(call_default_factory=True, validated_data={})
    if field.is_required() or default is None or default in ((), {}, False):
        return ""
    if isinstance(default, tuple):
        default = "x".join(map(str, default))
    return f" [{'on' if default is True else default}]"


def require_one_budget(given: Mapping[str, Any]) -> None:
    """Refuse options that limit a training by epochs and by minutes.

    Raises
    ------
    ConfigError
        Both are given.
    """
    training = given.get("training", {})
    if "minutes" in training and "epochs" in training:
        raise ConfigError(
            "--epochs and --minutes each say how long to train: leave out one. With --minutes the "
            "number of epochs follows from the speed."
        )


def read_source(source: Path) -> dict[str, Any]:
    """Values of a config in YAML, or those of a data folder, which is all that is known then."""
    if source.suffix.lower() in (".yaml", ".yml") or str(source) == "-":
        return parse_mapping(read_input(source, "config"), f"The config {source}")
    return {"data": {"path": source}}
