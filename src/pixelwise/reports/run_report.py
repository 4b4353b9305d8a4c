"""The report of one training run: its data, curves, scores, best and worst images, settings."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from platform import platform, python_version

from pixelwise.cards import Card, read_card
from pixelwise.config import TrainConfig
from pixelwise.errors import PixelwiseError
from pixelwise.events import (
    EpochEnded,
    Event,
    RunEnded,
    RunFailed,
    RunStarted,
    Warned,
    describe_duration,
)
from pixelwise.figures import draw_confusion, draw_losses
from pixelwise.reports.page import Block, Code, Figure, Pictures, Report, Table, Text, embed_figure
from pixelwise.reports.scored_run import ScoredRun, score_run
from pixelwise.runs import RunFolder, iter_events, open_run
from pixelwise.scores import (
    MEAN_DEFINITIONS,
    SCORE_DEFINITIONS,
    SCORE_NAMES,
    SHOWN,
    describe_headline,
)
from pixelwise.summaries import keep_last, summarize_run

_ERRORS = (
    "In the last picture of each row, missed foreground is blue, background that was taken for "
    "foreground is orange, and foreground of another class is yellow."
)
_STATES = {
    "waiting": "has not begun",
    "training": "is still training",
    "finished": "has finished",
    "stopped": "was stopped",
    "no_progress": "ended because nothing improved any more",
    "failed": "failed",
    "interrupted": "was interrupted",
}


def report_run(path: Path) -> Report:
    """Collect the report of a training run, in any state.

    The model is scored anew on the images that were held out. Where that is not possible, because
    the data are not at hand or no epoch is over, the report says so.

    Raises
    ------
    ReadError
        There is no run.
    """
    run = open_run(path)
    config, events = run.read_config(), list(iter_events(run))
    card = read_card(run.model) if run.model.is_file() else None
    report = Report(f"Training run {run.path.absolute().name}", _sum_up(run, events))
    report.add("Trained on", *_describe_training(config, events))
    if epochs := keep_last(event for event in events if isinstance(event, EpochEnded)):
        curves = embed_figure(lambda file: draw_losses(epochs, file))
        report.add("Curves", Figure(curves, "Loss and scores after each epoch"))
    try:
        scored = score_run(run, config) if card is not None and epochs else None
        reason = "no epoch is over, so it has learnt nothing yet."
    except (PixelwiseError, OSError) as error:
        scored, reason = None, str(error)
    if scored is None:
        report.add("Scores", Text(f"The model was not scored for this report: {reason}"))
    else:
        _add_scores(report, scored)
    if warnings := [event.message for event in events if isinstance(event, Warned)]:
        report.add("Warnings", *(Text(message) for message in dict.fromkeys(warnings)))
    report.add("Environment", describe_environment(card))
    report.add("Repeat it", *_describe_repetition(run, config))
    return report


def describe_environment(card: Card | None) -> Table:
    """List what trained the model and what wrote the report."""
    rows = [[f"model: {name}", found] for name, found in (card.versions if card else {}).items()]
    here = [
        ["report: napari-pixelwise", version("napari-pixelwise")],
        ["report: Python", python_version()],
        ["report: system", platform()],
    ]
    return Table([], [*rows, *here], numbers=False)


def _sum_up(run: RunFolder, events: Sequence[Event]) -> str:
    """Say how the run stands, and how good its best epoch was."""
    found = summarize_run(run)
    text = f"{found.architecture}; the run {_STATES.get(found.state, found.state)}, after epoch "
    text += f"{found.epoch} of {found.epochs}."
    ended = [event for event in events if isinstance(event, RunEnded)]
    if ended:
        text += f" It took {describe_duration(sum(event.seconds for event in ended))}."
    if found.best_score is not None:
        text += (
            f" On the validation images, in patches, its best epoch had {found.monitor} "
            f"{found.best_score:.4f}."
        )
    return text


def describe_data(config: TrainConfig, events: Sequence[Event]) -> list[list[str]]:
    """List the data of a run with its split, classes and augmentation, from its last start."""
    event = _find_start(events)
    if event is None:
        return [["data", str(config.data.path)]]
    test = [] if config.data.test is None else [["test", str(config.data.test)]]
    return [
        ["data", event.data],
        ["training", f"{event.train_images} images in {event.train_patches} patches"],
        ["validation", f"{event.validation_images} images in {event.validation_patches} patches"],
        *test,
        ["classes", ", ".join(event.classes)],
        ["normalization", event.normalization],
        ["augmentation", event.augmentation or "none"],
    ]


def _find_start(events: Sequence[Event]) -> RunStarted | None:
    """Find the last start of a run."""
    return next((event for event in reversed(events) if isinstance(event, RunStarted)), None)


def _describe_training(config: TrainConfig, events: Sequence[Event]) -> list[Block]:
    """List what was trained on what, from the last start of the run."""
    rows, event = describe_data(config, events), _find_start(events)
    if event is None:
        rows.append(["network", config.model.name])
    else:
        batch = f"{event.batch_size or '?'} patches each"
        rows += [
            ["network", f"{event.architecture}, {event.parameters:,} parameters"],
            ["budget", f"{event.epochs} epochs of {event.steps or '?'} steps, {batch}"],
            ["device", f"{event.device} ({event.device_reason}), {event.precision}"],
        ]
    failed = [["error", event.message] for event in events if isinstance(event, RunFailed)]
    return [Table([], [*rows, *failed[-1:]], numbers=False)]


def _add_scores(report: Report, scored: ScoredRun) -> None:
    """Add the scores, the confusion matrix, and the best and worst images."""
    total = scored.evaluation.total
    report.headline, definition = describe_headline(total, f"scored on {scored.scored_on}")
    rows = [[name, *_cells(row.to_dict())] for name, row in total.rows().items()]
    explained = {**SCORE_DEFINITIONS, **MEAN_DEFINITIONS}
    report.add(
        "Scores",
        Text(f"{report.headline}: {definition}"),
        *(Text(note) for note in scored.evaluation.notes),
        Table(["class", *SCORE_NAMES], rows),
        Table([], [[name, text] for name, text in explained.items()], numbers=False),
        Text("Counts of all images are summed first and divided last; void is not counted."),
    )
    matrix = embed_figure(lambda file: draw_confusion(total.matrix, total.names, file))
    report.add("Confusion matrix", Figure(matrix, "Shares of each true class, in rows"))
    report.add(
        "Worst and best images",
        Text(_ERRORS),
        *(Pictures(title, pictures) for title, pictures in scored.pictures.items()),
    )
    images = [[name, *_cells(scores.summary())] for name, scores in scored.worst_first()]
    report.add("Each image, the worst first", Table(["image", *SHOWN], images))


def _cells(values: dict[str, float | None]) -> list[str]:
    """Scores as text; a dash where one is undefined."""
    return ["-" if value is None else f"{value:.4f}" for value in values.values()]


def _describe_repetition(run: RunFolder, config: TrainConfig) -> list[Block]:
    """Give the command that trains the same again, and the settings."""
    command = ["pixelwise", "train", str(run.config.absolute()), "--out", "again"]
    note = "The same version, machine and number of threads give the same bits."
    if config.training.minutes is not None:
        note = "A budget in minutes gives as many steps as the machine has time for."
    return [
        Code(shlex.join(command)),
        Text(note),
        Code(config.to_yaml(), "All settings, config.yaml"),
    ]
