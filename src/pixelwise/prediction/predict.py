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

from pixelwise.axes import (
    Calibration,
    from_planes,
    guess_axes,
    label_axes,
    parse_axes,
    to_planes,
)
from pixelwise.classes import SegmentationClass, describe_classes
from pixelwise.config import PredictConfig
from pixelwise.datasets.sample import resize_labels, resize_planes
from pixelwise.errors import DataError, PixelwiseError, ReadError, WriteError
from pixelwise.events import ImageFailed, ImagePredicted
from pixelwise.images import (
    SUFFIXES,
    ImageFile,
    ZarrContent,
    is_zarr,
    iter_image_files,
    open_image,
    write_tiff,
    write_zarr,
    writing_zarr,
)
from pixelwise.models.devices import choose_compute
from pixelwise.models.files import Model, load_model
from pixelwise.normalization import Plane
from pixelwise.prediction.bands import TilePredictor
from pixelwise.prediction.objects import clean_labels, label_objects
from pixelwise.prediction.planes import Planes, read_planes, require_planes

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
        if self.config.cleans and self.model.card.background is None:
            raise DataError(
                "The model has no background class, so there are no small objects or holes in it: "
                "leave out smallest_object and largest_hole."
            )
        compute = choose_compute(self.config.device, self.config.precision)
        self.tiles = TilePredictor(self.model, self.config, compute)

    def predict_planes(self, planes: Array) -> Array:
        """Labels (N, Y, X), or probabilities (N, classes, Y, X), of planes (N, C, Y, X)."""
        return self.predict_all(require_planes(planes, self.model.card))

    def predict_all(self, planes: Planes) -> Array:
        """Predict planes, as `require_planes` or `read_planes` give them, into one array."""
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

    def iter_predict_into(self, planes: Planes, found: Array) -> Iterator[Rows]:
        """Predict planes (N, C, Y, X) into `found`, rows as they are final.

        Parameters
        ----------
        planes : Planes, (N, C, Y, X)
            As `require_planes` or `read_planes` give them.
        found : ndarray
            Of `result_shape` and `result_dtype`; a memory map will do.
        """
        for number, plane in enumerate(planes):
            for y, values in self._iter_rows(plane):
                found[number, ..., y : y + values.shape[-2], :] = values
                yield Rows(number, y, y + values.shape[-2])
            if self._needs_whole_planes:
                found[number] = self._finish(found[number])
                yield Rows(number, 0, planes.shape[2])

    def iter_final_rows(self, plane: Plane) -> Iterator[tuple[int, Array]]:
        """First row and values of the bands of a plane (C, Y, X), which change no more.

        Objects are numbered, and small ones found, when all rows are known: then they come in one
        piece.
        """
        rows = self._iter_rows(plane)
        if not self._needs_whole_planes:
            yield from rows
            return
        yield 0, self._finish(np.concatenate([values for _, values in rows]))

    @property
    def _needs_whole_planes(self) -> bool:
        """Whether something is done that no band can know alone."""
        return self.config.instances or self.config.cleans

    def _finish(self, labels: Array) -> Array:
        """Clean and number the labels (Y, X) of a whole plane."""
        background = self.model.card.background
        if self.config.cleans and background is not None:
            smallest, largest = self.config.smallest_object, self.config.largest_hole
            labels = clean_labels(
                labels, background, smallest_object=smallest, largest_hole=largest
            )
        return label_objects(labels, background) if self.config.instances else labels

    def predict_array(self, array: Array, axes: str) -> Prediction:
        """Predict an array whose axes are known."""
        result = self.predict_planes(to_planes(array, axes))
        names, shape = self.result_axes(parse_axes(axes, array.ndim), array.shape)
        return Prediction(from_planes(result, names, shape), names)

    def predict_source(self, source: ImageFile) -> Prediction:
        """Predict an image file into one array."""
        found = self.predict_all(read_planes(source, self.model.card))
        names, shape = self.result_axes(source.axes.names, source.shape)
        return Prediction(from_planes(found, names, shape), names)

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Number format in a Zarr: half the bytes for probabilities, of which 3 digits count."""
        return np.dtype(np.float16) if self.config.probabilities else self.result_dtype

    @property
    def named_classes(self) -> tuple[SegmentationClass, ...]:
        """Classes that the values, or the channels, of a result stand for; none for objects."""
        return () if self.config.instances else self.model.card.classes

    def result_axes(self, axes: str, shape: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """Axes and shape of the result for an image: without C, or with one for the classes."""
        sizes = dict(zip(axes, shape, strict=True))
        plain = label_axes(axes)
        if self.config.probabilities:
            sizes["C"] = len(self.model.card.classes)
            plain = plain.replace("YX", "CYX") if "YX" in plain else "C" + plain
        return plain, tuple(sizes[letter] for letter in plain)

    def _iter_rows(self, plane: Plane) -> Iterator[tuple[int, Array]]:
        """First row and values of each band of a plane; one band if the model resizes images."""
        resize = self.model.card.resize
        if resize is not None and resize != tuple(plane.shape[1:]):
            yield 0, self._predict_resized(plane[:, :], resize)
        else:
            yield from self._iter_bands(plane)

    def _predict_resized(self, plane: Array, size: tuple[int, int]) -> Array:
        """Predict a plane (C, Y, X) at another size, and bring the result back."""
        rows = [values for _, values in self._iter_bands(resize_planes(plane[None], size)[0])]
        found = np.concatenate(rows, axis=-2)[None]
        back = resize_planes if self.config.probabilities else resize_labels
        result: Array = back(found, (plane.shape[1], plane.shape[2]))[0]
        return result

    def _iter_bands(self, plane: Plane) -> Iterator[tuple[int, Array]]:
        """First row and values of each band of a plane at the network's size."""
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
        File to write the result to as well: OME-Zarr if it is called ``.zarr``, else TIFF.
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
    if isinstance(image, str | Path):
        source = open_image(image, axes=axes)
        result = predictor.predict_source(source)
        calibration = _calibrate(source, result.axes)
    else:
        array = np.asarray(image)
        result = predictor.predict_array(array, axes or guess_axes(array.shape).names)
        calibration = None
    if out is not None:
        write_result(Path(out), result, predictor=predictor, calibration=calibration)
    return result.array


def iter_predict_files(
    predictor: Predictor, images: Sequence[str | Path], out: str | Path
) -> Iterator[ImagePredicted | ImageFailed]:
    """Predict image files and folders of images into ``<out>/<name>_labels.tif``, or ``.zarr``.

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
    extension = SUFFIXES[predictor.config.format]
    outputs = name_outputs(sources, Path(out), suffix, extension=extension)
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


def name_outputs(
    sources: Sequence[Path], out: Path, suffix: str, *, extension: str = ".tif"
) -> list[Path]:
    """Output of each image: its stem, or its whole name where two stems are the same."""
    stems = [source.stem for source in sources]
    names = [s.name if stems.count(s.stem) > 1 else s.stem for s in sources]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"Several images are called {twice}: predict their folders one by one.")
    return [out / f"{name}_{suffix}{extension}" for name in names]


def _predict_file(predictor: Predictor, source: Path, output: Path) -> ImagePredicted | ImageFailed:
    """Predict one file; an error becomes an event."""
    started = time.perf_counter()
    try:
        image = open_image(source, axes=predictor.config.axes)
        if predictor.config.format == "zarr":
            stream_zarr(predictor, image, output)
        else:
            result = predictor.predict_source(image)
            calibration = _calibrate(image, result.axes)
            write_result(output, result, predictor=predictor, calibration=calibration)
    except PixelwiseError as error:
        return ImageFailed(source=str(source), message=str(error))
    return ImagePredicted(
        source=str(source),
        output=str(output),
        axes=str(image.axes),
        shape=image.shape,
        seconds=time.perf_counter() - started,
    )


def stream_zarr(predictor: Predictor, source: ImageFile, output: Path) -> None:
    """Predict an image file into an OME-Zarr, band by band: no whole image is kept in memory.

    Errors are those of `read_planes` and `writing_zarr`; then nothing is left under `output`.
    """
    planes = read_planes(source, predictor.model.card)
    names, shape = predictor.result_axes(source.axes.names, source.shape)
    content = ZarrContent(
        names,
        shape,
        predictor.stored_dtype,
        predictor.named_classes,
        _calibrate(source, names),
    )
    with writing_zarr(output, content) as writer:
        for number, plane in enumerate(planes):
            for y, values in predictor.iter_final_rows(plane):
                writer.write_rows(number, y, values)


def write_result(
    out: Path, result: Prediction, *, predictor: Predictor, calibration: Calibration | None
) -> None:
    """Write a prediction as OME-Zarr if `out` is called ``.zarr``, else as TIFF."""
    if out.suffix.lower() == ".zarr":
        array = result.array.astype(predictor.stored_dtype, copy=False)
        classes = predictor.named_classes
        write_zarr(out, array, axes=result.axes, classes=classes, calibration=calibration)
        return
    size = calibration.pixel_size_um(result.axes) if calibration is not None else None
    notes = {} if "C" in result.axes else describe_classes(predictor.named_classes)
    write_tiff(out, result.array, axes=result.axes, pixel_size_um=size, notes=notes)


def _calibrate(source: ImageFile, axes: str) -> Calibration | None:
    """Calibration of a result with these axes, made from a file."""
    known = source.calibration
    return None if known is None else known.select(source.axes.names, axes)


def _list_sources(images: Sequence[str | Path]) -> list[Path]:
    """Files, and the images of folders."""
    sources: list[Path] = []
    for path in map(Path, images):
        if not path.exists():
            raise ReadError(f"There is no file or folder {path}.")
        folder = path.is_dir() and not is_zarr(path)
        sources.extend(iter_image_files(path) if folder else [path])
    if not sources:
        raise ReadError(f"There is no image in {', '.join(map(str, images))}.")
    return sources
