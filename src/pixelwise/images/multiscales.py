"""OME-Zarr metadata: parsed from versions 0.1 to 0.6, written as 0.5; no file access here.

The specification is https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pixelwise.axes import AXES, Calibration, NamedAxes, guess_axes
from pixelwise.classes import SegmentationClass
from pixelwise.errors import DataError, quote_value

_TYPES: Final = {"T": "time", "C": "channel"}
_LETTERS: Final = {"time": "T", "channel": "C"}
_MOST_AXES: Final = 16  # more are never valid

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Multiscale:
    """Metadata of one image of an OME-Zarr group.

    Attributes
    ----------
    path : str
        Array of the largest level, inside the group.
    names : tuple of str
        Axes names as written.
    letters : str or None
        Axes as letters of ``TZCYX``; None if that is impossible.
    calibration : Calibration or None
        Of the largest level; None if it is missing or not supported.
    version : str
    count : int
        Number of images in the group; this is the first.
    """

    path: str
    names: tuple[str, ...]
    letters: str | None
    calibration: Calibration | None
    version: str
    count: int = 1

    def name_axes(self, shape: tuple[int, ...]) -> NamedAxes:
        """Axes of the largest level, guessed from its shape if the names do not fit."""
        if self.letters is not None and len(self.letters) == len(shape):
            return NamedAxes(self.letters, f"OME-Zarr {self.version} metadata")
        called = ", ".join(self.names) or "nothing"
        return replace(guess_axes(shape), reason=f"guessed: the metadata call them {called}")


def parse_multiscale(attributes: Attributes) -> Multiscale | None:
    """Find the first image in a group's attributes; None if they describe no image.

    Raises
    ------
    DataError
        The metadata of an image are incomplete.
    """
    ome = attributes.get("ome", attributes)
    images = ome.get("multiscales") if isinstance(ome, Mapping) else None
    if not images:
        return None
    try:
        image = images[0]
        level = image["datasets"][0]
        version = str(ome.get("version") or image.get("version") or "0.1")
        listed, steps = _find_system(image, level)
        axes = [_parse_axis(axis) for axis in listed[: _MOST_AXES + 1]]
        names = tuple(name for name, _, _ in axes)
        return Multiscale(
            path=str(level["path"]),
            names=names,
            letters=_parse_letters(axes) if _keeps_axes(image, steps) else None,
            calibration=_parse_transforms(steps, [unit for _, _, unit in axes]),
            version=version,
            count=len(images),
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"its OME-Zarr metadata are incomplete ({quote_value(error)})") from error


def _find_system(image: Any, level: Any) -> tuple[Any, list[Any]]:
    """Axes of a level, and the transformations from its pixels to world coordinates.

    Up to version 0.5 these are the level's, then those of all levels. From 0.6 on axes belong to a
    coordinate system, and a level has a transformation into one; the image's transformations lead
    on to other systems and do not apply to its pixels.
    """
    steps = list(level.get("coordinateTransformations", []))
    systems = image.get("coordinateSystems")
    if not systems:
        steps += image.get("coordinateTransformations", [])
        return image.get("axes", "tczyx"), steps
    output = steps[0].get("output") if steps else None
    name = output.get("name") if isinstance(output, Mapping) else output
    system = next((one for one in systems if one.get("name") == name), systems[0])
    return system["axes"], list(_iter_steps(steps[:1]))


def _iter_steps(steps: Sequence[Any]) -> Iterator[Any]:
    """Flatten sequences of transformations; identities are skipped."""
    for step in steps:
        if step["type"] == "sequence":
            yield from _iter_steps(step["transformations"])
        elif step["type"] != "identity":
            yield step


def _keeps_axes(image: Any, steps: Sequence[Any]) -> bool:
    """Whether the array has the axes of its coordinate system, in the same order."""
    turning = {"mapAxis", "affine", "rotation", "byDimension"}
    return "coordinateSystems" not in image or turning.isdisjoint(step["type"] for step in steps)


def parse_dimension_names(names: object) -> str | None:
    """Letters of an array's dimension names, such as ("z", "y", "x"); None if unknown."""
    listed = names if isinstance(names, list | tuple) else ()
    return _parse_letters([(str(name), "", None) for name in listed])


def _parse_axis(axis: Any) -> tuple[str, str, str | None]:
    """Name, type and unit of an axis; up to version 0.3 it is only a name."""
    if isinstance(axis, str):
        return axis, "", None
    return str(axis["name"]), str(axis.get("type", "")), axis.get("unit")


def _parse_letters(axes: Sequence[tuple[str, str, str | None]]) -> str | None:
    """Axes as letters of ``TZCYX``: by name, else by type."""
    letters = [
        name.upper() if name.upper() in [*AXES] else _LETTERS.get(kind, "?")
        for name, kind, _ in axes
    ]
    sound = len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters) <= set(AXES)
    return "".join(letters) if sound else None


def _parse_transforms(steps: Sequence[Any], units: Sequence[str | None]) -> Calibration | None:
    """Combine scales and translations in order; None if there are other transformations."""
    scale, translation = [1.0] * len(units), [0.0] * len(units)
    for step in steps:
        values = step.get(step["type"], ())
        if step["type"] not in ("scale", "translation") or len(values) != len(units):
            return None  # another kind, or stored in a file: the image is still readable
        if step["type"] == "scale":
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            translation = [a * b for a, b in zip(translation, values, strict=True)]
        elif step["type"] == "translation":
            translation = [a + b for a, b in zip(translation, values, strict=True)]
    try:
        return Calibration.create(scale, units, translation) if steps else None
    except DataError:
        return None


def create_multiscales(
    axes: str, factors: Sequence[int], *, name: str, calibration: Calibration
) -> dict[str, Any]:
    """Metadata of one image whose level i holds every `factors[i]`-th pixel in Y and X.

    Coarse levels are subsampled, not averaged, so all levels have the same translation.
    """
    described: list[dict[str, str]] = []
    for letter, unit in zip(axes, calibration.units, strict=True):
        axis = {"name": letter.lower(), "type": _TYPES.get(letter, "space")}
        described.append(axis if unit is None else {**axis, "unit": unit})
    datasets = []
    for level, factor in enumerate(factors):
        sizes = zip(axes, calibration.scale, strict=True)
        scale = [size * factor if letter in "YX" else size for letter, size in sizes]
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(calibration.translation):
            steps.append({"type": "translation", "translation": [*calibration.translation]})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    image = {"name": name, "axes": described, "datasets": datasets, "type": "nearest"}
    return {"version": "0.5", "multiscales": [image]}


def describe_labels(
    classes: Sequence[SegmentationClass], *, sparse: bool = False
) -> dict[str, Any]:
    """Colours and names of the values 0, 1, …; black, the background's colour, is transparent.

    Classes of sparse labels start at 1; 0 is not annotated.
    """
    values = list(enumerate(classes, start=int(sparse)))
    colors = [
        {"label-value": value, "rgba": [*item.rgb, 0 if item.color == "#000000" else 255]}
        for value, item in values
    ]
    names = [{"label-value": value, "class": item.name} for value, item in values]
    return {"image-label": {"colors": colors, "properties": names} if classes else {}}


def describe_channels(classes: Sequence[SegmentationClass], *, top: float = 1.0) -> dict[str, Any]:
    """Names, colours and range (0 to `top`) of channels with class probabilities."""
    window = {"min": 0.0, "max": top, "start": 0.0, "end": top}
    channels = [
        {"label": item.name, "color": item.color[1:].upper(), "active": value > 0, "window": window}
        for value, item in enumerate(classes)
    ]
    return {"omero": {"channels": channels}} if classes else {}
