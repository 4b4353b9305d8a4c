"""Trainings by the minute: planned by the speed, kept, and resumed as they were planned."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pixelwise.config import TrainConfig
from pixelwise.errors import ConfigError, RunError
from pixelwise.events import EpochEnded, RunEnded, RunStarted, StepsDone
from pixelwise.runs import RunFolder, request_stop
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


@pytest.mark.parametrize(("seconds", "epochs"), [(13.0, 2), (40.0, 1)])
def test_long_validations_leave_the_time_to_the_steps(
    discs: Path,
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    epochs: int,
) -> None:
    validate = loop.validate

    def validate_for_long(*given: Any) -> Any:
        clock.now += seconds - 3
        return validate(*given)

    monkeypatch.setattr(loop, "validate", validate_for_long)
    monkeypatch.setattr(time_budget, "validate", validate_for_long)
    list(fit(limit(discs, tmp_path / "run", 2)))
    found = read_epochs(RunFolder(tmp_path / "run"))
    assert len(found) == epochs
    steps = read_state(tmp_path / "run")["progress"]["earlier_steps"]
    probed = 5 * 2.0 + seconds
    assert 2 * steps > 0.9 * (120 - probed - seconds * epochs), "all the time that is left"


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


@pytest.mark.parametrize("minutes", [0.001, 0.3])
def test_a_budget_that_is_too_small_still_gives_an_epoch(
    discs: Path, tmp_path: Path, clock: Clock, minutes: float
) -> None:
    began = clock.now
    events = list(fit(limit(discs, tmp_path / "run", minutes)))
    assert len(read_epochs(RunFolder(tmp_path / "run"))) >= 1
    assert isinstance(events[-1], RunEnded)
    assert events[-1].reason == "finished"
    assert events[-1].best_epoch
    assert clock.now - began < minutes * 60 + 30
    with pytest.raises(RunError, match=r"finished its .+--start-from"):
        list(resume(tmp_path / "run"))


def test_a_stop_is_heard_while_the_speed_is_measured(
    discs: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, taken = loop.train_step, []

    def train_and_ask(state: Any, numbers: Any) -> Any:
        taken.append(1)
        request_stop(RunFolder(tmp_path / "run"))
        return train(state, numbers)

    monkeypatch.setattr(loop, "train_step", train_and_ask)
    events = list(fit(limit(discs, tmp_path / "run", 10)))
    assert len(taken) == 1
    assert isinstance(events[-1], RunEnded)
    assert events[-1].reason == "stopped"


@pytest.mark.parametrize("stops_after", ["steps", "epoch"])
def test_a_budget_that_comes_later_is_kept_from_then_on(
    discs: Path, tmp_path: Path, clock: Clock, stops_after: str
) -> None:
    config = create_config(discs, tmp_path / "run", training={"epochs": 50})
    events = fit(config)
    wanted = EpochEnded if stops_after == "epoch" else StepsDone
    next(event for event in events if isinstance(event, wanted))
    events.close()
    run = RunFolder(config.run)
    text = run.config.read_text()
    assert "minutes: null" in text
    run.config.write_text(text.replace("minutes: null", "minutes: 1.0", 1))
    began = clock.now
    assert isinstance(list(resume(run.path))[-1], RunEnded)
    assert clock.now - began < 75
    assert 1 < len(read_epochs(run)) < 50


def test_steps_are_given_by_the_time_or_by_a_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave out one of minutes and epoch_steps"):
        create_config(tmp_path, tmp_path / "run", training={"minutes": 1, "epoch_steps": 5})
