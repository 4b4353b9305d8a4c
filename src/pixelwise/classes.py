"""The classes a pixel can have, named and coloured, and the one value that is ignored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from pixelwise.errors import ConfigError, quote_value
from pixelwise.parsing import PlainName, require_plain_name

VOID: Final = 255
"""The ignore index: class mask value of pixels that are left out of every loss and score."""

MAX_CLASSES: Final = 255
"""Class masks are uint8, and 255 is void."""

# Black for background, then Okabe & Ito's colour-blind safe set (2008), then lighter ones of it.
_PALETTE: Final = (
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7",
    "#999999", "#f5cf8f", "#b3def6", "#80cfb9", "#8c6d1f", "#80b9d9", "#ea9f71", "#e6bcd3",
    "#5f4b8b", "#00a6a6", "#c8553d", "#6a994e",
)  # fmt: skip


class SegmentationClass(BaseModel):
    """One class: its name and the colour it is drawn in.

    Attributes
    ----------
    name : str
        Unique within a data set or model.
    color : str
        ``#rrggbb``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: PlainName = Field(min_length=1)
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Colour as three values of 0 to 255."""
        red, green, blue = bytes.fromhex(self.color[1:])
        return red, green, blue


Classes = Annotated[tuple[SegmentationClass, ...], Field(min_length=2, max_length=MAX_CLASSES)]
"""All classes of a data set or model, as stored in a file."""


def require_background(background: int | None, classes: Sequence[SegmentationClass]) -> None:
    """Raise `ValueError` if the background is none of the classes; None is no background."""
    if background is not None and not 0 <= background < len(classes):
        raise ValueError(f"background {background} is none of {len(classes)} classes")


class MaskValues(BaseModel):
    """The class of each mask file value in a training run.

    Attributes
    ----------
    table : tuple of (int, int)
        Value as stored (a colour is 0xRRGGBB) and its class index, or `VOID`.
    rest : int or None
        Class index of every other value; None: there are no others.
    colors : bool
        Whether the values are colours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: tuple[tuple[int, int], ...]
    rest: int | None = None
    colors: bool = False


def describe_classes(
    classes: Sequence[SegmentationClass], *, sparse: bool = False
) -> dict[str, Any]:
    """Describe classes as JSON for a label file: from value 0, or from 1 if sparse."""
    listed = [[item.name, item.color] for item in classes]
    return {"classes": listed, "sparse": sparse} if listed or sparse else {}


def create_classes(
    names: Sequence[str], colors: Sequence[str] | None = None, *, background: int | None = 0
) -> tuple[SegmentationClass, ...]:
    """Create classes 0, 1, … with these names, and colour-blind safe colours unless given.

    Only the background is black.

    Raises
    ------
    ConfigError
        Fewer than two names, more than 255, duplicates, or control characters in a name.
    """
    if not 2 <= len(names) <= MAX_CLASSES:
        found = quote_value(list(names))
        raise ConfigError(f"Expected 2 to {MAX_CLASSES} classes, got {len(names)}: {found}.")
    if len(set(names)) != len(names):
        raise ConfigError(f"Class names must differ, got {list(names)}.")
    for name in names:
        try:
            require_plain_name(name)
        except ValueError as error:
            raise ConfigError(f"A class name is not usable: {error}.") from error
    chosen = colors or _choose_colors(len(names), background)
    return tuple(SegmentationClass(name=n, color=c) for n, c in zip(names, chosen, strict=True))


def _choose_colors(count: int, background: int | None) -> list[str]:
    """Colours of the palette: black for the background, the others in turn."""
    black, *others = _PALETTE
    found = [others[i % len(others)] for i in range(count)]
    if background is not None:
        found.insert(background, black)
    return found[:count]
