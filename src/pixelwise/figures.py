"""Figures of images, masks and classes. Matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.atomic import replacing
from pixelwise.classes import VOID, SegmentationClass
from pixelwise.errors import show_text
from pixelwise.events import EpochEnded
from pixelwise.marks import mark_figure
from pixelwise.scores import SHOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
Rgb8 = npt.NDArray[np.uint8]

FIGURE_SUFFIXES: Final = (".png", ".svg", ".pdf")
_PERCENTILES: Final = (0.5, 99.5)
_PAIR: Final = np.array([[255, 0, 255], [0, 255, 0]], np.float32)
"""Two channels are shown in magenta and green, which colour-blind readers can distinguish."""
_UNPAINTED: Final = "#000000"
_STRIPE_PX: Final = 4
_INCH_PX: Final = 110
_COLUMN_IN: Final = 3
_OUTLINE_SHARE: Final = 1 / 400
"""Width of outlines as a fraction of the image, so that they stay visible in thumbnails."""

_MOST_NUMBERED = 20  # classes; with more, the numbers in the cells would be unreadable


@dataclass(frozen=True)
class Panel:
    """An image with labels over it.

    Attributes
    ----------
    title : str
        Above the image.
    image : ndarray of uint8, (Y, X, 3)
        As `to_rgb8` gives it.
    labels : ndarray, (Y, X)
        Class indices, 255 = void.
    """

    title: str
    image: Rgb8
    labels: Array


def to_rgb8(planes: Array) -> Rgb8:
    """Convert an image of any dtype and channel count to 8-bit RGB.

    8-bit grey and RGB are kept, unless they are dim; everything else is stretched between its 0.5
    and 99.5 percentiles, per channel (RGB together). Two channels become magenta and green; of
    more than three, the first three are shown.

    Parameters
    ----------
    planes : ndarray, (C, Y, X)
        NaN is shown black.

    Returns
    -------
    ndarray of uint8, (Y, X, 3)
    """
    count = len(planes)
    shown = planes if count == 2 else planes[:3]
    if shown.dtype != np.uint8 or count not in (1, 3) or _is_dim(shown):
        together = count == 3 and planes.dtype.kind in "ui"
        shown = _stretch(shown[None])[0] if together else np.stack([_stretch(c) for c in shown])
    if count == 2:
        mixed = np.tensordot(_PAIR.T, shown.astype(np.float32) / 255, axes=1)
        shown = mixed.clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(shown, (3, *shown.shape[1:])).transpose(1, 2, 0))


def overlay(
    image: Rgb8, labels: Array, *, classes: Sequence[SegmentationClass], alpha: float = 0.4
) -> Rgb8:
    """Paint labels over an image: tinted areas with stronger outlines, void in white stripes.

    Classes whose colour is black (background) are not painted.

    Parameters
    ----------
    image : ndarray of uint8, (Y, X, 3)
        As `to_rgb8` gives it.
    labels : ndarray, (Y, X)
        Class indices; 255 is void.
    classes : sequence
        One per index.
    alpha : float
        Strength of the tint, 0 to 1; outlines are twice as strong.

    Returns
    -------
    ndarray of uint8, (Y, X, 3)
    """
    colors = np.zeros((256, 3), np.float32)
    strength = np.zeros(256, np.float32)
    for index, item in enumerate(classes):
        colors[index] = item.rgb
        strength[index] = 0.0 if item.color == _UNPAINTED else alpha
    colors[VOID], strength[VOID] = 255, alpha
    weights = strength[labels]
    width = max(1, round(max(labels.shape) * _OUTLINE_SHARE / 2))
    weights[find_outlines(labels, width=width)] *= 2
    rows, columns = np.indices(labels.shape)
    gaps = (rows + columns) // _STRIPE_PX % 2 == 0
    weights[(labels == VOID) & gaps] = 0
    weights = weights.clip(max=1)[..., None]
    mixed: Array = image * (1 - weights) + colors[labels] * weights
    return mixed.round().astype(np.uint8)


ERROR_COLORS: Final = {"missed": "#0072b2", "false positive": "#d55e00", "wrong class": "#f0e442"}
"""Colours of errors: foreground taken for background (class 0), the reverse, another class."""
_DIMMED: Final = 0.5


def paint_errors(image: Rgb8, truth: Array, prediction: Array) -> Rgb8:
    """Paint wrong pixels over a dimmed image, in `ERROR_COLORS`; void is never wrong.

    Parameters
    ----------
    image : ndarray of uint8, (Y, X, 3)
    truth, prediction : ndarray, (Y, X)
        Class indices; 255 is void.
    """
    wrong = (prediction != truth) & (truth != VOID)
    kinds = (wrong & (prediction == 0), wrong & (truth == 0))
    found: Rgb8 = (image * _DIMMED).astype(np.uint8)
    colors = [bytes.fromhex(color[1:]) for color in ERROR_COLORS.values()]
    for where, color in zip((*kinds, wrong & ~kinds[0] & ~kinds[1]), colors, strict=True):
        found[where] = list(color)
    return found


def find_outlines(labels: Array, *, width: int = 1) -> npt.NDArray[np.bool_]:
    """Pixels (Y, X) with another label up to `width` pixels away, up, down, left or right."""
    edges = np.zeros(labels.shape, bool)
    for away in range(1, width + 1):
        vertical = labels[away:] != labels[:-away]
        horizontal = labels[:, away:] != labels[:, :-away]
        edges[away:] |= vertical
        edges[:-away] |= vertical
        edges[:, away:] |= horizontal
        edges[:, :-away] |= horizontal
    return edges


def draw_overview(
    panels: Sequence[Panel],
    classes: Sequence[SegmentationClass],
    *,
    shares: Sequence[float],
    title: str,
    path: Path,
) -> None:
    """Draw images, their overlays, and the share of each class; see `save_figure` for `path`.

    Parameters
    ----------
    panels : sequence of Panel
        One column each; four to six fit well.
    classes : sequence
        Names and colours.
    shares : sequence of float
        Fraction of the annotated pixels in each class, 0 to 1.
    title : str
        Title of the figure.
    """
    bars_height = 0.7 + 0.24 * len(classes)
    aspect = max((panel.labels.shape[0] / panel.labels.shape[1] for panel in panels), default=0)
    images_height = 0.3 + 2 * _COLUMN_IN * min(aspect, 2)
    figure = _create_figure(_COLUMN_IN * max(len(panels), 2), 0.4 + images_height + bars_height)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    ratios = [images_height, bars_height]
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=ratios)[:, 0]
    if panels:
        grid = top.subplots(2, len(panels), squeeze=False)
        for column, panel in zip(grid.T, panels, strict=True):
            _show(column[0], panel.image, title=panel.title)
            _show(column[1], overlay(panel.image, panel.labels, classes=classes))
    draw_class_shares(bottom.subplots(), classes, shares=shares)
    save_figure(figure, path)


def draw_class_shares(
    axes: Axes, classes: Sequence[SegmentationClass], *, shares: Sequence[float]
) -> None:
    """Draw one horizontal bar per class, with its share written beside it."""
    places = range(len(classes))
    bars = axes.barh(
        places, [100 * s for s in shares], color=[c.color for c in classes], edgecolor="#808080"
    )
    axes.bar_label(bars, [f"{share:.1%}" for share in shares], padding=4, fontsize=8)
    axes.set_yticks(places, [c.name for c in classes], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("share of the annotated pixels (%)", fontsize=9)
    axes.set_xlim(0, 110 * max([*shares, 0.01]))
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_comparison(
    rows: Sequence[tuple[Panel, Array]], classes: Sequence[SegmentationClass], path: Path
) -> None:
    """Draw input, truth and prediction of several images, one row each, with a legend.

    Parameters
    ----------
    rows : sequence of (Panel, ndarray)
        The image with its true labels, and the predicted labels (Y, X).
    classes : sequence
        Names and colours.
    path : Path
        As in `save_figure`.
    """
    from matplotlib.patches import Patch

    figure = _create_figure(9, 3 * len(rows) + 0.5)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for axes, (panel, prediction) in zip(grid, rows, strict=True):
        _show(axes[0], panel.image, title=panel.title)
        _show(axes[1], overlay(panel.image, panel.labels, classes=classes), title="truth")
        _show(axes[2], overlay(panel.image, prediction, classes=classes), title="prediction")
    painted = [item for item in classes if item.color != _UNPAINTED]
    handles = [Patch(facecolor=item.color, label=item.name) for item in painted]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=9
    )
    save_figure(figure, path)


def draw_predictions(
    rows: Sequence[tuple[Panel, Mapping[str, Array]]],
    classes: Sequence[SegmentationClass],
    path: Path,
) -> None:
    """Draw several predictions of each image side by side, with their errors below.

    Parameters
    ----------
    rows : sequence of (Panel, mapping of str to ndarray)
        The image with its true labels, and predicted labels (Y, X) by the name of the model.
    classes : sequence
        Names and colours.
    path : Path
        As in `save_figure`.
    """
    columns = 2 + max(len(predictions) for _, predictions in rows)
    figure = _create_figure(2.2 * columns, 4.6 * len(rows))
    grid = figure.add_gridspec(2 * len(rows), columns)

    def show(place: tuple[int, int], image: Rgb8, title: str) -> None:
        _show(figure.add_subplot(grid[place]), image, title=title)

    for row, (panel, predictions) in zip(range(0, 2 * len(rows), 2), rows, strict=True):
        show((row, 0), panel.image, panel.title)
        show((row, 1), overlay(panel.image, panel.labels, classes=classes), "truth")
        for column, (name, labels) in enumerate(predictions.items(), start=2):
            show((row, column), overlay(panel.image, labels, classes=classes), name)
            show((row + 1, column), paint_errors(panel.image, panel.labels, labels), "errors")
    save_figure(figure, path)


def draw_curves(runs: Mapping[str, Sequence[EpochEnded]], path: Path) -> None:
    """Draw the validation loss and Dice of several training runs over one another."""
    figure = _create_figure(11, 4)
    losses, scores = figure.subplots(1, 2)
    for name, epochs in runs.items():
        steps = [event.epoch for event in epochs]
        curves = {name: [event.validation_loss for event in epochs]}
        _plot(losses, steps, curves=curves)
        _plot(scores, steps, curves={name: [event.scores.get("dice") for event in epochs]})
    losses.set(title="validation loss", xlabel="epoch")
    scores.set(title="Dice on the validation images", xlabel="epoch", ylim=(0, 1.02))
    save_figure(figure, path)


def draw_confusion(matrix: npt.NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix (C, C), rows normalised to 1, with one name per class.

    Rows are the truth, columns the prediction.
    """
    side = 1.6 + 0.55 * len(names)
    figure = _create_figure(side + 0.6, side)
    axes = figure.subplots()
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="prediction", ylabel="truth")
    if len(names) <= _MOST_NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            shade = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{share:.1%}", ha="center", va="center", color=shade, size=7)
    save_figure(figure, path)


def draw_losses(epochs: Sequence[EpochEnded], path: Path) -> None:
    """Draw the losses of a training run, and its validation scores, by epoch."""
    figure = _create_figure(9, 3.6)
    losses, scores = figure.subplots(1, 2)
    steps = [event.epoch for event in epochs]
    curves = {
        "training": [event.train_loss for event in epochs],
        "validation": [event.validation_loss for event in epochs],
    }
    _plot(losses, steps, curves=curves)
    _plot(scores, steps, curves={n: [event.scores.get(n) for event in epochs] for n in SHOWN})
    losses.set(title="loss", xlabel="epoch")
    scores.set(title="scores on the validation images", xlabel="epoch", ylim=(0, 1.02))
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically as PNG, SVG or PDF, with its mark; ``$`` starts no formula.

    Raises
    ------
    WriteError
        The folder cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    with replacing(path) as temp, rc_context({"text.parse_math": False}):  # for new texts
        for text in figure.findobj(Text):
            text.set_parse_math(False)
            text.set_text(show_text(text.get_text()))
        figure.savefig(temp)
        mark_figure(temp, path.suffix)


def _create_figure(width_in: float, height_in: float) -> Figure:
    """Create a figure without pyplot, which would keep it alive and look for a display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), dpi=_INCH_PX, layout="constrained")


def _show(axes: Axes, image: Rgb8, title: str = "") -> None:
    """Show an RGB image without ticks."""
    axes.imshow(image, interpolation="antialiased")
    axes.set_axis_off()
    if title:
        axes.set_title(title if len(title) <= 28 else f"{title[:25]}...", fontsize=9)


def _plot(
    axes: Axes, steps: Sequence[int], *, curves: Mapping[str, Sequence[float | None]]
) -> None:
    """Plot curves by name; an undefined value is a gap."""
    for name, values in curves.items():
        points = [np.nan if value is None else value for value in values]
        axes.plot(steps, points, label=name, marker="." if len(steps) < 30 else "")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _is_dim(values: Array) -> bool:
    """Whether 8-bit values lie in the darkest quarter of their range."""
    return bool(np.percentile(values, _PERCENTILES[1]) < 64)


def _stretch(values: Array) -> Rgb8:
    """Stretch an array between its percentiles to 0 to 255."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(finite, _PERCENTILES)
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    scaled = (values.astype(np.float32) - low) / max(high - low, np.finfo(np.float32).tiny)
    scaled = np.nan_to_num(scaled, nan=0.0).clip(0, 1) * 255
    stretched: Rgb8 = scaled.round().astype(np.uint8)
    return stretched
