"""A training run between its first and last event: what the loop works with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pixelwise.events import Event
from pixelwise.runs import RunFolder
from pixelwise.training.reporting import LATER, Report
from pixelwise.training.saving import Saver
from pixelwise.training.state import TrainingState


@dataclass
class TrainingRun:
    """A training run: its state, its folder, and who saves and reports.

    Attributes
    ----------
    state : TrainingState
    saver : Saver
    notes : tuple of str
        What to warn of at the start.
    report : Report
    must_stop : bool
        Whether to stop as if the folder's `stop_request` were there.
    """

    state: TrainingState
    saver: Saver
    notes: tuple[str, ...] = ()
    report: Report = field(init=False)
    must_stop: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.report = Report(self.state, self.folder)
        self._started = time.perf_counter() - self.state.progress.seconds

    @property
    def seconds(self) -> float:
        """Seconds that the training has taken, those before it was interrupted as well."""
        return time.perf_counter() - self._started

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        return self.saver.folder

    def is_asked_to_stop(self) -> bool:
        """Whether somebody wants the run to stop."""
        return self.must_stop or self.folder.stop_request.exists()

    def must_save(self) -> bool:
        """Whether the last checkpoint is old, or from before the memory was full."""
        return self.report.has_memory_news or self.saver.is_due(self.state.config.save_minutes)

    def save(self, *, meanwhile: bool = False, then: str = LATER) -> Iterator[Event]:
        """Write a checkpoint, see `Saver.save_state`; a full disk does not end the run."""
        yield from self.report.memory()
        if self.state.config.minutes is not None and self.state.ranks.size == 1:
            self.state.progress.seconds = self.seconds
        yield from self.saver.save_state(self.state, meanwhile=meanwhile, then=then)
