"""Jobs: requests to the engine, one JSON object each.

The command line and the widgets build the same objects. ``pixelwise run`` does one job;
``pixelwise serve``, a child process that keeps models loaded, does small ones, one per line of
its standard input. Answers are events. Arrays are passed as NumPy files, never through the pipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from pixelwise.config import DataConfig, ModelConfig, PatchConfig, PredictConfig, TrainConfig
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.config_base import Config, Size, describe_invalid
from pixelwise.errors import ConfigError, ReadError
from pixelwise.parsing import parse_json


class TrainJob(Config):
    """Start a training run."""

    job: Literal["train"] = "train"
    config: TrainConfig


class ResumeJob(Config):
    """Continue the training run in a folder."""

    job: Literal["resume"] = "resume"
    run: Path


class PredictJob(Config):
    """Predict image files.

    Attributes
    ----------
    model : Path
        Model file or run folder.
    images : tuple of Path
        Files and folders.
    out : Path
        Folder for the results.
    settings : PredictConfig
    skip_existing, overwrite : bool
        What to do with existing results, as in the command.
    dask : str or None
        Address of a dask scheduler whose workers predict.
    workers : int or None
        Number of processes to predict in.
    """

    job: Literal["predict"] = "predict"
    model: Path
    images: tuple[Path, ...] = Field(min_length=1)
    out: Path
    settings: PredictConfig = PredictConfig()
    skip_existing: bool = False
    overwrite: bool = False
    dask: str | None = None
    workers: int | None = Field(default=None, ge=1)


class EvaluateJob(Config):
    """Score a model on a data set.

    Attributes
    ----------
    model : Path
        Model file or run folder.
    data : DataConfig
    split : str
        Which of the data set's own splits to score.
    settings : PredictConfig
    labels : Path or None
        Folder for the predicted labels.
    overwrite : bool
    """

    job: Literal["evaluate"] = "evaluate"
    model: Path
    data: DataConfig
    split: Literal["all", "train", "validation", "test"] = "all"
    settings: PredictConfig = PredictConfig()
    labels: Path | None = None
    overwrite: bool = False


class CompareJob(Config):
    """Train several networks alike, and compare them; continues what was interrupted."""

    job: Literal["compare"] = "compare"
    config: ComparisonConfig
    overwrite: bool = False


class ReportJob(Config):
    """Write the report of a training run or a comparison, one HTML file.

    Attributes
    ----------
    source : Path
        Run folder, or folder of a comparison.
    out : Path or None
        File to write; ``report.html`` in the source's folder if not given.
    overwrite : bool
    """

    job: Literal["report"] = "report"
    source: Path
    out: Path | None = None
    overwrite: bool = False


class PatchesJob(Config):
    """Cut a data set into patches; without `out`, count them and write nothing."""

    job: Literal["patches"] = "patches"
    data: DataConfig
    windows: PatchConfig = PatchConfig()
    out: Path | None = None


class ServedJob(Config):
    """A small job for ``pixelwise serve``.

    Attributes
    ----------
    number : int
        Repeated in the last event of the answer, `JobEnded`.
    """

    number: int = 0


class PlacedRegion(Config):
    """A part of a plane; with the pixels around it, it is predicted as in the whole plane.

    Attributes
    ----------
    plane : (height, width)
        Pixels of the whole plane.
    corner : (y, x)
        Where in the plane the first pixel of the source lies.
    rows, columns : (start, stop)
        What to predict, in the plane.
    """

    plane: tuple[int, int]
    corner: tuple[int, int] = (0, 0)
    rows: tuple[int, int]
    columns: tuple[int, int]


class PredictLayerJob(ServedJob):
    """Predict one image, or a region of one, into a NumPy file.

    Attributes
    ----------
    model : Path
        Model file; stays loaded for the next job.
    source : Path
        Image file, or a NumPy file, which needs `axes`.
    axes : str or None
        Axes of the source; from the file's metadata if not given.
    output : Path
        NumPy file to write the planes of the result to.
    cancel : Path
        The prediction stops as soon as this file exists.
    settings : PredictConfig
    region : PlacedRegion or None
        Predict this only. The source is one plane then: the region and one tile around it, or all
        of it if the model resizes images or normalises each by itself.
    uncertainty : Path or None
        NumPy file to write 1 - the largest probability to, float32 (N, Y, X).
    """

    job: Literal["predict_layer"] = "predict_layer"
    model: Path
    source: Path
    axes: str | None = None
    output: Path
    cancel: Path
    settings: PredictConfig = PredictConfig()
    region: PlacedRegion | None = None
    uncertainty: Path | None = None


class DescribeJob(ServedJob):
    """Describe a network: parameters, memory, receptive field, layers."""

    job: Literal["describe"] = "describe"
    model: ModelConfig
    in_channels: int = Field(default=3, ge=1)
    classes: int = Field(default=2, ge=2)
    size: Size = (256, 256)
    batch_size: int = Field(default=8, ge=1)


class LiveJob(ServedJob):
    """Label a region of an image by a pixel classifier that is trained on strokes.

    Attributes
    ----------
    source : Path
        NumPy file of the region, (C, Y, X); its features are kept for the next job.
    strokes : Path or None
        NumPy file (Y, X) of uint8: 0 is not annotated, class i is i + 1. Without it, nothing is
        written, but the first strokes need not wait for the features.
    output : Path
        NumPy file to write the classes to, (Y, X) of uint8, from 0 on.
    """

    job: Literal["live"] = "live"
    source: Path
    strokes: Path | None = None
    output: Path


Job = (
    TrainJob
    | ResumeJob
    | PredictJob
    | EvaluateJob
    | CompareJob
    | ReportJob
    | PatchesJob
    | PredictLayerJob
    | DescribeJob
    | LiveJob
)
_ADAPTER: Final[TypeAdapter[Any]] = TypeAdapter(Annotated[Job, Field(discriminator="job")])


def parse_job(text: str) -> Job:
    """Read one job from JSON.

    Raises
    ------
    ConfigError
        The text is not JSON, or not a known job.
    """
    try:
        job: Job = _ADAPTER.validate_python(parse_json(text, "The job"))
    except ReadError as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        raise ConfigError(f"Not a job: {describe_invalid(error, 'the JSON object')}") from error
    return job
