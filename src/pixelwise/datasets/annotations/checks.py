"""Checks of an annotation against its image: one plane, the stated size, plausible coordinates."""

from __future__ import annotations

from pathlib import Path

from pixelwise.datasets.annotations.json_files import Points
from pixelwise.datasets.readers import PlanesHeader
from pixelwise.errors import DataError


def require_one_plane(path: Path, image: PlanesHeader) -> None:
    """Raise `DataError` if the image is a stack: outlines have no plane of their own."""
    if image.shape[0] != 1:
        raise DataError(
            f"{path} holds outlines for one plane, its image has {image.shape[0]} planes "
            f"({image.axes}). Save each plane as a separate image with its own annotation."
        )


def require_stated_size(
    place: object, stated: tuple[int, int] | None, found: tuple[int, int]
) -> None:
    """Raise `DataError` if an annotation states a different (height, width) than the image has."""
    height, width = found
    if stated is None or stated == (height, width):
        return
    turned = " (the sides are swapped: was one of them rotated?)"
    raise DataError(
        f"{place} says that its image has {stated[0]} x {stated[1]} pixels, the image has {height} "
        f"x {width} (height x width)"
        f"{turned if stated == (width, height) else ''}. Annotations are not rescaled: export "
        "them again with the images."
    )


def require_pixels_meant(place: object, outlines: list[Points], shape_yx: tuple[int, int]) -> None:
    """Raise if coordinates are fractions of the image, or belong to another image.

    Raises
    ------
    DataError
        All coordinates are between 0 and 1, or an outline is entirely outside the image.
    """
    if not outlines:
        return
    everything = find_bounds(outlines)
    if min(shape_yx) > 1 and everything[0] >= 0 and everything[1] <= 1:
        raise DataError(
            f"{place}: all coordinates are between 0 and 1; expected pixels. Multiply them by the "
            "width and height of the image."
        )
    height, width = shape_yx
    for outline in outlines:
        (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
        if left >= width or top >= height or right <= 0 or bottom <= 0:
            raise DataError(
                f"{place}: an outline from x={left:g}, y={top:g} to x={right:g}, y={bottom:g} is "
                f"outside the image of {height} x {width} pixels (height x width). Does it belong "
                "to another image, or was this one cropped or resized afterwards?"
            )


def require_nearby(place: object, bounds: tuple[float, float], shape_yx: tuple[int, int]) -> None:
    """Raise `DataError` if coordinates are so far outside that drawing could take very long."""
    (low, high), limit = bounds, max(shape_yx)
    if low < -limit or high > 2 * limit:
        height, width = shape_yx
        raise DataError(
            f"{place} reaches from {low:g} to {high:g}, far outside the image of {height} x "
            f"{width} pixels (height x width). Does it belong to this image?"
        )


def find_bounds(outlines: list[Points]) -> tuple[float, float]:
    """Least and greatest coordinate of all outlines."""
    return min(float(o.min()) for o in outlines), max(float(o.max()) for o in outlines)
