"""Status of a training run: progress, time left, device, how the data were read."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QProgressBar, QWidget

from pixelwise.events import EpochEnded, Event, RunEnded, RunFailed, RunStarted, StepsDone
from pixelwise.widgets.panel import Note, create_text, fill_column

_ENDS = {
    "finished": "Finished",
    "stopped": "Stopped and saved; Resume continues it",
    "no_progress": "Stopped early: no more progress",
}


class TrainingStatus(QWidget):
    """A progress bar and a text; another text, about the run, for its user to place.

    Attributes
    ----------
    progress : QProgressBar
    text, understood : Note, QLabel
        What happens now; device and data of the run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress = QProgressBar()
        self.text, self.understood = Note(), create_text()
        fill_column(self, self.progress, self.text)
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.progress.hide()
        self.text.setText("")
        self.understood.setText("")

    def begin(self) -> None:
        """Show that a run is followed, before its first event."""
        self.progress.setRange(0, 0)
        self.progress.show()
        self.text.setText("Starting…")
        self.understood.setText("")

    def show_events(self, events: Sequence[Event]) -> None:
        """Show the newest events of a run."""
        for event in events:
            if isinstance(event, RunStarted):
                self.understood.setText(_describe_start(event))
        newest = [event for event in events if isinstance(event, StepsDone | EpochEnded)]
        if newest and isinstance(newest[-1], StepsDone):
            self._show_steps(newest[-1])
        elif newest and isinstance(newest[-1], EpochEnded):
            self._show_epoch(newest[-1])

    def end(self, last: RunEnded | RunFailed | None) -> None:
        """Show how a run ended; None: its process is gone."""
        self.progress.hide()
        if isinstance(last, RunEnded):
            best = "" if last.best_score is None else f" Best {last.monitor} {last.best_score:.3f}."
            self.text.setText(f"{_ENDS[last.reason]}.{best}\n{last.model}")
        elif isinstance(last, RunFailed):
            self.text.setText(f"Failed: {last.message}")
        else:
            self.text.setText("The training process is gone; Resume continues the run.")

    def _show_steps(self, event: StepsDone) -> None:
        doing = "validation" if event.step == event.steps else "%p %"
        self._show_progress(event.step, event.steps, f"epoch {event.epoch}, {doing}")
        self.text.setText(event.pace)

    def _show_progress(self, value: int, most: int, text: str) -> None:
        """Show progress, painted with all else: Qt paints the window at once for a new value."""
        self.progress.setUpdatesEnabled(False)
        self.progress.setRange(0, most)
        self.progress.setValue(value)
        self.progress.setFormat(text)
        self.progress.setUpdatesEnabled(True)

    def _show_epoch(self, event: EpochEnded) -> None:
        self._show_progress(event.epoch, event.epochs, "epoch %v of %m")
        scores = ", ".join(f"{k} {v:.3f}" for k, v in event.scores.items() if v is not None)
        self.text.setText(f"epoch {event.epoch} of {event.epochs}: {scores}")


def _describe_start(event: RunStarted) -> str:
    plan = (
        f"\n{event.epochs} epochs of {event.steps} steps, {event.batch_size} patches in each\n"
        f"normalised by {event.normalization}; augmented: {event.augmentation}"
    )
    return (
        f"on {event.device} ({event.device_reason}), {event.precision} ({event.precision_reason})\n"
        f"{event.train_images} images in {event.train_patches} patches, {event.validation_images} "
        f"to validate on; {event.parameters:,} parameters\n{event.data}"
        f"{plan if event.augmentation else ''}"  # runs of older versions do not tell it
    )
