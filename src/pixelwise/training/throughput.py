"""Throughput of a training run, and an estimate of the time that is left."""

from __future__ import annotations

import time

_REPORT_SECONDS = 0.5


class Throughput:
    """Times the steps of an epoch and the work that follows them.

    Nothing done before a run was resumed counts.
    """

    def __init__(self) -> None:
        self._after_steps = 0.0  # seconds of validation, previews and saving in the last epoch
        self.begin(0)

    def begin(self, step: int) -> None:
        """Start timing an epoch of which `step` steps are done already."""
        self._first_step = step
        self._started = self._reported = time.perf_counter()
        self._trained = 0.0

    def is_due(self) -> bool:
        """Whether the last report is old enough for another; if so, the clock starts again."""
        now = time.perf_counter()
        due = now - self._reported > _REPORT_SECONDS
        self._reported = now if due else self._reported
        return due

    def end_steps(self) -> None:
        """Mark the end of the epoch's steps."""
        self._trained = self.seconds

    def end(self) -> None:
        """Mark the end of the epoch."""
        self._after_steps = self.seconds - self._trained

    @property
    def longest_after_steps(self) -> float:
        """Seconds between the steps of two epochs: so far in this epoch, or all of the last one."""
        return max(self.seconds - self._trained, self._after_steps)

    @property
    def seconds(self) -> float:
        """Seconds since the epoch began."""
        return time.perf_counter() - self._started

    def per_second(self, step: int) -> float | None:
        """Give the steps per second up to a step; None if this process did none of them."""
        done = step - self._first_step
        return done / (self._trained or self.seconds) if done else None

    def seconds_left(self, step: int, *, steps: int, epochs: int) -> float | None:
        """Estimate the time for the `steps` and the ends of `epochs` that follow a step."""
        rate = self.per_second(step)
        return None if rate is None else steps / rate + epochs * self._after_steps
