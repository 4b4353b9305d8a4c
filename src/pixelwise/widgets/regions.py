"""Parts of an image layer: what the window shows of it, or the rectangle around a shape."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pixelwise.axes import label_axes
from pixelwise.errors import DataError
from pixelwise.jobs import PlacedRegion
from pixelwise.widgets.layers import Array, find_layers, placement

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer, Shapes

REGION: Final = "pixelwise region"
"""Key in a prediction's metadata: which part of its image it shows, see `LayerRegion.describe`."""

_GRID: Final = 64  # pixels; the strides of all networks divide it
_CORNERS: Final = ((0, 0), (0, 1), (1, 0), (1, 1))
Span = tuple[int, int]


@dataclass(frozen=True)
class LayerRegion:
    """A part of one plane of an image layer.

    Attributes
    ----------
    layer : Layer
    axes : str
        Axes of the layer's data.
    level : int
        Which resolution of a pyramid; 0 is the largest, and the only one of other layers.
    plane : mapping of str to int
        Index in that level of each axis but C, Y and X.
    rows, columns : (start, stop)
        In pixels of that level.
    """

    layer: Layer
    axes: str
    level: int
    plane: Mapping[str, int]
    rows: Span
    columns: Span

    @property
    def array(self) -> Any:
        """Array of the level; it may be lazy."""
        return self.layer.data[self.level] if self.layer.multiscale else self.layer.data

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole plane, in pixels of the level."""
        sizes = dict(zip(self.axes, self.array.shape, strict=True))
        return sizes["Y"], sizes["X"]

    @property
    def source_axes(self) -> str:
        """Axes of what `read` gives."""
        return "".join(letter for letter in self.axes if letter in "CYX")

    def read(self, around: tuple[int, int] | None) -> tuple[Array, PlacedRegion]:
        """Read the region and the pixels around it; a thread may do it.

        Parameters
        ----------
        around : (rows, columns) or None
            At least so many pixels on each side, where there are any; None: the whole plane.

        Returns
        -------
        ndarray with `source_axes`, and the place of the region in it
        """
        spans = (self.rows, self.columns)
        if around is None:
            wide = [(0, length) for length in self.size]
        else:
            wide = [
                (max(start - _round_up(more), 0), min(stop + _round_up(more), length))
                for (start, stop), more, length in zip(spans, around, self.size, strict=True)
            ]
        cut = {"Y": slice(*wide[0]), "X": slice(*wide[1]), "C": slice(None)}
        pixels = np.asarray(self.array[tuple(cut.get(x, self.plane.get(x)) for x in self.axes)])
        corner = wide[0][0], wide[1][0]
        return pixels, PlacedRegion(
            plane=self.size, corner=corner, rows=self.rows, columns=self.columns
        )

    def place(self, kept: str) -> dict[str, Any]:
        """Find the `placement` of a result: over the pixels of the region, with the axes `kept`."""
        from napari.utils.transforms import Affine

        where = placement(self.layer, self.axes, kept)
        factors = self._factors
        start = {"Y": self.rows[0], "X": self.columns[0], **self.plane}
        factor = np.array([factors.get(letter, 1.0) for letter in kept])
        first = np.array([start.get(letter, 0) for letter in kept])
        inside = np.array([letter in "YX" for letter in kept])
        # The corners of the first pixels of all levels lie on each other, not the centres.
        origin = first * factor + np.where(inside, (factor - 1) / 2, 0)
        parts = {k: v for k, v in where.items() if k in ("scale", "translate", "rotate", "shear")}
        moved = Affine(**parts)(origin)
        return where | {"scale": where["scale"] * factor, "translate": np.asarray(moved)}

    @property
    def _factors(self) -> dict[str, float]:
        """Pixels of the largest level per pixel of this one, for each axis that is not C."""
        return _list_factors(self.layer, self.axes, self.level)

    def describe(self) -> dict[str, Any]:
        """Describe the region for the metadata of a result."""
        return {
            "level": self.level,
            "plane": dict(self.plane),
            "rows": self.rows,
            "columns": self.columns,
        }


def find_view(viewer: napari.Viewer, layer: Layer, axes: str) -> LayerRegion:
    """Find what is seen of an image layer, at the resolution that is shown.

    Raises
    ------
    DataError
        The layer is hidden or out of sight, or the view does not show its rows and columns.
    """
    if not layer.visible:
        raise DataError(f"{layer.name} is hidden: show it, or predict the whole image.")
    dims, camera = viewer.dims, getattr(viewer, "scene", viewer).camera
    _require_plane_view(viewer, layer, axes)
    half = np.asarray(_read_canvas_size(viewer)) / 2 / camera.zoom
    corners = [
        np.asarray(camera.center[-2:]) + half * (2 * np.asarray(corner) - 1) for corner in _CORNERS
    ]
    points = np.tile(np.asarray(dims.point, float), (len(corners), 1))
    points[:, list(dims.displayed)] = corners
    return _bound(layer, axes, points, level=layer.data_level if layer.multiscale else 0)


def _read_canvas_size(viewer: napari.Viewer) -> tuple[int, int]:
    """Height and width of the canvas in pixels."""
    canvas = getattr(viewer, "canvas", None)
    if canvas is None:  # before napari 0.9, which warns plugins of it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return tuple(viewer._canvas_size)
    return tuple(canvas.size)


def find_shape(viewer: napari.Viewer, layer: Layer, axes: str) -> LayerRegion:
    """Find the rectangle around the selected shape, or the only one, in an image layer.

    Raises
    ------
    DataError
        There is no shape, or none of several is selected, or it lies outside of the image.
    """
    _require_plane_view(viewer, layer, axes)
    shapes, number = _find_one_shape(viewer)
    vertices = np.asarray(shapes.data[number], float)
    points = np.tile(np.asarray(viewer.dims.point, float), (len(vertices), 1))
    points[:, -shapes.ndim :] = [shapes.data_to_world(vertex) for vertex in vertices]
    return _bound(layer, axes, points, level=0)


def _find_one_shape(viewer: napari.Viewer) -> tuple[Shapes, int]:
    """Find the selected shape, or the only one, of the selected shapes layer or of any."""
    known: list[Any] = [x for x in find_layers(viewer, "shapes") if x.nshapes]
    active = [x for x in known if x == viewer.layers.selection.active] or known
    chosen = [(layer, number) for layer in active for number in layer.selected_data]
    every = [(layer, number) for layer in active for number in range(layer.nshapes)]
    found = chosen or every
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError("Draw a rectangle on a Shapes layer around what you want to predict.")
    raise DataError(
        f"There are {len(found)} shapes: select the one around what is to be predicted."
    )


def _require_plane_view(viewer: napari.Viewer, layer: Layer, axes: str) -> None:
    """Check that the window shows the rows and the columns of a layer."""
    dims = viewer.dims
    wanted = {axes.index(letter) + dims.ndim - layer.ndim for letter in "YX"}
    if dims.ndisplay != 2 or set(dims.displayed) != wanted:
        raise DataError(f"Show the rows and columns of {layer.name} in 2D first.")


def _bound(layer: Layer, axes: str, points: Array, *, level: int) -> LayerRegion:
    """Find the pixels of a level in the rectangle around points in world coordinates."""
    own = axes[:-1] if getattr(layer, "rgb", False) else axes
    found = np.array([layer.world_to_data(point[-layer.ndim :]) for point in points])
    array = layer.data[level] if layer.multiscale else layer.data
    factors, plane, spans = _list_factors(layer, axes, level), {}, {}
    for number, (letter, length) in enumerate(zip(own, array.shape, strict=False)):
        values = (found[:, number] + 0.5) / factors.get(letter, 1.0)
        if letter in "YX":
            start, stop = int(np.floor(values.min())), int(np.ceil(values.max()))
            spans[letter] = max(start, 0), min(stop, length)
            if spans[letter][0] >= spans[letter][1]:
                raise DataError(f"Nothing of {layer.name} lies there: move the view or the shape.")
        elif letter != "C":
            plane[letter] = int(np.clip(np.floor(values.mean()), 0, length - 1))
    return LayerRegion(layer, axes, level, plane, spans["Y"], spans["X"])


def _list_factors(layer: Layer, axes: str, level: int) -> dict[str, float]:
    """Pixels of the largest level per pixel of another, for each axis that is not C."""
    if not layer.multiscale:
        return dict.fromkeys(label_axes(axes), 1.0)
    shapes = layer.data[0].shape, layer.data[level].shape
    pairs = zip(axes, *shapes, strict=True)
    return {letter: large / small for letter, large, small in pairs if letter != "C"}


def _round_up(pixels: int) -> int:
    """Round up to a size that every network takes."""
    return -(-pixels // _GRID) * _GRID + _GRID
