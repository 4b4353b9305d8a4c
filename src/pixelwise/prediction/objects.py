"""From class labels to numbered objects."""

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
