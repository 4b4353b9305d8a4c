"""Compares two label arrays: confusion matrix, and an error map as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from pixelwise.classes import VOID, create_classes
from pixelwise.errors import DataError
from pixelwise.figures import ERROR_COLORS
from pixelwise.scores import count_confusion
from pixelwise.widgets.layers import color_labels

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

ERRORS = ("correct", *ERROR_COLORS)
_ERROR_TIPS = (
    "missed: background in the prediction, another class in the truth",
    "false positive: background in the truth, another class in the prediction",
    "wrong class: another class than in the truth, and neither is background",
)
_COLORS = ("#000000", *ERROR_COLORS.values())


def add_errors(viewer: napari.Viewer, errors: Any, *, name: str, **placement: Any) -> Labels:
    """Add an error map as a layer, replacing an older one of that name."""
    if name in viewer.layers:
        viewer.layers.remove(name)
    layer = viewer.add_labels(errors, name=name, **placement)
    color_labels(layer, create_classes(ERRORS, _COLORS))
    return layer


def create_legend() -> QLabel:
    """Say which colour of a map of errors is which error."""
    signs = [
        f"<span style='color: {color}'>■</span>&nbsp;{name.replace(' ', '&nbsp;')}"
        for name, color in zip(ERRORS[1:], _COLORS[1:], strict=True)
    ]
    legend = QLabel(f"Map of the errors: {'&ensp; '.join(signs)}")
    legend.setTextFormat(Qt.TextFormat.RichText)
    legend.setWordWrap(True)
    legend.setToolTip("\n".join(_ERROR_TIPS))
    return legend


def compare_labels(
    found: Any, truth: Any, *, sparse: bool = False, named: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Confusion matrix (rows are the truth) and error map of two label arrays of one shape.

    255 in the truth is void; in a sparse truth 0 is void and classes begin at 1. Labels that hold
    only 0 and 255 are a binary mask (255 is class 1), unless the truth's classes have names
    (`named`). Error map: 0 correct or void, 1 missed foreground, 2 false foreground, 3 wrong class.

    Raises
    ------
    DataError
        The labels are instances (more than 255 values), not classes.
    """
    found, truth = _read_mask(np.asarray(found)), np.asarray(truth)
    truth = truth if sparse or named else _read_mask(truth)
    if sparse:
        truth = np.where(np.isin(truth, (0, VOID)), VOID, truth.astype(np.int64) - 1)
    top = max(int(found.max(initial=0)), int(np.where(truth == VOID, 0, truth).max(initial=0)))
    if top >= VOID:
        raise DataError(
            f"The labels go up to {top}: these are numbered objects, not classes. Choose layers of "
            "class labels."
        )
    matrix = count_confusion(truth, found, max(top + 1, 2))
    wrong = (found != truth) & (truth != VOID)
    errors = np.zeros(truth.shape, np.uint8)
    errors[wrong & (found == 0)] = 1
    errors[wrong & (truth == 0)] = 2
    errors[wrong & (truth != 0) & (found != 0)] = 3
    return matrix, errors


def _read_mask(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Replace 255 with 1 in labels that hold only 0 and 255."""
    if labels.max(initial=0) != VOID or np.isin(labels, (0, VOID), invert=True).any():
        return labels
    mask: npt.NDArray[Any] = (labels == VOID).astype(np.uint8)
    return mask
