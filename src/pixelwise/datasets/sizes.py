"""Checks the size of a mask against its image, and explains differences by EXIF orientation."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pixelwise.errors import DataError
from pixelwise.images.orientation import UPRIGHT, name_pillow_turn, swaps_sides

PlanesShape = tuple[int, int, int, int]


class ImageHeader(Protocol):
    """Properties of an image: its upright shape (N, C, Y, X) and orientation."""

    @property
    def shape(self) -> PlanesShape:
        """Number of planes, channels, height, width."""
        ...

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8."""
        ...

    @property
    def directions(self) -> str:
        """Where the stored axes point; empty if unknown."""
        ...


def require_same_size(
    path: Path, image: ImageHeader, *, found: PlanesShape, orientation: int = UPRIGHT
) -> None:
    """Raise if planes, height or width of a mask differ from its image's.

    Parameters
    ----------
    path : Path
        File of the mask.
    image : ImageHeader
        Upright.
    found : tuple of int
        Shape (N, C, Y, X) of the mask, upright.
    orientation : int
        EXIF orientation of the mask.

    Raises
    ------
    DataError
        The message names an EXIF orientation if the sizes would fit without it.
    """
    size, wanted = (found[0], *found[2:]), (image.shape[0], *image.shape[2:])
    if size == wanted:
        return
    message = (
        f"The mask {path} has {_format_size(size)}, its image has {_format_size(wanted)} "
        "(height x width); they must be equal. "
    )
    turned = swaps_sides(image.orientation) != swaps_sides(orientation)
    if turned and (size[0], size[2], size[1]) == wanted:
        raise DataError(message + _explain_turn(path, image.orientation, orientation))
    raise DataError(message + "Is it the mask of another image?")


def describe_turned_image(image: ImageHeader, orientation: int) -> tuple[str, ...]:
    """Note that a mask without EXIF orientation is assumed to fit the upright image."""
    if image.orientation == UPRIGHT or orientation != UPRIGHT:
        return ()
    note = (
        f"its image was turned upright (EXIF orientation {image.orientation}); the mask has no "
        "orientation and is assumed to fit the upright image"
    )
    return (note,)


def _explain_turn(path: Path, image: int, mask: int) -> str:
    """Explain that the sizes fit as stored, and how to turn the mask."""
    if swaps_sides(image):
        why = f"The image has EXIF orientation {image} and was turned upright, the mask was not"
        turn, save = f".transpose(Image.Transpose.{name_pillow_turn(image)})", "save(p)"
    else:
        why = f"The mask has EXIF orientation {mask} and was turned upright, the image was not"
        turn, save = ".copy()", "save(p, exif=b'')"
    code = f"from PIL import Image; p = {str(path)!r}; Image.open(p){turn}.{save}"
    return (
        f"{why}: their stored sizes are equal. If the mask was drawn on the stored pixels, "
        f'rewrite it: python -c "{code}"'
    )


def _format_size(size: tuple[int, ...]) -> str:
    """Write (planes, height, width) as '2 planes of 5 x 7'."""
    planes = f"{size[0]} planes of " if size[0] > 1 else ""
    return f"{planes}{size[1]} x {size[2]} pixels"


def require_same_directions(path: Path, image: ImageHeader, *, found: str) -> None:
    """Raise `DataError` if the axes of a mask point in other directions than its image's."""
    if found and image.directions and found != image.directions:
        raise DataError(
            f"The axes of the mask {path} point to {found}, those of its image to "
            f"{image.directions}: rows or columns are reversed. Convert both to one order, in "
            "Python: nibabel.save(nibabel.as_closest_canonical(nibabel.load('old.nii.gz')), "
            "'new.nii.gz')"
        )
