"""Commands that apply a model: predict, evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.progress import Progress

from pixelwise.cli.console import (
    create_table,
    echo,
    err,
    iter_tracked,
    note,
    out,
    say,
    show_scores,
    write_json,
)
from pixelwise.cli.options import config_options, given_values, overwrite_option
from pixelwise.comparison_summary import CONFIG, ENSEMBLE_FILE
from pixelwise.config import FOR_TRAINING, DataConfig, PredictConfig
from pixelwise.datasets import load_dataset
from pixelwise.errors import ConfigError, PixelwiseError, show_text
from pixelwise.events import FilesLeftOut, ImageFailed, ImagePredicted, ImageProgressed
from pixelwise.jobs import EvaluateJob, PredictJob
from pixelwise.runs import open_run
from pixelwise.scores import SHOWN
from pixelwise.starter import STARTER, starter_path

if TYPE_CHECKING:
    from pixelwise.prediction.evaluate import Evaluation
    from pixelwise.prediction.pipeline import RowExecutor
    from pixelwise.prediction.predict import PredictEvent


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write")
@click.option("--dask", metavar="ADDRESS", help="Predict with the workers of this dask scheduler")
@click.option("--workers", type=click.IntRange(1), help="Predict in this many processes, with dask")
@click.option("--skip-existing", is_flag=True, help="Leave out images whose result exists")
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines")
@config_options(PredictConfig)
def predict(
    model: Path,
    images: tuple[Path, ...],
    *,
    out: Path,
    dask: str | None,
    workers: int | None,
    skip_existing: bool,
    overwrite: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Predict IMAGES, files or folders, with MODEL, a model file or a run folder.

    MODEL may be "starter": the model for nuclei that is installed with this program.

    Writes NAME_labels.tif, or .zarr, for each image; an OME-Zarr folder is one image. Images that
    cannot be predicted are reported at the end, and the exit status is 1. An interrupted prediction
    continues where it stopped when it is started again; --skip-existing leaves out images whose
    result exists. Files that this program did not write, or that have changed since, are only
    replaced with --overwrite, images never.
    """
    job = PredictJob.create(
        model=model,
        images=images,
        out=out,
        settings=PredictConfig.create(**given_values(PredictConfig, values)),
        skip_existing=skip_existing,
        overwrite=overwrite,
        dask=dask,
        workers=workers,
    )
    do_predict(job, as_json=as_json)


def do_predict(job: PredictJob, *, as_json: bool) -> None:
    """Predict image files, and show the events.

    Raises
    ------
    PixelwiseError
        Nothing could be predicted, or not every image.
    """
    from pixelwise.prediction.predict import iter_predict_files
    from pixelwise.prediction.predictor import Predictor

    predictor = Predictor(find_model(job.model), job.settings)
    note(str(predictor.tiles))
    with _choosing_executor(job.dask, job.workers) as execute:
        events = iter_predict_files(
            predictor,
            job.images,
            job.out,
            execute=execute,
            skip_existing=job.skip_existing,
            overwrite=job.overwrite,
        )
        failed = _show(events, as_json=as_json)
    if failed:
        lines = "\n".join(f"  {_name_source(event)}{event.message}" for event in failed)
        raise PixelwiseError(f"{len(failed)} images could not be predicted:\n{lines}")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["all", "train", "validation", "test"]),
    default="all",
    help="Which of the data set's own splits to score [all]",
)
@click.option("--per-image", is_flag=True, help="Print the scores of each image as well")
@click.option(
    "--labels",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to keep the predicted labels in, NAME_labels.tif for each image",
)
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
@config_options(
    DataConfig,
    skip=["path", "validation", "test", "axes", *FOR_TRAINING],
)
@config_options(
    PredictConfig, skip=["probabilities", "probability_dtype", "instances", "table", "format"]
)
def evaluate(
    model: Path,
    source: Path,
    *,
    split: str,
    labels: Path | None,
    per_image: bool,
    overwrite: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Score MODEL on the images and masks in SOURCE.

    MODEL is a model file, a run folder, or "starter", the model for nuclei.
    """
    settings = PredictConfig.create(**given_values(PredictConfig, values))
    data = given_values(DataConfig, values) | {"path": source, "axes": settings.axes}
    job = EvaluateJob.create(
        model=model,
        data=DataConfig.create(**data),
        split=split,
        settings=settings,
        labels=labels,
        overwrite=overwrite,
    )
    do_evaluate(job, as_json=as_json, per_image=per_image)


def do_evaluate(job: EvaluateJob, *, as_json: bool, per_image: bool = False) -> None:
    """Score a model, and print the scores."""
    from pixelwise.prediction.evaluate import (
        iter_evaluate,
        match_model,
        plan_labels,
        sum_evaluation,
    )
    from pixelwise.prediction.predictor import Predictor

    predictor, labels = Predictor(find_model(job.model), job.settings), job.labels
    # Not strict: the model may know what the masks do not show.
    whole = match_model(predictor.model, load_dataset(job.data, strict=False)).require_sound()
    data = whole if job.split == "all" else whole.select(job.split)
    plan = labels and plan_labels(predictor, data, labels, whole=whole, overwrite=job.overwrite)
    found = f"{data.layout} ({data.reason}), {len(data.samples)} images"
    note(f"{job.data.path}: {found}; {data.mapping}")
    scored = iter_evaluate(predictor, data, labels=labels, plan=plan or None)
    images = dict(iter_tracked(scored, "evaluating", len(data.samples)))
    result = sum_evaluation(predictor, images, notes=map(str, data.problems))
    for text in () if as_json else result.notes:
        note(f"note: {text}")
    _show_evaluation(result, as_json=as_json, per_image=per_image)


def _name_source(event: ImageFailed) -> str:
    """Image of a message that does not begin with its name."""
    return "" if event.message.startswith(event.source) else f"{event.source}: "


@contextmanager
def _choosing_executor(address: str | None, workers: int | None) -> Iterator[RowExecutor | None]:
    """Choose what predicts rows: a dask cluster, or None for this process."""
    if address is None and workers is None:
        yield None
        return
    if address is not None and workers is not None:
        raise ConfigError("--dask and --workers exclude each other: leave out one of them.")
    from pixelwise.prediction.cluster import connecting, create_dask_executor

    with connecting(address, workers) as client:
        if not client.nthreads():
            note("The scheduler has no workers yet; waiting for the first.")
        yield create_dask_executor(client)


def _show(events: Iterable[PredictEvent], *, as_json: bool) -> list[ImageFailed]:
    """Print events as they come, with a bar on a terminal; return the failures."""
    failed = []
    with Progress(console=err, transient=True, disable=as_json or not err.is_terminal) as bar:
        task = bar.add_task("predicting", total=1.0)
        for event in events:
            if as_json:
                echo(event.to_json())
            elif isinstance(event, ImagePredicted):
                say(f"{event.source}: {event.axes}, {event.seconds:.1f} s, {event.output}")
                for text in event.notes:
                    note(f"{event.source}: {text}")
            elif isinstance(event, FilesLeftOut):
                names = f"left out: {', '.join(event.files)}"
                note(f"{event.folder}: {len(event.files)} {names} ({event.reason})")
            if isinstance(event, ImageProgressed):
                name = escape(show_text(Path(event.source).name))  # the bar interprets markup
                bar.update(task, completed=event.done, description=name)
            if isinstance(event, ImageFailed):
                failed.append(event)
    return failed


def find_model(path: Path) -> Path:
    """Model file at `path`, or that of the run folder there; "starter" is the starter model.

    The model of a folder with one network trained in folds is that of all folds in one.
    """
    if str(path) == STARTER and not path.exists():
        return starter_path()
    if (path / ENSEMBLE_FILE).is_file():
        return path / ENSEMBLE_FILE
    if (path / CONFIG).is_file():
        raise ConfigError(
            f"{path} holds the trainings of several networks, or of folds that are not all trained "
            f"yet: give one of the folders in {path / 'runs'}."
        )
    return open_run(path).model if path.is_dir() else path


def _show_evaluation(result: Evaluation, *, as_json: bool, per_image: bool) -> None:
    """Print an evaluation."""
    if as_json:
        write_json(result.to_dict())
        return
    if per_image:
        table = create_table("Images", ["image", *SHOWN])
        for name, scores in result.images.items():
            values = scores.summary().values()
            table.add_row(name, *("-" if v is None else f"{v:.4f}" for v in values))
        out.print(table)
    show_scores(result.total, f"{len(result.images)} images, {result.total.pixels:,} pixels")
