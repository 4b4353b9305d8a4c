"""The base of all configs, and parsers for values as users type them: ``0=background``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from pixelwise.errors import ConfigError, ReadError, quote_value
from pixelwise.parsing import CONFIG_BYTES, parse_yaml, read_text, require_possible_path


def _parse_size(value: Any) -> Any:
    """Read ``256``, ``"256"`` and ``"360x480"`` as (height, width)."""
    if isinstance(value, str):
        sides = value.lower().replace(",", "x").split("x")
        value = sides * 2 if len(sides) == 1 else sides
    return (value, value) if isinstance(value, int) else value


def _parse_mapping(value: Any) -> Any:
    """Read ``"0=background,255=cell"`` as a mapping; leave other values as they are."""
    if isinstance(value, str) and "=" in value:
        return dict(item.strip().split("=", 1) for item in value.split(","))
    if isinstance(value, dict):
        return {str(key): name for key, name in value.items()}
    return value


def _parse_numbers(value: Any) -> Any:
    """Read ``"1,2.5"`` as a tuple of numbers."""
    return tuple(value.split(",")) if isinstance(value, str) else value


Side = Annotated[int, Field(ge=1, le=65_536)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_parse_size)]
ClassMapping = Annotated[
    Literal["auto", "instances"] | dict[str, str], BeforeValidator(_parse_mapping)
]
Numbers = Annotated[tuple[float, ...], BeforeValidator(_parse_numbers)]
Options = Annotated[dict[str, Any], BeforeValidator(_parse_mapping)]


_MOST_LINES: Final = 10
"""Invalid fields that one message lists."""


class Config(BaseModel):
    """Base of all configs: frozen, no unknown fields, YAML both ways."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @field_validator("*")
    @classmethod
    def _check_length(cls, value: Any) -> Any:
        """Refuse what no disk could have as a path: only to look for it is an error there."""
        if isinstance(value, str | Path):
            require_possible_path(value)
        return value

    @classmethod
    def create(cls, /, **values: Any) -> Self:
        """Create a config; a wrong value raises `ConfigError` with the field's name and limits."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(describe_invalid(error, cls.__name__)) from error

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read a config from YAML text.

        Raises
        ------
        ConfigError
            The text is not a YAML mapping, or a value is wrong.
        """
        return cls.create(**parse_mapping(text, "The config"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a config from a YAML file.

        Raises
        ------
        ReadError
            The file is missing, too large, or not a regular file of UTF-8 text.
        ConfigError
            As `from_yaml`.
        """
        text = read_text(path, what="config", most=CONFIG_BYTES)
        return cls.create(**parse_mapping(text, f"The config {path}"))

    def make_paths_absolute(self, *names: str) -> Self:
        """Give the same with absolute paths in the fields of these names, where they are given."""
        paths = {name: getattr(self, name) for name in names}
        absolute = {name: path.absolute() for name, path in paths.items() if path is not None}
        return self.model_copy(update=absolute)

    def to_yaml(self) -> str:
        """Write the config as YAML that `from_yaml` reads back to an equal config."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def parse_mapping(text: str, place: str) -> dict[str, Any]:
    """Parse the YAML of a config, for `Config.create` to check.

    Raises
    ------
    ConfigError
        It is not a YAML mapping of names, or exceeds the limits of `parse_yaml`.
    """
    try:
        values = parse_yaml(text, place)
    except ReadError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{place} must be a YAML mapping such as 'data: {{path: stage1_train}}', got "
            f"{type(values).__name__}."
        )
    strange = [key for key in values if not isinstance(key, str)]
    if strange:
        raise ConfigError(f"{place} has a field {quote_value(strange[0])}; expected names only.")
    return values


def describe_invalid(error: ValidationError, model: str) -> str:
    """Describe the invalid fields of a pydantic error in one line."""
    lines = []
    for detail in error.errors(include_url=False):
        where = ".".join(str(part) for part in detail["loc"] if not _is_branch(part)) or model
        message = detail["msg"].removeprefix("Value error, ").rstrip(".")
        silent = detail["type"] in ("missing", "value_error", "json_invalid")
        found = "" if silent else f", got {quote_value(detail['input'])}"
        lines.append(f"{where}: {message}{found}")
    more = f"; and {len(lines) - _MOST_LINES} more" if len(lines) > _MOST_LINES else ""
    return "; ".join(dict.fromkeys(lines[:_MOST_LINES])) + f"{more}."


def _is_branch(part: int | str) -> bool:
    """Whether a location part names a branch of a union and not a field."""
    return isinstance(part, str) and ("[" in part or part in ("int", "str", "float"))
