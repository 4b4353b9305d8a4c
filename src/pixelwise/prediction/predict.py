"""Labels of images: arrays, files and folders."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from pixelwise.axes import NamedAxes, guess_axes, parse_axes
from pixelwise.config import PredictConfig
from pixelwise.errors import (
    ConfigError,
    DataError,
    PixelwiseError,
    ReadError,
    WriteError,
    explain_memory_error,
    is_memory_error,
)
from pixelwise.events import ImageFailed, ImagePredicted, ImageProgressed
from pixelwise.images import (
    SUFFIXES,
    ImageArray,
    ImageFile,
    ImageSource,
    describe_gaps,
    find_file,
    is_zarr,
    iter_image_files,
    name_image,
    open_image,
)
from pixelwise.models.files import Model
from pixelwise.prediction.parts import name_part
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.stream import Filler, iter_predict_file, name_table

Array = npt.NDArray[Any]

_SECONDS_BETWEEN_EVENTS = 0.5
_SUFFIXES = ("labels", "instances", "probabilities")


@overload
def predict(
    model: Model | str | Path,
    image: Any,
    *,
    axes: str | None = ...,
    out: None = ...,
    **settings: Any,
) -> Array: ...


@overload
def predict(
    model: Model | str | Path,
    image: Any,
    *,
    axes: str | None = ...,
    out: str | Path,
    **settings: Any,
) -> Path: ...


def predict(
    model: Model | str | Path,
    image: Any,
    *,
    axes: str | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> Array | Path:
    """Predict the class of every pixel of one image.

    Parameters
    ----------
    model : Model or path
        As `load_model` gives it, or a model file.
    image : array or path
        Any size; channels as the model has been trained on (grey is repeated for RGB models). An
        array can be NumPy's, a memory map, dask's or Zarr's: rows are asked for as they are needed.
    axes : str, optional
        Axes of the image, letters of ``TZCYX``; from the file, or guessed, if not given.
    out : path, optional
        File to write the result to, which may then be larger than the memory: OME-Zarr if it is
        called ``.zarr``, else tiled TIFF. Its axes are in the order TCZYX. Stopped on the way, the
        prediction of a file goes on where it ended when it is asked for again.
    **settings
        Fields of `PredictConfig`, e.g. ``tile=512, overlap=0.5, flips=True``.

    Returns
    -------
    ndarray, or Path of `out`
        Labels of the smallest unsigned dtype, with the image's axes but C; or, with
        ``probabilities=True``, float32 with a C axis before Y and X, unless ``probability_dtype``
        says otherwise.

    Raises
    ------
    DataError
        The image's channels or axes do not fit the model, or it holds NaN.
    ReadError, ModelFileError
        A file is missing or damaged.
    WriteError
        `out` cannot be written.
    """
    predictor = Predictor(model, PredictConfig.create(axes=axes, **settings))
    source = _open_source(image, axes)
    if out is None:
        if predictor.config.table:
            raise ConfigError("A table of objects is a file: name a file for the labels with out.")
        return predictor.predict_source(source).array
    gaps = describe_gaps(source) if isinstance(source, ImageFile) else None
    if gaps is not None:
        warnings.warn(f"{image}: {gaps}.", stacklevel=2)
    for _ in iter_predict_file(predictor, source, Path(out)):
        pass
    return Path(out)


def _open_source(image: Any, axes: str | None) -> ImageSource:
    """Open a file, or name the axes of an array."""
    if isinstance(image, str | Path):
        return open_image(image, axes=axes)
    array = image if hasattr(image, "dtype") and hasattr(image, "shape") else np.asarray(image)
    if axes is None:
        return ImageArray(array, guess_axes(tuple(array.shape)).require())
    return ImageArray(array, NamedAxes(parse_axes(axes, array.ndim), "as given"))


def iter_predict_files(
    predictor: Predictor,
    images: Sequence[str | Path],
    out: str | Path,
    *,
    fill: Filler | None = None,
    skip_existing: bool = False,
) -> Iterator[ImageProgressed | ImagePredicted | ImageFailed]:
    """Predict image files and folders of images into ``<out>/<name>_labels.tif``, or ``.zarr``.

    An image that cannot be predicted is reported, and the others go on. What is called like a
    result in the output folder is no image, unless it is named. `fill` is that of
    `iter_predict_file`; with `skip_existing`, images whose result is there are left out.

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
    results = {output.resolve() for output in outputs}
    endings = tuple(f"_{suffix}{end}" for suffix in _SUFFIXES for end in SUFFIXES.values())
    named = {Path(image).resolve() for image in images}
    for source, output in zip(sources, outputs, strict=True):
        is_result = source.parent.resolve() == Path(out).resolve() and source.name.endswith(endings)
        if is_result and source.resolve() not in named:
            continue
        if skip_existing and _is_done(predictor, output):
            continue
        if source.resolve() in results - {output.resolve()}:
            message = f"{source} would be replaced by a result: name another folder for those."
            yield ImageFailed(source=str(source), message=message)
            continue
        yield from _predict_file(predictor, source, output, fill=fill)


def _is_done(predictor: Predictor, output: Path) -> bool:
    """Whether a result is there, with its table if one is wanted."""
    has_table = not predictor.config.table or name_table(output).exists()
    return output.exists() and has_table and not name_part(output).exists()


def name_suffix(config: PredictConfig) -> str:
    """Say what a result's file name ends with."""
    labels, instances, probabilities = _SUFFIXES
    if config.probabilities:
        return probabilities
    return instances if config.instances else labels


def name_outputs(
    sources: Sequence[Path], out: Path, suffix: str, *, extension: str = ".tif"
) -> list[Path]:
    """Output of each image: its stem, or its whole name where two stems are the same."""
    stems = [name_image(source) for source in sources]
    names = [
        s.name if stems.count(stem) > 1 else stem for s, stem in zip(sources, stems, strict=True)
    ]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"Several images are called {twice}: predict their folders one by one.")
    return [out / f"{name}_{suffix}{extension}" for name in names]


def _predict_file(
    predictor: Predictor, source: Path, output: Path, *, fill: Filler | None
) -> Iterator[ImageProgressed | ImagePredicted | ImageFailed]:
    """Predict one file; an error becomes an event."""
    started = said = time.perf_counter()
    try:
        image = open_image(source, axes=predictor.config.axes)
        gaps = describe_gaps(image)
        for done in iter_predict_file(predictor, image, output, fill=fill):
            if time.perf_counter() - said > _SECONDS_BETWEEN_EVENTS:
                said = time.perf_counter()
                yield ImageProgressed(source=str(source), done=done)
    except (PixelwiseError, OSError, RuntimeError, ValueError, MemoryError) as error:
        full = is_memory_error(error) and not isinstance(error, PixelwiseError)
        message = explain_memory_error(error) if full else str(error) or type(error).__name__
        yield ImageFailed(source=str(source), message=message)
        return
    yield ImagePredicted(
        source=str(source),
        output=str(output),
        axes=str(image.axes),
        shape=image.shape,
        seconds=time.perf_counter() - started,
        notes=() if gaps is None else (gaps,),
    )


def _list_sources(images: Sequence[str | Path]) -> list[Path]:
    """Files, and the images of folders."""
    sources: list[Path] = []
    for path in map(Path, images):
        if not find_file(path).exists():  # a file can hold several images, with paths of their own
            raise ReadError(f"There is no file or folder {path}.")
        folder = path.is_dir() and not is_zarr(path)
        sources.extend(iter_image_files(path) if folder else [path])
    if not sources:
        raise ReadError(f"There is no image in {', '.join(map(str, images))}.")
    return sources
