"""Commands about data sets: inspect, patches."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pixelwise.cli.console import FAILED, iter_tracked, say, write_json
from pixelwise.cli.options import config_options, given_values, overwrite_option
from pixelwise.config import FOR_TRAINING, DataConfig, PatchConfig
from pixelwise.datasets import Dataset, draw_inspection, inspect_dataset, load_dataset
from pixelwise.errors import ConfigError
from pixelwise.figures import FIGURE_SUFFIXES
from pixelwise.jobs import PatchesJob
from pixelwise.outputs import Sources, plan_outputs
from pixelwise.patches import PatchFolder, count_patches, iter_make_patches

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON")
_data_options = config_options(DataConfig, skip=["path", *FOR_TRAINING])


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw images with their masks and the class histogram: PNG, SVG or PDF",
)
@overwrite_option
@_json
@_data_options
def inspect(
    source: Path, figure: Path | None, overwrite: bool, as_json: bool, **values: Any
) -> int:
    """Describe the data set SOURCE: images, classes, and every problem found.

    The exit status is 1 if the data set is broken.
    """
    if figure is not None and figure.suffix.lower() not in FIGURE_SUFFIXES:
        raise ConfigError(
            f"Figures are written as {', '.join(FIGURE_SUFFIXES)}, not as {figure.name!r}."
        )
    data = load_dataset(
        DataConfig.create(path=source, **given_values(DataConfig, values)), strict=False
    )
    if figure is not None:
        read = {file for sample in data.samples for file in sample.files}
        whole = [source] if figure.exists() else []  # unreadable files are user data too
        sources = Sources.of_data(read, *whole)
        plan_outputs([figure], sources, apart=True, overwrite=overwrite)
    inspection = inspect_dataset(data)
    if as_json:
        write_json(inspection.to_dict())
    else:
        say(inspection.text())
    if figure is not None:
        draw_inspection(inspection, data, path=figure)
        if not as_json:
            say(f"figure: {figure}")
    return 0 if inspection.sound else FAILED


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write")
@click.option(
    "--dry-run", is_flag=True, help="Count the patches, list the data's problems, write nothing"
)
@_json
@config_options(PatchConfig)
@_data_options
def patches(source: Path, out: Path | None, dry_run: bool, as_json: bool, **values: Any) -> int:
    """Cut the images and masks of SOURCE into patches, as a folder that is a data set itself.

    The exit status of a dry run is 1 if the data set is broken.
    """
    windows = PatchConfig.create(**given_values(PatchConfig, values))
    if out is None and not dry_run:
        raise ConfigError("Where should the patches go? Give a new folder: --out patches.")
    data = DataConfig.create(path=source, **given_values(DataConfig, values))
    job = PatchesJob.create(data=data, windows=windows, out=None if dry_run else out)
    return do_patches(job, as_json=as_json)


def do_patches(job: PatchesJob, *, as_json: bool) -> int:
    """Cut patches, or count them, and print the result; return the exit status."""
    data = load_dataset(job.data, strict=job.out is not None)
    if job.out is None:
        return _show_plan(data, job.windows, as_json=as_json)
    events = iter_make_patches(data, job.out, **job.windows.model_dump())
    *_, folder = iter_tracked(events, "cutting", len(data.samples) + 1)
    if isinstance(folder, PatchFolder):
        write_json(_describe_folder(folder)) if as_json else say(folder.summary())
    return 0


def _show_plan(data: Dataset, windows: PatchConfig, *, as_json: bool) -> int:
    """Print what would be cut, or only the problems if the data set is broken."""
    inspection = inspect_dataset(data)
    problems = [{"message": str(p), "fatal": p.fatal} for p in inspection.problems]
    if not inspection.sound:
        write_json({"problems": problems}) if as_json else say(inspection.text())
        return FAILED
    counted = count_patches(data, **windows.model_dump())
    folder = PatchFolder(data.root, data.classes, windows, counted)
    if as_json:
        write_json(_describe_folder(folder) | {"problems": problems})
        return 0
    say(folder.summary())
    for problem in inspection.problems:
        say(f"note: {problem}")
    return 0


def _describe_folder(folder: PatchFolder) -> dict[str, Any]:
    """Describe what was or would be cut, ready for JSON."""
    return {
        "path": str(folder.path),
        "patches": folder.count,
        "skipped": folder.skipped,
        "class_shares": folder.class_shares,
        "sources": [asdict(source) for source in folder.sources],
    }
