"""Commands about training runs: train, resume, stop, runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import psutil

from pixelwise.cli.console import create_table, note, out, say, write_json
from pixelwise.cli.options import (
    config_options,
    given_values,
    merge,
    read_source,
    require_one_budget,
)
from pixelwise.cli.predict import find_model
from pixelwise.cli.progress import show_events
from pixelwise.cli.stopping import stop_on_signals
from pixelwise.comparison_summary import CONFIG
from pixelwise.config import (
    AugmentationConfig,
    DataConfig,
    ModelConfig,
    PatchConfig,
    TrainConfig,
    TrainingConfig,
)
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.errors import ConfigError, RunError
from pixelwise.improvement import FORGETS, create_improvement, has_older_data
from pixelwise.jobs import CompareJob, ResumeJob, TrainJob
from pixelwise.runs import RunFolder, is_training, open_run, request_stop
from pixelwise.summaries import list_runs, summarize_run

_SECTIONS: dict[str, type[Any]] = {
    "data": DataConfig,
    "patches": PatchConfig,
    "model": ModelConfig,
    "augmentation": AugmentationConfig,
    "training": TrainingConfig,
}
_json = click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines")


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", "run", type=click.Path(path_type=Path), help="Run folder to write")
@click.option("--dry-run", is_flag=True, help="Print the complete config as YAML and do not train")
@_json
@config_options(DataConfig, skip=["path"])
@config_options(PatchConfig)
@config_options(ModelConfig)
@config_options(AugmentationConfig)
@config_options(TrainingConfig)
def train(source: Path, run: Path | None, dry_run: bool, as_json: bool, **values: Any) -> int:
    """Train a network on SOURCE: a folder with images and masks, or a config in YAML.

    SOURCE may be - for a config on standard input.

    Ctrl-C finishes the step, saves and stops; 'pixelwise resume' continues.

    With --folds and no --fold, each fold is trained in turn: every image is scored by a model that
    did not see it, and 'pixelwise predict' averages the models of all folds. The same command again
    continues.
    """
    config = create_train_config(source, run, values)
    if dry_run:
        click.echo(config.to_yaml(), nl=False)
        return 0
    return do_train(TrainJob(config=config), as_json=as_json)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("corrections", type=click.Path(path_type=Path))
@click.option("--out", "run", type=click.Path(path_type=Path), required=True, help="Run folder")
@click.option("--dry-run", is_flag=True, help="Print the complete config as YAML and do not train")
@_json
def improve(model: Path, corrections: Path, run: Path, dry_run: bool, as_json: bool) -> None:
    """Train MODEL, a file, a run folder or "starter", on with the images and masks in CORRECTIONS.

    In the masks 0 is not annotated, 1 is the first class of the model, 2 the second, and so on. The
    data that the model was trained on stay in every batch. The model stays as it is if it gets
    worse on the validation images.
    """
    file = find_model(model)
    config = create_improvement(file, corrections=corrections, run=run).make_absolute()
    if not has_older_data(file):
        note(FORGETS)
    if dry_run:
        click.echo(config.to_yaml(), nl=False)
        return
    do_train(TrainJob(config=config), as_json=as_json)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@_json
def resume(run: Path, as_json: bool) -> None:
    """Continue the training run in the folder RUN, exactly where it stopped."""
    do_resume(ResumeJob.create(run=run), as_json=as_json)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def stop(run: Path) -> None:
    """Ask the training run in the folder RUN to finish its step, save and stop."""
    folder = open_run(run)
    if not is_training(folder):
        state = summarize_run(folder).state
        raise RunError(f"{run} is not training: it is {state}. There is nothing to stop.")
    request_stop(folder)
    say(f"{run} will save and stop.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
def runs(folder: Path, as_json: bool) -> None:
    """List the training runs in FOLDER."""
    found = list_runs(folder / "runs" if (folder / CONFIG).is_file() else folder)
    if as_json:
        write_json([run.to_dict() for run in found])
        return
    table = create_table("", ["run", "state", "network", "epoch", "best"])
    for run in found:
        best = "-" if run.best_score is None else f"{run.monitor} {run.best_score:.4f}"
        table.add_row(str(run.path), run.state, run.architecture, f"{run.epoch}/{run.epochs}", best)
    out.print(table)


def do_train(job: TrainJob, *, as_json: bool) -> int:
    """Train, all folds if none is chosen, and show the events; return the exit status."""
    from pixelwise.cli.compare import do_compare
    from pixelwise.training.fit import fit

    data = job.config.data
    if data.folds is not None and data.fold is None:
        fields = job.config.model_dump(exclude={"run", "model"})
        config = ComparisonConfig.create(**fields, out=job.config.run, models=(job.config.model,))
        return do_compare(CompareJob(config=config), as_json=as_json)
    with stop_on_signals(RunFolder(job.config.run), fit(job.config)) as events:
        show_events(events, as_json=as_json)
    return 0


def do_resume(job: ResumeJob, *, as_json: bool) -> None:
    """Continue a training run, and show the events."""
    from pixelwise.training.fit import resume as resume_training

    asked = psutil.Process().create_time()  # it may be asked to stop before it is ready
    with stop_on_signals(open_run(job.run), resume_training(job.run, since=asked)) as events:
        show_events(events, as_json=as_json)


def create_train_config(source: Path, run: Path | None, values: dict[str, Any]) -> TrainConfig:
    """Config of a training run: from a data folder or a YAML file, changed by the options.

    Raises
    ------
    ConfigError
        A value is wrong, or there is no run folder to write.
    """
    given: dict[str, Any] = {
        section: given_values(config, values) for section, config in _SECTIONS.items()
    }
    require_one_budget(given)
    if start := given["model"].get("start_from"):
        given["model"]["start_from"] = find_model(Path(start))
    base = read_source(source)
    if run is not None:
        given["run"] = run
    if "run" not in given and "run" not in base:
        raise ConfigError("Where should the run go? Give its folder: --out runs/my-first-run.")
    return TrainConfig.create(**merge(base, given)).make_absolute()
