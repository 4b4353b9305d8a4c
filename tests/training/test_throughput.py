from __future__ import annotations

import pytest

from pixelwise.training import throughput as throughput_module
from pixelwise.training.throughput import Throughput


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that have passed."""
    now = [100.0]
    monkeypatch.setattr(throughput_module.time, "perf_counter", lambda: now[0])
    return now


def test_time_left_counts_what_comes_after_the_steps(clock: list[float]) -> None:
    pace = Throughput()
    pace.begin(0)
    clock[0] += 2
    assert pace.per_second(10) == 5
    assert pace.seconds_left(10, steps=40, epochs=2) == 8, "no validation was seen yet"
    clock[0] += 2
    pace.end_steps()
    clock[0] += 3
    assert pace.per_second(20) == 5, "while it validates"
    assert pace.seconds == 7
    pace.end()
    pace.begin(0)
    clock[0] += 1
    assert pace.seconds_left(5, steps=15, epochs=1) == 15 / 5 + 3


def test_only_what_was_done_here_counts(clock: list[float]) -> None:
    pace = Throughput()
    pace.begin(30)
    clock[0] += 2
    assert pace.per_second(30) is None
    assert pace.seconds_left(30, steps=10, epochs=1) is None
    assert pace.per_second(34) == 2


def test_reports_are_due_twice_a_second(clock: list[float]) -> None:
    pace = Throughput()
    due = []
    for _ in range(8):
        clock[0] += 0.2
        due.append(pace.is_due())
    assert due == [False, False, True, False, False, True, False, False]
