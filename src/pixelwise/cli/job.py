"""The command run: runs one job that another program, such as napari, wrote."""

from __future__ import annotations

from pathlib import Path

import click

from pixelwise.cli.compare import do_compare
from pixelwise.cli.console import FAILED, WRONG_USE, echo, read_input
from pixelwise.cli.data import do_patches
from pixelwise.cli.predict import do_evaluate, do_predict
from pixelwise.cli.report import do_report
from pixelwise.cli.serve import Server
from pixelwise.cli.train import do_resume, do_train
from pixelwise.errors import ConfigError
from pixelwise.events import JobEnded
from pixelwise.jobs import (
    CompareJob,
    EvaluateJob,
    Job,
    PatchesJob,
    PredictJob,
    ReportJob,
    ResumeJob,
    TrainJob,
    parse_job,
)


class _WrongJob(click.ClickException):
    """The input is not a job."""

    exit_code = WRONG_USE


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def run(file: Path) -> int:
    """Run the job in FILE, one JSON object (- is standard input), and print its events as JSON.

    The widgets send their jobs this way. Jobs are train, resume, predict, evaluate, compare,
    report, patches, predict_layer, live and describe; pixelwise.jobs says which fields each has.
    """
    try:
        job = parse_job(read_input(file, "job"))
    except ConfigError as error:
        raise _WrongJob(str(error)) from error
    return do_job(job)


def do_job(job: Job) -> int:
    """Run a job as its command does, and print JSON; return the exit status."""
    match job:
        case TrainJob():
            return do_train(job, as_json=True)
        case ResumeJob():
            do_resume(job, as_json=True)
        case PredictJob():
            do_predict(job, as_json=True)
        case EvaluateJob():
            do_evaluate(job, as_json=True)
        case CompareJob():
            return do_compare(job, as_json=True)
        case ReportJob():
            do_report(job, as_json=True)
        case PatchesJob():
            return do_patches(job, as_json=True)
        case _:
            return _do_small_job(job)
    return 0


def _do_small_job(job: Job) -> int:
    """Run a job as the warm child does; return the exit status."""
    status = FAILED
    for event in Server().answer(job):
        echo(event.to_json())
        if isinstance(event, JobEnded):
            status = FAILED if event.status == "failed" else 0
    return status
