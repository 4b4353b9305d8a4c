"""Trainings by the minute: planned by the speed, kept, and resumed as they were planned."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pixelwise.config import TrainConfig
from pixelwise.events import EpochEnded, RunEnded, RunStarted
from pixelwise.runs import RunFolder
from pixelwise.summaries import read_epochs, summarize_run
from pixelwise.training import loop, time_budget
from pixelwise.training.fit import fit, resume
from tests.training.conftest import assert_same_result, create_config, read_state


class Clock:
    """Time that passes by steps and validations alone."""

    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A machine on which a step takes 2 s, a validation of two batches 3 s."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock.perf_counter)
    train, validate = loop.train_step, loop.validate

    def train_slowly(*given: Any) -> Any:
        clock.now += 2.0
        return train(*given)

    def validate_slowly(*given: Any) -> Any:
        clock.now += 3.0
        return validate(*given)

    monkeypatch.setattr(loop, "train_step", train_slowly)
    monkeypatch.setattr(loop, "validate", validate_slowly)
    monkeypatch.setattr(time_budget, "validate", validate_slowly)
    return clock


def limit(discs: Path, run: Path, minutes: float, **training: Any) -> TrainConfig:
    chosen = {"minutes": minutes, "epochs": 50, "epoch_steps": "auto"} | training
    return create_config(discs, run, training=chosen)


@pytest.mark.parametrize("minutes", [2.0, 5.0])
def test_the_time_is_used_and_kept(
    discs: Path, tmp_path: Path, clock: Clock, minutes: float
) -> None:
    began = clock.now
    events = list(fit(limit(discs, tmp_path / "run", minutes)))
    taken = (clock.now - began) / 60
    assert 0.9 * minutes < taken < 1.05 * minutes
    started = next(event for event in events if isinstance(event, RunStarted))
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert [event.epochs for event in epochs] == [started.epochs] * started.epochs
    assert started.epochs == max(int(0.15 * (60 * minutes - 5 * 2 - 3) / 3), 3)
    assert epochs[-1].learning_rate < 0.1 * epochs[0].learning_rate  # the schedule came to its end
    assert isinstance(events[-1], RunEnded)
    assert events[-1].reason == "finished"
    summary = summarize_run(RunFolder(tmp_path / "run"))
    assert (summary.epoch, summary.epochs) == (started.epochs, started.epochs)


def test_a_machine_that_becomes_slow_gets_fewer_steps(
    discs: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, train = clock.now, loop.train_step

    def train_ever_slower(state: Any, numbers: Any) -> Any:
        clock.now += 2.0 * (state.progress.epoch > 0)
        return train(state, numbers)

    monkeypatch.setattr(loop, "train_step", train_ever_slower)
    list(fit(limit(discs, tmp_path / "run", 5)))
    assert 0.9 * 300 < clock.now - began < 1.1 * 300


def test_epochs_are_at_most_those_asked_for(discs: Path, tmp_path: Path, clock: Clock) -> None:
    list(fit(limit(discs, tmp_path / "run", 10, epochs=4)))
    assert len(read_epochs(RunFolder(tmp_path / "run"))) == 4


def test_the_probe_leaves_no_trace(discs: Path, tmp_path: Path, clock: Clock) -> None:
    """A training of as many steps by number has the same bits as one that was planned by time."""
    planned = limit(discs, tmp_path / "planned", 2)
    list(fit(planned))
    steps = read_state(planned.run)["progress"]["earlier_steps"]
    epochs = read_epochs(RunFolder(planned.run))
    first = steps // len(epochs)
    given = {"epochs": len(epochs), "epoch_steps": first}
    list(fit(create_config(discs, tmp_path / "given", training=given)))
    mine, other = (read_epochs(RunFolder(tmp_path / name)) for name in ("planned", "given"))
    assert mine[0].train_loss == other[0].train_loss
    assert mine[0].validation_loss == other[0].validation_loss


def test_a_run_that_was_interrupted_keeps_its_plan(
    discs: Path, tmp_path: Path, clock: Clock
) -> None:
    list(fit(limit(discs, tmp_path / "straight", 2)))
    config = limit(discs, tmp_path / "run", 2)
    events = fit(config)
    for event in events:
        if isinstance(event, EpochEnded) and event.epoch == 2:
            events.close()
            break
    clock.now += 10_000  # a night
    list(resume(config.run))
    assert_same_result(tmp_path / "straight", config.run)
