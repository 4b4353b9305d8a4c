"""Pixel sizes in TIFF files: OME, ImageJ, and resolution tags in centimetres.

A resolution in inches describes a printer or a screen, and is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pixelwise.axes import Calibration, name_unit, shorten_unit
from pixelwise.errors import ReadError
from pixelwise.parsing import parse_xml

Sizes = dict[str, tuple[float, str]]
"""Size and unit of a pixel for each axis letter."""

_OME_NAMES: Final = {
    **{letter: (f"PhysicalSize{letter}", "µm") for letter in "XYZ"},
    "T": ("TimeIncrement", "s"),
}
"""Attribute of each axis, and its default unit."""
_CENTIMETRE: Final = 3
_UM_PER_CM: Final = 1e4


def read_calibration(series: Any, axes: str) -> Calibration | None:
    """Calibration of a tifffile series with these axes; None if missing or unreadable."""
    tiff = series.keyframe.parent
    try:
        if tiff.is_ome:
            sizes = _read_ome(tiff.ome_metadata, _find_number(series))
        elif tiff.is_imagej:
            sizes = _read_imagej(series.keyframe, tiff.imagej_metadata or {})
        else:
            sizes = _read_tags(series.keyframe)
            for notes in tiff.shaped_metadata or ():
                sizes |= {x: size for x, size in _read_attributes(notes).items() if x in "ZT"}
        return calibrate(sizes, axes)
    except (ValueError, KeyError, TypeError, AttributeError, ReadError):
        return None


def calibrate(sizes: Sizes, axes: str) -> Calibration | None:
    """Order the sizes by `axes`; sizes of 0 or in an unknown unit are ignored."""
    sound = {x: size for x, size in sizes.items() if size[0] > 0 and name_unit(size[1])}
    found = [sound.get(letter, (1.0, "")) for letter in axes]
    return Calibration.create(*zip(*found, strict=True)) if sound.keys() & set(axes) else None


def _find_number(series: Any) -> int:
    """Find the index of a series in its file."""
    found = series.keyframe.parent.series
    return next((i for i, one in enumerate(found) if one is series), 0)


def _read_ome(text: str, number: int) -> Sizes:
    """Sizes of one image in OME-XML, by default in micrometres."""
    images = parse_xml(text, "OME-XML").findall(".//{*}Pixels")
    if not images:
        return {}
    return _read_attributes(dict(images[number if number < len(images) else 0].items()))


def _read_attributes(attributes: Mapping[str, Any]) -> Sizes:
    """Sizes under their OME-XML attribute names."""
    sizes: Sizes = {}
    for letter, (name, unit) in _OME_NAMES.items():
        if size := attributes.get(name):
            sizes[letter] = float(size), str(attributes.get(f"{name}Unit", unit))
    return sizes


def describe_steps(calibration: Calibration, axes: str) -> dict[str, Any]:
    """Attributes for the Z and T steps, for OME-XML and for the notes of other TIFFs."""
    found: dict[str, Any] = {}
    for letter in set("ZT") & set(axes):
        unit, name = calibration.units[axes.index(letter)], _OME_NAMES[letter][0]
        if unit is not None:
            found[name] = calibration.scale[axes.index(letter)]
            found[f"{name}Unit"] = shorten_unit(unit)
    return found


def _read_imagej(page: Any, metadata: dict[str, Any]) -> Sizes:
    """Sizes of an ImageJ stack, in its unit of length."""
    unit = str(metadata.get("unit", ""))
    sizes: Sizes = {}
    if unit:
        sizes = {x: (size, unit) for x, size in _read_resolution(page).items()}
    if "spacing" in metadata and unit:
        sizes["Z"] = float(metadata["spacing"]), unit
    if "finterval" in metadata:
        sizes["T"] = float(metadata["finterval"]), "s"
    return sizes


def _read_tags(page: Any) -> Sizes:
    """Sizes of a plain TIFF, if its resolution is per centimetre."""
    if page.resolutionunit != _CENTIMETRE:
        return {}
    return {x: (size * _UM_PER_CM, "µm") for x, size in _read_resolution(page).items()}


def _read_resolution(page: Any) -> dict[str, float]:
    """Width and height of a pixel in the file's resolution unit."""
    sizes = {}
    for letter in "XY":
        tag = page.tags.get(f"{letter}Resolution")
        count, per = tag.value if tag is not None else (0, 0)
        if count > 0:
            sizes[letter] = per / count
    return sizes
