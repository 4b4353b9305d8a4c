"""Prediction of arrays, files and folders of images."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from pixelwise.axes import NamedAxes, from_planes, guess_axes, parse_axes
from pixelwise.config import PredictConfig
from pixelwise.errors import (
    ConfigError,
    DataError,
    PixelwiseError,
    ReadError,
    WriteError,
    describe_failure,
)
from pixelwise.events import FilesLeftOut, ImageFailed, ImagePredicted, ImageProgressed
from pixelwise.images import (
    SUFFIXES,
    ImageArray,
    ImageFile,
    ImageSource,
    describe_gaps,
    find_file,
    is_zarr,
    iter_image_files,
    list_left_out,
    name_image,
    open_image,
)
from pixelwise.marks import read_mark
from pixelwise.models.files import Model
from pixelwise.outputs import Outputs, plan_outputs
from pixelwise.prediction.pipeline import RowExecutor, iter_predict, predict_array
from pixelwise.prediction.post_processing import name_table
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.result_spool import name_spool
from pixelwise.prediction.sinks import FileSink, list_outputs, list_sources, plan_file

Array = npt.NDArray[Any]

PredictEvent = FilesLeftOut | ImageProgressed | ImagePredicted | ImageFailed

_SECONDS_BETWEEN_EVENTS = 0.5
_NAMES = 20
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
    overwrite: bool = ...,
    **settings: Any,
) -> Path: ...


def predict(
    model: Model | str | Path,
    image: Any,
    *,
    axes: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> Array | Path:
    """Predict the class of every pixel of one image.

    Parameters
    ----------
    model : Model or path
        Result of `load_model`, or a model file.
    image : array or path
        Any size; with the channels that the model was trained on (grey is repeated for RGB
        models). An array can be NumPy's, a memory map, dask's or Zarr's: rows are read as they are
        needed.
    axes : str, optional
        Axes of the image, letters of ``TZCYX``; read from the file, or guessed, if not given.
    out : path, optional
        File to write the result to, which may then be larger than the memory: OME-Zarr if it is
        called ``.zarr``, else tiled TIFF. Its axes are in the order TCZYX. The prediction of a file
        that was stopped resumes when the same call is made again.
    overwrite : bool
        Whether `out` may replace a file that is not a result of this program, or that was changed
        since; never the image or the model.
    **settings
        Fields of `PredictConfig`, e.g. ``tile=512, overlap=0.5, flips=True``.

    Returns
    -------
    ndarray, or Path of `out`
        Labels in the smallest unsigned dtype, with the image's axes except C; or, with
        ``probabilities=True``, float32 with a C axis before Y and X, unless ``probability_dtype``
        says otherwise.

    Raises
    ------
    DataError
        The image's channels or axes do not fit the model, or it holds NaN.
    ReadError, ModelFileError
        A file is missing or damaged.
    WriteError
        `out` cannot be written, or is there and is not to be replaced.
    """
    predictor = Predictor(model, PredictConfig.create(axes=axes, **settings))
    source = open_source(image, axes)
    if out is None:
        if predictor.config.table:
            raise ConfigError("A table of objects is a file: name a file for the labels with out.")
        names, shape = predictor.result_axes(source.axes.names, source.shape)
        result: Array | Path = from_planes(predict_array(predictor, source), names, shape)
    else:
        result = Path(out)
        sink = plan_file(predictor, source, result, overwrite=overwrite)
        for _ in iter_predict(predictor, source, sink):
            pass
    if notes := list_notes(predictor, source):
        shown = image if isinstance(source, ImageFile) else "The image"
        warnings.warn(f"{shown}: {'; '.join(notes)}.", stacklevel=2)
    return result


def list_notes(predictor: Predictor, source: ImageSource) -> tuple[str, ...]:
    """List the notes on an image that was just predicted: how it was read, and its gaps."""
    notes: tuple[str, ...] = ()
    if isinstance(source, ImageFile):
        gaps = describe_gaps(source)
        notes = (*source.notes, *(() if gaps is None else (gaps,)))
    return tuple(dict.fromkeys((*notes, *predictor.heard)))


def open_source(image: Any, axes: str | None) -> ImageSource:
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
    execute: RowExecutor | None = None,
    skip_existing: bool = False,
    overwrite: bool = False,
) -> Iterator[PredictEvent]:
    """Predict image files and folders of images into ``<out>/<name>_labels.tif``, or ``.zarr``.

    Files in the folders that are not read are reported first. An image that cannot be predicted is
    reported, and the others are predicted. A file in the output folder that is named like a result
    is no image, unless it is named in `images`. With `skip_existing`, images whose result exists
    are left out, and results without a mark are reported; with `overwrite`, they may be replaced.

    Raises
    ------
    ReadError
        A path is missing, or there is no image at all.
    WriteError
        The output folder cannot be created, or a file may not be replaced, see `outputs`. Nothing
        was written then.
    """
    out = Path(out)
    jobs = _list_jobs(predictor, images, out)
    done = {output for _, output in jobs if skip_existing and _is_done(predictor, output)}
    wanted = [job for job in jobs if job[1] not in done]
    plan = plan_outputs(
        [path for _, output in wanted for path in list_outputs(predictor.config, output)],
        list_sources(predictor, [source for source, _ in jobs]),
        root=out,
        overwrite=overwrite,
    )
    if out.exists() and not out.is_dir():
        raise WriteError(f"{out} is a file; expected a folder for the results.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"Cannot make the folder {out}: {error.strerror}.") from error
    yield from _list_left_out(images, known={*(Path(i).resolve() for i in images), out.resolve()})
    yield from _list_strangers(out, [output for _, output in jobs if output in done])
    for source, output in wanted:
        yield from _predict_file(predictor, source, output, execute=execute, plan=plan)


def _list_jobs(
    predictor: Predictor, images: Sequence[str | Path], out: Path
) -> list[tuple[Path, Path]]:
    """Images and their outputs, without the results that lie among the images."""
    sources = _list_sources(images)
    suffix = name_suffix(predictor.config)
    extension = SUFFIXES[predictor.config.format]
    outputs = name_outputs(sources, out, suffix, extension=extension)
    endings = tuple(f"_{suffix}{end}" for suffix in _SUFFIXES for end in SUFFIXES.values())
    named, place = {Path(image).resolve() for image in images}, out.resolve()
    return [
        (source, output)
        for source, output in zip(sources, outputs, strict=True)
        if not source.name.endswith(endings)
        or source.parent.resolve() != place
        or source.resolve() in named
    ]


def _list_strangers(out: Path, outputs: Sequence[Path]) -> Iterator[FilesLeftOut]:
    """Report files that are named like a result, but have no mark."""
    names: list[str] = []
    for output in outputs:
        with suppress(OSError):
            if read_mark(output) is not None:
                continue
        names.append(output.name)
    if names:
        reason = "there already, but without the mark of a result: left unchanged"
        yield FilesLeftOut(folder=str(out), files=tuple(names), reason=reason)


def _is_done(predictor: Predictor, output: Path) -> bool:
    """Whether a result exists, with its table if one is wanted."""
    has_table = not predictor.config.table or name_table(output).exists()
    return output.exists() and has_table and not name_spool(output).exists()


def name_suffix(config: PredictConfig) -> str:
    """Name what a result's file name ends with."""
    labels, instances, probabilities = _SUFFIXES
    if config.probabilities:
        return probabilities
    return instances if config.instances else labels


def name_outputs(
    sources: Sequence[Path], out: Path, suffix: str, *, extension: str = ".tif"
) -> list[Path]:
    """Name the output of each image by its stem, or by its whole name if two stems are equal."""
    stems = [name_image(source) for source in sources]
    names = [
        s.name if stems.count(stem) > 1 else stem for s, stem in zip(sources, stems, strict=True)
    ]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"Several images are called {twice}: predict their folders one by one.")
    return [out / f"{name}_{suffix}{extension}" for name in names]


def _predict_file(
    predictor: Predictor, source: Path, output: Path, *, execute: RowExecutor | None, plan: Outputs
) -> Iterator[PredictEvent]:
    """Predict one file; an error becomes an event."""
    started = said = time.perf_counter()
    try:
        image = open_image(source, axes=predictor.config.axes)
        for rows in iter_predict(predictor, image, FileSink(output, plan), execute=execute):
            if time.perf_counter() - said > _SECONDS_BETWEEN_EVENTS:
                said = time.perf_counter()
                yield ImageProgressed(source=str(source), done=rows.done)
    except (PixelwiseError, OSError, RuntimeError, ValueError, MemoryError) as error:
        yield ImageFailed(source=str(source), message=describe_failure(error))
        return
    yield ImagePredicted(
        source=str(source),
        output=str(output),
        axes=str(image.axes),
        shape=image.shape,
        seconds=time.perf_counter() - started,
        notes=list_notes(predictor, image),
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
        left = _list_left_out(images, known=())
        held = "".join(f" {one.folder} holds {_shorten(one.files)} ({one.reason})." for one in left)
        raise ReadError(f"There is no image in {', '.join(map(str, images))}.{held}")
    return sources


def _list_left_out(
    images: Sequence[str | Path], *, known: Collection[Path]
) -> Iterator[FilesLeftOut]:
    """Report what the folders among `images` hold that is not predicted, except `known`."""
    for folder in map(Path, images):
        if not folder.is_dir() or is_zarr(folder):
            continue
        left = [path for path in list_left_out(folder) if path.resolve() not in known]
        files = tuple(path.name for path in left if path.is_file())
        folders = tuple(f"{path.name}/" for path in left if path.is_dir())
        if files:
            yield FilesLeftOut(folder=str(folder), files=files, reason="unsupported format")
        if folders:
            reason = "sub-folders: name them to predict them"
            yield FilesLeftOut(folder=str(folder), files=folders, reason=reason)


def _shorten(names: Sequence[str]) -> str:
    """Join names; of many, the first ones."""
    return ", ".join(names[:_NAMES]) + (
        f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    )
