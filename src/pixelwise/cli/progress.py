"""Output of a training run: a bar on a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.progress import BarColumn, Progress, TextColumn

from pixelwise.cli.console import drop_unwritten, echo, err, note, say
from pixelwise.events import (
    EpochEnded,
    Event,
    ModelSaved,
    PreviewsWritten,
    RunEnded,
    RunStarted,
    StepsDone,
    Warned,
)

_REASONS = {
    "finished": "Finished after {:.0f} s.",
    "stopped": "Stopped after {:.0f} s; 'pixelwise resume' continues.",
    "no_progress": "Stopped early, after {:.0f} s: no more progress.",
}


def show_events(events: Iterator[Event], *, as_json: bool = False) -> None:
    """Iterate over a training run and show its events.

    If the output cannot be written, e.g. to a full disk, training continues in silence; a closed
    pipe, e.g. after ``| head``, ends it.
    """
    drawing = nullcontext(_show_json) if as_json else _drawing_bar()
    try:
        with drawing as show:
            for event in events:
                try:
                    show(event)
                except BrokenPipeError:
                    raise
                except OSError as error:
                    show = _show_nothing
                    note(
                        f"Warning: nothing more can be printed ({error.strerror or error}). "
                        "Training continues; its events are in events.jsonl of the run folder."
                    )
    finally:
        drop_unwritten()


def _show_json(event: Event) -> None:
    echo(event.to_json())


def _show_nothing(_event: Event) -> None:
    pass


@contextmanager
def _drawing_bar() -> Iterator[Callable[[Event], None]]:
    """Show steps by a bar, where there is a terminal, and other events by lines."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[pace]}", markup=False),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("reading data", total=None, pace="")

        def show(event: Event) -> None:
            if isinstance(event, StepsDone):
                is_over = event.step == event.steps
                progress.update(
                    bar,
                    description=f"epoch {event.epoch}{', validation' if is_over else ''}",
                    completed=event.step,
                    total=event.steps,
                    pace=f"loss {_number(event.train_loss)}, {event.pace}",
                )
            elif (line := describe(event)) is not None:
                say(line)

        yield show


def describe(event: Event) -> str | None:
    """Describe an event in a line; None if it needs none."""
    match event:
        case RunStarted():
            return _describe_start(event)
        case EpochEnded():
            return _describe_epoch(event)
        case RunEnded():
            best = "" if event.best_epoch is None else (
                f" The model that it started from stays: {event.monitor} "
                f"{_number(event.best_score)}."
                if event.best_epoch == 0 else
                f" Best epoch {event.best_epoch}: {event.monitor} {_number(event.best_score)}."
            )  # fmt: skip
            return f"{_REASONS[event.reason].format(event.seconds)}{best} Model: {event.model}"
        case Warned():
            return f"Warning: {event.message}"
        case ModelSaved(reason="kept"):
            return f"Kept {event.path}"
        case ModelSaved() | PreviewsWritten():
            return None
        case _:
            note(event.to_json())
            return None


def _describe_start(event: RunStarted) -> str:
    return "\n".join((
        (f"{'Continuing' if event.resumed else 'Training'} {event.architecture} "
        f"({event.parameters:,} parameters), {len(event.classes)} classes: "
        f"{', '.join(event.classes)}"),
        f"on {event.device} ({event.device_reason}), {event.precision} ({event.precision_reason})",
        (f"with {event.train_images} images in {event.train_patches} patches; validation: "
        f"{event.validation_images} images in {event.validation_patches} patches; "
        f"{event.batch_size} per step{_name_processes(event.processes)}"),
        f"from {event.data}",
        f"normalised by {event.normalization}; augmented: {event.augmentation}",
        f"for {event.epochs} epochs of {event.steps} steps; run folder {event.run}",
    ))  # fmt: skip


def _name_processes(count: int) -> str:
    return f", in {count} processes" if count > 1 else ""


def _describe_epoch(event: EpochEnded) -> str:
    scores = ", ".join(f"{name} {_number(value)}" for name, value in event.scores.items())
    pace = event.patches_per_second
    return (
        f"epoch {event.epoch}/{event.epochs}: loss {_number(event.train_loss)}, validation "
        f"{_number(event.validation_loss)}, {scores}, "
        f"{'' if pace is None else f'{pace:.1f} patches/s, '}"
        f"{event.seconds:.0f} s{', best so far' if event.best else ''}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
