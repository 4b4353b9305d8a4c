"""What is made of a plane's class labels: small things taken out, objects numbered."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def label_objects(labels: npt.NDArray[Any], background: int | None = 0) -> npt.NDArray[np.uint32]:
    """Give each connected area (8-connected) of one class a number, from 1.

    Parameters
    ----------
    labels : ndarray of integers, (Y, X)
        Classes.
    background : int or None
        Class that becomes 0; None: every class has objects.

    Returns
    -------
    ndarray of uint32, (Y, X)
        0 is background; areas of two classes that touch have two numbers.
    """
    from skimage.measure import label

    empty = -1 if background is None else background
    numbered: npt.NDArray[np.uint32] = label(
        labels.astype(np.int64), background=empty, connectivity=2
    ).astype(np.uint32)
    return numbered


def clean_labels(
    labels: npt.NDArray[Any], background: int, *, smallest_object: int = 0, largest_hole: int = 0
) -> npt.NDArray[Any]:
    """Take small objects out of a plane and fill small holes.

    Parameters
    ----------
    labels : ndarray of integers, (Y, X)
        Classes.
    background : int
        Class that is no object.
    smallest_object : int
        Connected areas (8-connected) of one class with fewer pixels become background; first.
    largest_hole : int
        Background inside a class (4-connected, of up to so many pixels) becomes that class; what
        touches the edge of the image is no hole.

    Returns
    -------
    ndarray, (Y, X)
        Of the same dtype.
    """
    found = labels.copy()
    present = [value for value in np.unique(labels) if value != background]
    for value in present:
        small = _find_areas(found == value, most=smallest_object - 1, connectivity=2)
        found[small] = background
    for value in present:
        holes = _find_areas(found != value, most=largest_hole, connectivity=1, inside=True)
        found[holes & (found == background)] = value
    return found


def _find_areas(
    mask: npt.NDArray[np.bool_], *, most: int, connectivity: int, inside: bool = False
) -> npt.NDArray[np.bool_]:
    """Mark the connected areas of a mask that have at most so many pixels."""
    from skimage.measure import label

    if most < 1:
        return np.zeros_like(mask)
    numbered = label(mask, connectivity=connectivity)
    wanted = np.bincount(numbered.ravel()) <= most
    wanted[0] = False
    if inside:
        edges = (numbered[0], numbered[-1], numbered[:, 0], numbered[:, -1])
        wanted[np.concatenate(edges)] = False
    areas: npt.NDArray[np.bool_] = wanted[numbered]
    return areas
