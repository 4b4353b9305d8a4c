"""An option of an architecture: name, default, help text and allowed values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pixelwise.errors import ConfigError, quote_value

OptionValue = bool | int | float | str | tuple[int, ...] | None


@dataclass(frozen=True)
class Option:
    """One setting of an architecture: default, help text and allowed values.

    Attributes
    ----------
    default : bool, int, float, str, tuple of int, or None
        Value if not given; without `choices`, it also sets the option's type.
    choices : tuple
        The only values allowed; empty: any value of the type within the bounds.
    low, high : float or None
        Inclusive bounds of a number, or of each number of a tuple.
    """

    name: str
    default: OptionValue
    help: str
    choices: tuple[OptionValue, ...] = ()
    low: float | None = None
    high: float | None = None

    def parse(self, value: object) -> OptionValue:
        """Return `value` as this option's type; text such as ``"16"`` or ``"3+4"`` is converted.

        Raises
        ------
        ConfigError
            Wrong type, not one of the choices, or out of bounds.
        """
        parsed = self._choose(value) if self.choices else self._convert(value)
        numbers = parsed if isinstance(parsed, tuple) else (parsed,)
        low = float("-inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        if not all(low <= n <= high for n in numbers if isinstance(n, int | float)):
            raise self._refusal(value)
        return parsed

    @property
    def expectation(self) -> str:
        """The allowed values in words, for error messages and tool tips."""
        if self.choices:
            return "one of " + ", ".join(str(choice).lower() for choice in self.choices)
        kinds = {bool: "true or false", int: "an integer", float: "a number"}
        kind = kinds.get(type(self.default), "integers, such as 3+4,")
        low = "" if self.low is None else f" from {self.low:g}"
        return (kind + low + ("" if self.high is None else f" to {self.high:g}")).rstrip(",")

    def _choose(self, value: object) -> OptionValue:
        texts = {str(choice).lower(): choice for choice in self.choices}
        if str(value).lower() not in texts:
            raise self._refusal(value)
        return texts[str(value).lower()]

    def _convert(self, value: object) -> OptionValue:
        several = isinstance(self.default, tuple)
        kind: Any = tuple[int, ...] if several else type(self.default)
        items = re.findall(r"[^\s,+]+", value) if several and isinstance(value, str) else value
        try:
            converted: OptionValue = TypeAdapter(kind).validate_python(items)
        except ValidationError:
            raise self._refusal(value) from None
        return converted

    def _refusal(self, value: object) -> ConfigError:
        return ConfigError(
            f"Option {self.name!r} must be {self.expectation}; got {quote_value(value)}."
        )
