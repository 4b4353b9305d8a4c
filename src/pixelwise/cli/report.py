"""The command report: one page about a training run or a comparison."""

from __future__ import annotations

from pathlib import Path

import click

from pixelwise.atomic import make_folder
from pixelwise.cli.console import note, say, write_json
from pixelwise.cli.options import overwrite_option
from pixelwise.errors import ConfigError, ReadError
from pixelwise.jobs import ReportJob
from pixelwise.outputs import Sources, plan_outputs


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, .html [report.html in SOURCE]",
)
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
def report(source: Path, file: Path | None, *, overwrite: bool, as_json: bool) -> None:
    """Write a report of SOURCE, the folder of a training run or a comparison.

    The page says what was trained on what, how good it is on images that were held out, and how to
    repeat it, with curves, scores, and the best and worst images. It is one file that needs no
    network. The model of a run is scored anew for it.
    """
    do_report(ReportJob(source=source, out=file, overwrite=overwrite), as_json=as_json)


def do_report(job: ReportJob, *, as_json: bool = False) -> None:
    """Write a report, and print where it lies.

    Raises
    ------
    PixelwiseError
        The folder holds neither a run nor a comparison, or the file cannot be written.
    """
    from pixelwise.reports.comparison_report import is_comparison, report_comparison
    from pixelwise.reports.page import write_report
    from pixelwise.reports.run_report import report_run

    source, file = job.source, job.out or job.source / "report.html"
    if file.suffix.lower() != ".html":
        raise ConfigError(f"A report is one HTML file; {file.name!r} does not end in .html.")
    if not (is_comparison(source) or (source / "config.yaml").is_file()):
        raise ReadError(
            f"{source} holds neither a training run (config.yaml) nor a comparison "
            "(comparison.json): give the folder that 'pixelwise train' or 'pixelwise compare' "
            "wrote."
        )
    root = source if job.out is None else None
    plan = plan_outputs([file], Sources(), root=root, overwrite=job.overwrite)
    if is_comparison(source):
        page = report_comparison(source)
    else:
        note("Collecting the report; the model is scored on images that it was not trained on.")
        page = report_run(source)
    plan.require_unchanged(file)
    make_folder(file.parent)
    write_report(page, file)
    write_json({"report": str(file)}) if as_json else say(f"Written to {file}")
