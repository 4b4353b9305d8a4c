"""A model made ready to predict: values of rows of a plane, and the shape of a result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelwise.axes import label_axes
from pixelwise.checksums import hash_content
from pixelwise.config import PredictConfig
from pixelwise.datasets.sample import resize_labels, resize_planes
from pixelwise.errors import ConfigError, DataError
from pixelwise.images import ImageSource
from pixelwise.input_check import require_intensities, scale_card, shape_planes
from pixelwise.models.allocator import keeping_freed_memory
from pixelwise.models.devices import choose_compute
from pixelwise.models.files import Model, load_model
from pixelwise.normalization import Plane
from pixelwise.prediction.sliding_window import Intensities, RowStrip, TilePredictor

Array = npt.NDArray[Any]


class Predictor:
    """A model made ready to predict many images.

    Parameters
    ----------
    model : Model or path
    config : PredictConfig, optional

    Attributes
    ----------
    model : Model
        Its normalisation is scaled to images with the config's white.
    trained : Card
        The card of the model as it was trained.
    file : Path or None
        File of the model, if it was read from one.
    heard : tuple of str
        Notes on the last image, made while it was read.

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
        self.model = _scale_to(loaded, self.config.white)
        self.heard: tuple[str, ...] = ()
        if self.config.cleans and self.model.card.background is None:
            raise DataError(
                "The model has no background class, so there are no small objects or holes in it: "
                "leave out smallest_object and largest_hole."
            )
        compute = choose_compute(self.config.device, self.config.precision)
        self.tiles = TilePredictor(self.model, self.config, compute)

    def require_input(self, source: ImageSource) -> None:
        """Check that an image is stored like the training images.

        Raises
        ------
        DataError
            It has other channels, another dtype, or another range of intensities.
        """
        self.heard = ()
        shape_planes(source, self.model.card)
        require_intensities(source, self.trained, white=self.config.white)

    def iter_rows(
        self,
        plane: Plane,
        rows: range,
        columns: range | None = None,
        *,
        intensities: Intensities | None = None,
        with_uncertainty: bool = False,
    ) -> Iterator[RowStrip[Array]]:
        """Values of rows of a plane as they become final, before post-processing.

        Parameters
        ----------
        plane : Plane, (C, Y, X)
        rows : range
            A model that resizes images yields them in one piece.
        columns : range, optional
            All if not given.
        intensities : pair of float32 ndarray (C,), optional
            Result of `measure`, if it was called before.
        with_uncertainty : bool
            Give the uncertainty of each pixel, too.
        """
        resize = self.model.card.resize
        if resize is not None and self.resizes(plane.shape):
            found, doubts = self._predict_resized(plane[:, :], resize, intensities=intensities)
            across = columns or range(plane.shape[2])
            part = slice(rows.start, rows.stop), slice(across.start, across.stop)
            doubt = doubts[part] if with_uncertainty else None
            yield RowStrip(rows.start, found[..., *part], 1.0, doubt)
            return
        for strip in self.tiles.iter_strips(plane, rows, columns, intensities=intensities):
            if not strip.values.shape[1]:
                empty = np.empty((0, strip.values.shape[2]), self.row_dtype)
                yield RowStrip(strip.y, empty, strip.done)
                continue
            with self.tiles.using_one_core():
                values = self._encode(strip.values).cpu().numpy()
                doubt = _measure_uncertainty(strip.values) if with_uncertainty else None
            yield RowStrip(strip.y, values, strip.done, doubt)

    def predict_rows(
        self, plane: Plane, rows: range, *, intensities: Intensities | None = None
    ) -> Array:
        """Values of some rows of a plane, in one array; see `iter_rows`."""
        with keeping_freed_memory():
            found = [rows.values for rows in self.iter_rows(plane, rows, intensities=intensities)]
        return np.concatenate([values for values in found if len(values)], axis=-2)

    def resizes(self, shape: Sequence[int]) -> bool:
        """Whether a plane (C, Y, X) is predicted at another size, in one piece."""
        resize = self.model.card.resize
        return resize is not None and resize != tuple(shape[1:])

    def measure(self, plane: Plane) -> Intensities:
        """Offset and scale of a plane's normalisation; percentiles may read the whole plane."""
        return self.model.card.normalization.parameters(plane)

    def _predict_resized(
        self, plane: Array, resize: tuple[int, int], *, intensities: Intensities | None
    ) -> tuple[Array, Array]:
        """Predict a plane (C, Y, X) at the model's size; resize the result and the uncertainty."""
        small = resize_planes(plane[None], resize)[0]
        strips = self.tiles.iter_strips(small, intensities=intensities)
        found = torch.cat([strip.values for strip in strips], dim=1)
        size = (plane.shape[1], plane.shape[2])
        doubt: Array = resize_planes(_measure_uncertainty(found)[None, None], size)[0, 0]
        if not self.config.probabilities:
            labels: Array = resize_labels(self._encode(found).cpu().numpy()[None], size)[0]
            return labels, doubt
        large = resize_planes(found.cpu().numpy()[None], size)[0]
        return self._encode(torch.from_numpy(large)).numpy(), doubt

    def _encode(self, probabilities: Tensor) -> Tensor:
        """Labels, or probabilities in the requested dtype."""
        if not self.config.probabilities:
            return _find_largest(probabilities)
        if self.config.probability_dtype == "uint8":
            return (probabilities * 255).round().to(torch.uint8)
        return probabilities.to(getattr(torch, self.config.probability_dtype))

    @property
    def row_dtype(self) -> np.dtype[Any]:
        """Dtype of predicted rows: of class labels, or of probabilities."""
        probabilities = self.config.probabilities
        return np.dtype(self.config.probability_dtype if probabilities else np.uint8)

    @property
    def result_dtype(self) -> np.dtype[Any]:
        """Dtype of a result: that of rows, or uint32 for instances."""
        return np.dtype(np.uint32) if self.config.instances else self.row_dtype

    def result_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape (N, Y, X) or (N, classes, Y, X) of a result, for planes of `shape` (N, C, Y, X)."""
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

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the card and the weights."""
        digest = hashlib.sha256(self.model.card.model_dump_json().encode())
        for name, tensor in sorted(self.model.network.state_dict().items()):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def digest(self) -> str:
        """SHA-256 of the model file, or the fingerprint if there is no file; for marks."""
        return self._read or self.fingerprint

    @property
    def compute(self) -> str:
        """Device, precision and version of torch, which the bits of a result depend on."""
        compute = self.tiles.compute
        return f"{compute.device.type} {compute.precision} {torch.__version__}"


def _scale_to(model: Model, white: float | None) -> Model:
    """Return the model for images with another white.

    Raises
    ------
    ConfigError
        The model normalises each image by itself.
    """
    if white is None:
        return model
    card = model.card
    if card.normalization.kind != "fixed":
        raise ConfigError(
            f"The model normalises by {card.normalization.source}, so images of any range are "
            "treated alike: leave out --white."
        )
    return replace(model, card=scale_card(card, white))


def _measure_uncertainty(probabilities: Tensor) -> Array:
    """1 - the largest probability of (classes, rows, X), float32 (rows, X)."""
    doubt: Array = (1 - probabilities.amax(dim=0)).cpu().numpy()
    return doubt


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
