"""Labels of images: arrays, files and folders."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pixelwise.axes import NamedAxes, from_planes, guess_axes, label_axes, parse_axes, to_planes
from pixelwise.cards import Card
from pixelwise.config import PredictConfig
from pixelwise.datasets.sample import resize_labels, resize_planes
from pixelwise.errors import DataError, PixelwiseError, ReadError, WriteError
from pixelwise.events import ImageFailed, ImagePredicted
from pixelwise.images import iter_image_files, open_image, write_tiff
from pixelwise.models.devices import choose_compute
from pixelwise.models.files import Model, load_model
from pixelwise.prediction.bands import TilePredictor
from pixelwise.prediction.objects import label_objects

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Prediction:
    """Result for one image.

    Attributes
    ----------
    array : ndarray
        Labels in the smallest unsigned dtype, or float32 probabilities with a C axis.
    axes : str
        Axes of `array`.
    """

    array: Array
    axes: str


@dataclass(frozen=True)
class Rows:
    """Rows `start` to `stop` of one plane, which are final."""

    plane: int
    start: int
    stop: int


class Predictor:
    """A model made ready to predict many images.

    Parameters
    ----------
    model : Model or path
    config : PredictConfig, optional
    """

    def __init__(self, model: Model | str | Path, config: PredictConfig | None = None) -> None:
        self.config = config or PredictConfig()
        self.model = model if isinstance(model, Model) else load_model(model)
        compute = choose_compute(self.config.device, self.config.precision)
        self.tiles = TilePredictor(self.model, self.config, compute)

    def predict_planes(self, planes: Array) -> Array:
        """Labels (N, Y, X), or probabilities (N, classes, Y, X), of planes (N, C, Y, X)."""
        planes = require_planes(planes, self.model.card)
        found = np.empty(self.result_shape(planes.shape), self.result_dtype)
        for _ in self.iter_predict_into(planes, found):
            pass
        return found

    @property
    def result_dtype(self) -> np.dtype[Any]:
        """Number format of a result: uint8 labels, uint32 instances, float32 probabilities."""
        if self.config.probabilities:
            return np.dtype(np.float32)
        return np.dtype(np.uint32 if self.config.instances else np.uint8)

    def result_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of the result for planes of `shape` (N, C, Y, X)."""
        planes, _, *size = shape
        classes = [len(self.model.card.classes)] if self.config.probabilities else []
        return (planes, *classes, *size)

    def iter_predict_into(self, planes: Array, found: Array) -> Iterator[Rows]:
        """Predict planes (N, C, Y, X) into `found`, rows as they are final.

        Parameters
        ----------
        planes : ndarray, (N, C, Y, X)
            As `require_planes` gives them.
        found : ndarray
            Of `result_shape` and `result_dtype`; a memory map will do.
        """
        height = planes.shape[2]
        resize = self.model.card.resize
        for number, plane in enumerate(planes):
            if resize is not None and resize != plane.shape[1:]:
                found[number] = self._predict_resized(plane, resize)
                yield Rows(number, 0, height)
            else:
                for y, values in self._iter_rows(plane):
                    found[number, ..., y : y + values.shape[-2], :] = values
                    yield Rows(number, y, y + values.shape[-2])
            if self.config.instances:
                found[number] = label_objects(found[number], self.model.card.background)
                yield Rows(number, 0, height)

    def predict_array(self, array: Array, axes: str) -> Prediction:
        """Predict an array whose axes are known."""
        result = self.predict_planes(to_planes(array, axes))
        names, shape = self.result_axes(parse_axes(axes, array.ndim), array.shape)
        return Prediction(from_planes(result, names, shape), names)

    def result_axes(self, axes: str, shape: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """Axes and shape of the result for an image: without C, or with one for the classes."""
        sizes = dict(zip(axes, shape, strict=True))
        plain = label_axes(axes)
        if self.config.probabilities:
            sizes["C"] = len(self.model.card.classes)
            plain = plain.replace("YX", "CYX") if "YX" in plain else "C" + plain
        return plain, tuple(sizes[letter] for letter in plain)

    def _predict_resized(self, plane: Array, size: tuple[int, int]) -> Array:
        """Predict a plane (C, Y, X) at another size, and bring the result back."""
        rows = [values for _, values in self._iter_rows(resize_planes(plane[None], size)[0])]
        found = np.concatenate(rows, axis=-2)[None]
        back = resize_planes if self.config.probabilities else resize_labels
        result: Array = back(found, (plane.shape[1], plane.shape[2]))[0]
        return result

    def _iter_rows(self, plane: Array) -> Iterator[tuple[int, Array]]:
        """First row and values of each band of a plane (C, Y, X)."""
        for band in self.tiles.iter_bands(plane):
            values = band.probabilities
            values = values if self.config.probabilities else values.argmax(dim=0).to(torch.uint8)
            yield band.y, values.cpu().numpy()


def predict(
    model: Model | str | Path,
    image: Array | str | Path,
    *,
    axes: str | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> Array:
    """Predict the class of every pixel of one image.

    Parameters
    ----------
    model : Model or path
        As `load_model` gives it, or a model file.
    image : ndarray or path
        Any size; channels as the model has been trained on (grey is repeated for RGB models).
    axes : str, optional
        Axes of the image, letters of ``TZCYX``; from the file, or guessed, if not given.
    out : path, optional
        TIFF file to write the result to as well.
    **settings
        Fields of `PredictConfig`, e.g. ``tile=512, overlap=0.5, flips=True``.

    Returns
    -------
    ndarray
        Labels of the smallest unsigned dtype, with the image's axes but C; or, with
        ``probabilities=True``, float32 with a C axis before Y and X.

    Raises
    ------
    DataError
        The image's channels or axes do not fit the model, or it holds NaN.
    ReadError, ModelFileError
        A file is missing or damaged.
    """
    predictor = Predictor(model, PredictConfig.create(axes=axes, **settings))
    array, named = _read(image, axes)
    result = predictor.predict_array(array, named.names)
    if out is not None:
        write_tiff(Path(out), result.array, axes=result.axes)
    return result.array


def iter_predict_files(
    predictor: Predictor, images: Sequence[str | Path], out: str | Path
) -> Iterator[ImagePredicted | ImageFailed]:
    """Predict image files and folders of images into ``<out>/<name>_labels.tif``.

    An image that cannot be predicted is reported, and the others go on.

    Raises
    ------
    ReadError
        A path is missing, or there is no image at all.
    WriteError
        The output folder cannot be made.
    """
    sources = _list_sources(images)
    suffix = name_suffix(predictor.config)
    outputs = name_outputs(sources, Path(out), suffix)
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"Cannot make the folder {out}: {error.strerror}.") from error
    for source, output in zip(sources, outputs, strict=True):
        yield _predict_file(predictor, source, output)


def name_suffix(config: PredictConfig) -> str:
    """Say what a result's file name ends with."""
    if config.probabilities:
        return "probabilities"
    return "instances" if config.instances else "labels"


def name_outputs(sources: Sequence[Path], out: Path, suffix: str) -> list[Path]:
    """Output of each image: its stem, or its whole name where two stems are the same."""
    stems = [source.stem for source in sources]
    names = [s.name if stems.count(s.stem) > 1 else s.stem for s in sources]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"Several images are called {twice}: predict their folders one by one.")
    return [out / f"{name}_{suffix}.tif" for name in names]


def require_planes(planes: Array, card: Card) -> Array:
    """Give planes (N, C, Y, X) with the channels that a model takes; grey is repeated for RGB.

    Raises
    ------
    DataError
        Another channel count, no pixels, or NaN.
    """
    channels = planes.shape[1]
    if channels == 1 < card.in_channels == 3:
        planes, channels = np.repeat(planes, 3, axis=1), 3
    if channels != card.in_channels:
        raise DataError(
            f"The image has {channels} channels, the model takes {card.in_channels}: expected the "
            "same. If the axes were read wrongly, name them with --axes, e.g. ZYX or YXC."
        )
    if not planes.size:
        raise DataError(f"The image has no pixels: its planes have shape {planes.shape}.")
    if planes.dtype.kind == "f" and not np.isfinite(planes).all():
        raise DataError(
            f"The image holds {int((~np.isfinite(planes)).sum())} NaN or infinite pixels: expected "
            "finite intensities. Replace them, e.g. by 0."
        )
    if planes.dtype.kind not in "biuf":
        raise DataError(f"Images of dtype {planes.dtype} cannot be predicted; expected numbers.")
    return planes


def _predict_file(predictor: Predictor, source: Path, output: Path) -> ImagePredicted | ImageFailed:
    """Predict one file; an error becomes an event."""
    started = time.perf_counter()
    try:
        array, axes = _read(source, predictor.config.axes)
        result = predictor.predict_array(array, axes.names)
        write_tiff(output, result.array, axes=result.axes)
    except PixelwiseError as error:
        return ImageFailed(source=str(source), message=str(error))
    return ImagePredicted(
        source=str(source),
        output=str(output),
        axes=str(axes),
        shape=array.shape,
        seconds=time.perf_counter() - started,
    )


def _read(image: Array | str | Path, axes: str | None) -> tuple[Array, NamedAxes]:
    """Pixels and axes of an array or a file."""
    if isinstance(image, str | Path):
        source = open_image(Path(image), axes=axes)
        return source.read(), source.axes
    array = np.asarray(image)
    named = NamedAxes(parse_axes(axes, array.ndim), "as given") if axes else guess_axes(array.shape)
    return array, named


def _list_sources(images: Sequence[str | Path]) -> list[Path]:
    """Files, and the images of folders."""
    sources: list[Path] = []
    for path in map(Path, images):
        if not path.exists():
            raise ReadError(f"There is no file or folder {path}.")
        sources.extend(iter_image_files(path) if path.is_dir() else [path])
    if not sources:
        raise ReadError(f"There is no image in {', '.join(map(str, images))}.")
    return sources
