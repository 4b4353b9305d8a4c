"""The report of a comparison: its tables, curves and pictures, and the images one by one."""

from __future__ import annotations

import shlex
from pathlib import Path

from pixelwise.cards import Card, read_card
from pixelwise.comparison_summary import CONFIG, DEFINITIONS, FILE, ComparisonSummary, list_tables
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.reports.page import Block, Code, Figure, Report, Table, Text, embed_file
from pixelwise.reports.run_report import describe_data, describe_environment
from pixelwise.runs import iter_events
from pixelwise.scores import SCORE_DEFINITIONS

_FIGURES = {
    "Curves": ("curves.png", "Validation loss and Dice of all trainings"),
    "Predictions": (
        "pictures.png",
        "Three images, from the worst to the best, with each model's prediction and its errors",
    ),
}


def is_comparison(path: Path) -> bool:
    """Whether a folder holds a comparison, over or not."""
    return (path / FILE).is_file() or (path / CONFIG).is_file()


def report_comparison(folder: Path) -> Report:
    """Collect the report of a comparison that is over.

    Raises
    ------
    ReadError
        It is not over, or a file of it cannot be read.
    """
    summary = ComparisonSummary.load(folder)
    best, result = next(iter(summary.models.items()))
    report = Report(f"Comparison {folder.absolute().name}", summary.headline)
    report.headline = f"Best: {best}, mean Dice of the foreground {result.foreground['dice']}"
    report.add("Trained on", *_describe_training(summary, folder))
    for table in list_tables(summary):
        rows = [[name, *(cell.replace(" (", "\n(") for cell in row)] for name, *row in table.rows]
        block = Text(table.note) if table.note else Table(table.columns, rows)
        report.add(table.title, block)
    for title, (name, text) in _FIGURES.items():
        if (folder / name).is_file():
            report.add(title, Figure(embed_file(folder / name), text))
    images = [
        [name, *("-" if value is None else f"{value:.3f}" for value in dice)]
        for name, dice in summary.worst_first()
    ]
    report.add("Each image, the worst first", Table(["image", *summary.models], images))
    rows = [[name, text] for name, text in SCORE_DEFINITIONS.items()]
    report.add("Definitions", Table([], rows, numbers=False), Text(DEFINITIONS))
    report.add("Environment", describe_environment(_find_card(summary, folder)))
    report.add("Repeat it", *_describe_repetition(summary, folder))
    if others := [name for name, model in summary.models.items() if not model.runs]:
        text = f"The counts of {', '.join(others)} come from a table and are not part of that."
        report.add("Other programs", Text(text))
    return report


def _describe_training(summary: ComparisonSummary, folder: Path) -> list[Block]:
    """List what the models were trained on, from the first run that is there."""
    run = next((run for run in summary.list_runs(folder) if run.is_there), None)
    if run is None:
        return []
    rows = describe_data(run.read_config(), list(iter_events(run)))
    return [Table([], rows, numbers=False), Text("As the first run wrote it down.")]


def _find_card(summary: ComparisonSummary, folder: Path) -> Card | None:
    """Card of a model that was trained here, for the versions that trained it."""
    runs = summary.list_runs(folder)
    return next((read_card(run.model) for run in runs if run.model.is_file()), None)


def _describe_repetition(summary: ComparisonSummary, folder: Path) -> list[Block]:
    """Give the command that makes the comparison again, and its settings."""
    file = folder / CONFIG
    if file.is_file():
        command = ["pixelwise", "compare", str(file.absolute()), "--out", "again"]
        text = ComparisonConfig.read(file).to_yaml()
        return [Code(shlex.join(command)), Code(text, f"All settings, {CONFIG}")]
    runs = [str(run.path.absolute()) for run in summary.list_runs(folder)]
    return [Code(shlex.join(["pixelwise", "compare", *runs, "--out", "again"]))]
