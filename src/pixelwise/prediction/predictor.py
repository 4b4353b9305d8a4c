"""A model made ready to predict images: values of rows, and the shape of a result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelwise.axes import NamedAxes, from_planes, label_axes
from pixelwise.checksums import hash_content
from pixelwise.classes import SegmentationClass
from pixelwise.config import PredictConfig
from pixelwise.datasets.sample import resize_labels, resize_planes
from pixelwise.errors import DataError
from pixelwise.images import ImageArray, ImageSource
from pixelwise.models.allocator import keeping_freed_memory
from pixelwise.models.devices import choose_compute
from pixelwise.models.files import Model, load_model
from pixelwise.normalization import Plane
from pixelwise.prediction.intensity_range import require_intensities, scale_to
from pixelwise.prediction.objects import LabelArray, clean_plane, find_objects
from pixelwise.prediction.plane_reader import PlaneReader, reading_planes, shape_planes
from pixelwise.prediction.sliding_window import Intensities, TilePredictor

Array = npt.NDArray[Any]

_LABEL_ROWS = 1024


@dataclass(frozen=True)
class Prediction:
    """Result for one image.

    Attributes
    ----------
    array : ndarray
        Labels in the smallest unsigned dtype, or probabilities with a C axis.
    axes : str
        Axes of `array`.
    """

    array: Array
    axes: str


@dataclass(frozen=True)
class RowValues:
    """Final rows of a plane, from row `y` on; none if only a batch of tiles is done.

    Attributes
    ----------
    y : int
    values : ndarray, (rows, X) labels or (classes, rows, X) probabilities
    done : float
        Share of what was asked for.
    """

    y: int
    values: Array
    done: float


@dataclass(frozen=True)
class Rows:
    """Rows `start` to `stop` of one plane are final; `done` is the share of all planes."""

    plane: int
    start: int
    stop: int
    done: float


class Predictor:
    """A model made ready to predict many images.

    Parameters
    ----------
    model : Model or path
    config : PredictConfig, optional

    Attributes
    ----------
    model : Model
        Its normalisation is for images with the config's white.
    trained : Card
        Of the model as it was trained.
    file : Path or None
        File of the model, if it was read from one.
    heard : tuple of str
        What was noticed about the last image while it was read.

    Raises
    ------
    ConfigError
        A white is given for a model that normalises each image by itself.
    DataError
        Small objects or holes are asked for, and the model has no background.
    """

    def __init__(self, model: Model | str | Path, config: PredictConfig | None = None) -> None:
        self.config = config or PredictConfig()
        self.file = None if isinstance(model, Model) else Path(model)
        loaded = model if isinstance(model, Model) else load_model(model)
        self._read = None if self.file is None else hash_content(self.file)
        self.trained = loaded.card
        self.model = scale_to(loaded, self.config.white)
        self.heard: tuple[str, ...] = ()
        if self.config.cleans and self.model.card.background is None:
            raise DataError(
                "The model has no background class, so there are no small objects or holes in it: "
                "leave out smallest_object and largest_hole."
            )
        compute = choose_compute(self.config.device, self.config.precision)
        self.tiles = TilePredictor(self.model, self.config, compute)

    def predict_planes(self, planes: Array) -> Array:
        """Labels (N, Y, X), or probabilities (N, classes, Y, X), of planes (N, C, Y, X)."""
        return self._predict(ImageArray(planes, NamedAxes("ZCYX", "planes")))

    def predict_source(self, source: ImageSource) -> Prediction:
        """Predict an image into one array, with its axes but C."""
        found = self._predict(source)
        names, shape = self.result_axes(source.axes.names, source.shape)
        return Prediction(from_planes(found, names, shape), names)

    def _predict(self, source: ImageSource) -> Array:
        """Predict all planes of an image into one array."""
        self.require_input(source)
        with reading_planes(source, self.model.card) as planes:
            found = np.empty(self.result_shape(planes.shape), self.result_dtype)
            for _ in self.iter_predict_into(planes, found):
                pass
        return found

    def require_input(self, source: ImageSource) -> None:
        """Refuse an image that is stored otherwise than the training images.

        Raises
        ------
        DataError
            Other channels, another dtype, or another range of intensities.
        """
        self.heard = ()
        shape_planes(source, self.model.card)
        require_intensities(source, self.trained, white=self.config.white)

    def hear(self, planes: PlaneReader) -> None:
        """Keep what was noticed while planes were read."""
        self.heard = planes.notes

    def iter_predict_into(self, planes: PlaneReader, found: Array) -> Iterator[Rows]:
        """Predict planes (N, C, Y, X) into `found`, rows as they are final.

        Parameters
        ----------
        planes : PlaneReader
        found : ndarray
            Of `result_shape` and `result_dtype`; a memory map will do.
        """
        height = planes.shape[2]
        self.hear(planes)
        with keeping_freed_memory():
            for number, plane in enumerate(planes):
                for part in self.iter_rows(plane):
                    stop = part.y + part.values.shape[-2]
                    if stop > part.y:
                        found[number, ..., part.y : stop, :] = part.values
                    yield Rows(number, part.y, stop, (number + part.done) / len(planes))
                if self.config.cleans or self.config.instances:
                    self._finish(LabelArray(found[number], _LABEL_ROWS))
                    yield Rows(number, 0, height, (number + 1) / len(planes))
        self.hear(planes)

    def _finish(self, plane: LabelArray) -> None:
        """Clean and number the labels of a whole plane, in its place."""
        background = self.model.card.background
        if background is not None:
            smallest, largest = self.config.smallest_object, self.config.largest_hole
            clean_plane(plane, background, smallest_object=smallest, largest_hole=largest)
        if self.config.instances:
            objects = find_objects(plane, background)
            for rows in plane.blocks:
                plane.write(rows, objects.read(rows))

    def iter_rows(
        self, plane: Plane, rows: range | None = None, *, intensities: Intensities | None = None
    ) -> Iterator[RowValues]:
        """Values of rows of a plane (C, Y, X) as they are final, before objects are looked for.

        Parameters
        ----------
        plane : Plane, (C, Y, X)
        rows : range, optional
            All if not given. A model that resizes images gives them in one piece.
        intensities : pair of float32 ndarray (C,), optional
            As `measure` gives them, if that was asked before.
        """
        rows = range(plane.shape[1]) if rows is None else rows
        resize = self.model.card.resize
        if resize is not None and self.resizes(plane.shape):
            found = self._predict_resized(plane[:, :], resize, intensities=intensities)
            yield RowValues(rows.start, found[..., rows.start : rows.stop, :], 1.0)
            return
        for band in self.tiles.iter_strips(plane, rows, intensities=intensities):
            if not band.probabilities.shape[1]:
                yield RowValues(band.y, np.empty((0, plane.shape[2]), self.row_dtype), band.done)
                continue
            with self.tiles.using_one_core():
                values = self._encode(band.probabilities).cpu().numpy()
            yield RowValues(band.y, values, band.done)

    def predict_rows(
        self, plane: Plane, rows: range, *, intensities: Intensities | None = None
    ) -> Array:
        """Values of some rows of a plane in one array, as `iter_rows` gives them."""
        with keeping_freed_memory():
            found = [part.values for part in self.iter_rows(plane, rows, intensities=intensities)]
        return np.concatenate([values for values in found if len(values)], axis=-2)

    def resizes(self, shape: Sequence[int]) -> bool:
        """Whether a plane (C, Y, X) is predicted at another size, in one piece."""
        resize = self.model.card.resize
        return resize is not None and resize != tuple(shape[1:])

    def measure(self, plane: Plane) -> Intensities:
        """Offset and scale of a plane's normalisation; percentiles take a reading of it all."""
        return self.model.card.normalization.parameters(plane)

    def _predict_resized(
        self, plane: Array, resize: tuple[int, int], *, intensities: Intensities | None
    ) -> Array:
        """Predict a plane (C, Y, X) at the model's size, and bring the result back."""
        small = resize_planes(plane[None], resize)[0]
        bands = self.tiles.iter_strips(small, intensities=intensities)
        found = torch.cat([band.probabilities for band in bands], dim=1)
        size = (plane.shape[1], plane.shape[2])
        if not self.config.probabilities:
            labels: Array = resize_labels(self._encode(found).cpu().numpy()[None], size)[0]
            return labels
        large = resize_planes(found.cpu().numpy()[None], size)[0]
        return self._encode(torch.from_numpy(large)).numpy()

    def _encode(self, probabilities: Tensor) -> Tensor:
        """Labels, or probabilities in the number format that was asked for."""
        if not self.config.probabilities:
            return _find_largest(probabilities)
        if self.config.probability_dtype == "uint8":
            return (probabilities * 255).round().to(torch.uint8)
        return probabilities.to(getattr(torch, self.config.probability_dtype))

    @property
    def row_dtype(self) -> np.dtype[Any]:
        """Number format of the values of rows: of class labels, or of probabilities."""
        probabilities = self.config.probabilities
        return np.dtype(self.config.probability_dtype if probabilities else np.uint8)

    @property
    def result_dtype(self) -> np.dtype[Any]:
        """Number format of a result: that of rows, or uint32 for instances."""
        return np.dtype(np.uint32) if self.config.instances else self.row_dtype

    def result_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of the result for planes of `shape` (N, C, Y, X)."""
        planes, _, *size = shape
        classes = [len(self.model.card.classes)] if self.config.probabilities else []
        return (planes, *classes, *size)

    def result_axes(self, axes: str, shape: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """Axes and shape of the result for an image: without C, or with one for the classes."""
        sizes = dict(zip(axes, shape, strict=True))
        plain = label_axes(axes)
        if self.config.probabilities:
            sizes["C"] = len(self.model.card.classes)
            plain = plain.replace("YX", "CYX") if "YX" in plain else "C" + plain
        return plain, tuple(sizes[letter] for letter in plain)

    @property
    def named_classes(self) -> tuple[SegmentationClass, ...]:
        """Classes that the values, or the channels, of a result stand for; none for objects."""
        return () if self.config.instances else self.model.card.classes

    @cached_property
    def fingerprint(self) -> str:
        """What tells this model from every other."""
        digest = hashlib.sha256(self.model.card.model_dump_json().encode())
        for name, tensor in sorted(self.model.network.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def digest(self) -> str:
        """What names the model in a mark: SHA-256 of its file, else of its card and weights."""
        return self._read or self.fingerprint

    @property
    def compute(self) -> str:
        """What tells by which device, in which number format, and by which torch."""
        compute = self.tiles.compute
        return f"{compute.device.type} {compute.precision} {torch.__version__}"


def _find_largest(probabilities: Tensor) -> Tensor:
    """Find the class (rows, X) of the largest of (classes, rows, X), the first of equal ones.

    Several times as fast as `argmax` over the first of three axes.
    """
    labels = torch.zeros(probabilities.shape[1:], dtype=torch.uint8, device=probabilities.device)
    largest = probabilities[0]
    for number, values in enumerate(probabilities[1:], start=1):
        is_larger = values > largest
        labels.masked_fill_(is_larger, number)
        largest = torch.maximum(largest, values)
    return labels
