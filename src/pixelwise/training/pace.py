"""How fast a training goes, and when it will be over."""

from __future__ import annotations

import time

_REPORT_SECONDS = 0.5


class Pace:
    """The time that steps take, and what comes after an epoch's steps.

    Nothing that was done before a run was resumed counts.
    """

    def __init__(self) -> None:
        self._after = 0.0  # the steps of the last epoch: validation, previews, saving
        self.begin(0)

    def begin(self, step: int) -> None:
        """Begin an epoch, or go on with it after `step` of its steps."""
        self._first_step = step
        self._started = self._reported = time.perf_counter()
        self._trained = 0.0

    def is_due(self) -> bool:
        """Whether the last report is long enough ago."""
        now = time.perf_counter()
        due = now - self._reported > _REPORT_SECONDS
        self._reported = now if due else self._reported
        return due

    def end_steps(self) -> None:
        """Take note that the steps of the epoch are done."""
        self._trained = self.seconds

    def end(self) -> None:
        """Take note that all that comes after them is done, too."""
        self._after = self.seconds - self._trained

    @property
    def seconds(self) -> float:
        """Seconds of the epoch so far."""
        return time.perf_counter() - self._started

    def per_second(self, step: int) -> float | None:
        """Give the steps per second up to a step; None if none of them was done here."""
        done = step - self._first_step
        return done / (self._trained or self.seconds) if done else None

    def seconds_left(self, step: int, *, steps: int, epochs: int) -> float | None:
        """Tell the time for the `steps` and the ends of `epochs` that are left after a step."""
        pace = self.per_second(step)
        return None if pace is None else steps / pace + epochs * self._after
