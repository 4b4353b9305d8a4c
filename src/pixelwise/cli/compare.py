"""The command compare: networks trained on the same data, or runs that are over."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixelwise.cli.console import INTERRUPTED, create_table, echo, note, out, say
from pixelwise.cli.options import (
    config_options,
    given_values,
    merge,
    overwrite_option,
    read_source,
    require_one_budget,
)
from pixelwise.cli.progress import show_events
from pixelwise.cli.stopping import stop_on_signals
from pixelwise.comparison_summary import CONFIG, ENSEMBLE_FILE, FEWEST, ComparisonSummary
from pixelwise.config import AugmentationConfig, DataConfig, PatchConfig, TrainingConfig
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.errors import ConfigError
from pixelwise.jobs import CompareJob

if TYPE_CHECKING:
    from pixelwise.comparison.counts import ImageCounts

_SECTIONS: dict[str, type[Any]] = {
    "data": DataConfig,
    "patches": PatchConfig,
    "augmentation": AugmentationConfig,
    "training": TrainingConfig,
}
_NO_FOLDER = "Where should the results go? Give a folder: --out comparison."


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="Folder of the comparison to write"
)
@click.option(
    "--add",
    type=click.Path(path_type=Path),
    multiple=True,
    help="CSV with the counts of other programs: model, image, class, tp, fp, fn, tn",
)
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print events and results as JSON lines")
@config_options(DataConfig, skip=["path", "fold"])
@config_options(ComparisonConfig, skip=["data", "out", *_SECTIONS])
@config_options(PatchConfig)
@config_options(AugmentationConfig)
@config_options(TrainingConfig)
def compare(
    sources: tuple[Path, ...],
    folder: Path | None,
    add: tuple[Path, ...],
    *,
    overwrite: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Compare networks on SOURCES: a folder with images and masks, or a config in YAML.

    Each network is trained on the same images with the same budget, and scored on the same images.
    The same command again continues a comparison that was interrupted.

    With run folders as SOURCES, runs that are over are compared and nothing is trained.
    """
    from pixelwise.comparison.compare import conclude
    from pixelwise.comparison.counts import read_counts
    from pixelwise.comparison.trials import collect_trials

    others = {name: counts for file in add for name, counts in read_counts(file).items()}
    if all((source / "config.yaml").is_file() for source in sources):
        if folder is None:
            raise ConfigError(_NO_FOLDER)
        if any(value is not None for value in values.values()):
            raise ConfigError(
                "Runs that are over are compared as they are: leave out the options that say how "
                "to train, or give a folder with images and masks."
            )
        summary = conclude(collect_trials(sources), folder.absolute(), others, overwrite=overwrite)
        _show(summary, folder, as_json=as_json)
        return 0
    job = CompareJob(config=create_comparison_config(sources, folder, values), overwrite=overwrite)
    return do_compare(job, as_json=as_json, others=others)


def do_compare(
    job: CompareJob, *, as_json: bool, others: Mapping[str, ImageCounts] | None = None
) -> int:
    """Train what is left to train, score and print; return the exit status."""
    from pixelwise.comparison.compare import conclude
    from pixelwise.comparison.trials import begin, plan_trials, train_trial

    config = job.config.make_absolute()
    begin(config)
    trials = plan_trials(config)
    for number, trial in enumerate(trials, start=1):
        if trial.is_trained:
            continue
        note(f"{trial.name}, {number} of {len(trials)}")
        with stop_on_signals(trial.run, train_trial(trial)) as events:
            show_events(events, as_json=as_json)
        if not trial.is_trained:
            note("There is more to train: the same command continues it.")
            return INTERRUPTED
    summary = conclude(trials, config.out, others, overwrite=job.overwrite)
    _show(summary, config.out, as_json=as_json)
    return 0


def create_comparison_config(
    sources: tuple[Path, ...], folder: Path | None, values: dict[str, Any]
) -> ComparisonConfig:
    """Config of a comparison: from a data folder or a YAML file, changed by the options.

    Raises
    ------
    ConfigError
        A value is wrong, there is no folder to write, or there are several sources.
    """
    if len(sources) > 1:
        strange = next(path for path in sources if not (path / "config.yaml").is_file())
        raise ConfigError(
            f"{strange} is not a run folder: give run folders to compare, or one folder with "
            "images and masks."
        )
    (source,) = sources
    given: dict[str, Any] = {
        section: given_values(config, values) for section, config in _SECTIONS.items()
    }
    require_one_budget(given)
    given |= given_values(ComparisonConfig, values)
    base = read_source(source)
    if folder is None and source.name == CONFIG and (source.parent / "runs").is_dir():
        folder = source.parent  # the comparison's own folder, which may have been moved
    if folder is not None:
        given["out"] = folder
    if "out" not in given and "out" not in base:
        raise ConfigError(_NO_FOLDER)
    return ComparisonConfig.create(**merge(base, given)).make_absolute()


def _show(summary: ComparisonSummary, folder: Path, *, as_json: bool) -> None:
    """Print the scores, and which differences are clear."""
    if as_json:
        models = summary.model_dump()["models"]
        echo(json.dumps({name: model["foreground"] for name, model in models.items()}))
        return
    columns = ["model", "Dice (95 %)", "IoU (95 %)"]
    table = create_table("Mean over the foreground classes", columns)
    for name, model in summary.models.items():
        table.add_row(name, str(model.foreground["dice"]), str(model.foreground["iou"]))
    out.print(table)
    if summary.sources < FEWEST:
        note(f"Differences are not judged: that takes {FEWEST} source images or more.")
    for pair in summary.differences:
        if pair.clear:
            say(f"{pair.models[0]} is better than {pair.models[1]}: p {pair.p:.4f} (Holm)")
    say(f"Written to {folder}: comparison.md, scores.csv, counts.csv, curves.png, pictures.png")
    quoted = shlex.quote(str(folder))
    if (folder / ENSEMBLE_FILE).is_file():
        say(f"All folds as one model: pixelwise predict {quoted} IMAGES --out labels")
    say(f"One page of it all: pixelwise report {quoted}")
