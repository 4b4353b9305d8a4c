"""Trainings with a time budget: how many epochs fit into it, and how many steps each has.

The number of epochs is planned at the start, so that validation takes a small share of the time:
from the speed of a few steps, which are then undone. After each epoch the time that is left gives
the steps of the next one. Both are part of the progress: a run that was interrupted ends its epoch
as planned, in the same bits; how long the next one is depends on the clock, as always.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from statistics import median
from typing import Final

from torch import Tensor

from pixelwise.training.checkpoints import Checkpoint, copy_to_host
from pixelwise.training.progress import parse_progress
from pixelwise.training.state import TrainingState
from pixelwise.training.training_run import TrainingRun
from pixelwise.training.validation import validate

_PROBED: Final = 5  # steps
_PROBE_SHARE: Final = 0.1  # of the time, after which two steps are enough
_SHARES: Final = 0.15, 0.3
"""Of the time, for validation: usually, and at most, so that there are a few epochs."""
_FEW_EPOCHS: Final = 3
_LEAST_STEPS: Final = 5  # of an epoch, while there is time


def plan_epochs(run: TrainingRun, train_step: Callable[[TrainingState, list[int]], Tensor]) -> None:
    """Plan how many epochs a run has, and the steps of its first, from the speed of a few steps.

    Parameters
    ----------
    run : TrainingRun
        At its start; its state is the same afterwards, but for what it learned about memory.
    train_step : callable
        `loop.train_step`.
    """
    state = run.state
    kept = copy_to_host(state.collect())
    step, validation = _time_steps(run, train_step), _time_validation(state)
    probed, before = state.progress, parse_progress(kept["progress"])
    state.restore(Checkpoint(run.folder.state, kept["parts"], before))
    state.progress.micro_batches = probed.micro_batches
    state.progress.validation_micro_batches = probed.validation_micro_batches
    left = max(_budget(state) - run.seconds, 0)
    usual, most = (int(share * left / max(validation, 1e-3)) for share in _SHARES)
    usual = min(usual, int(left / (_LEAST_STEPS * step + validation)))
    wanted = max(usual, min(most, _FEW_EPOCHS), 1)
    epochs = state.ranks.least(min(wanted, state.config.epochs))
    state.progress.epochs = epochs
    state.progress.epoch_steps = _agree(state, (left / epochs - validation) / step)
    state.follow_plan()


def _time_steps(
    run: TrainingRun, train_step: Callable[[TrainingState, list[int]], Tensor]
) -> float:
    """Take a few steps; gives the seconds of one. The first is slower than all others."""
    state, seconds = run.state, list[float]()
    for numbers in (state.batches_left() * _PROBED)[:_PROBED]:
        started = time.perf_counter()
        float(train_step(state, numbers))  # waits for the device
        seconds.append(time.perf_counter() - started)
        state.progress.step = (state.progress.step + 1) % state.steps
        is_enough = len(seconds) > 1 and run.seconds > _PROBE_SHARE * _budget(state)
        if state.ranks.decide(is_enough or run.is_asked_to_stop()):
            break
    return median(seconds[1:] or seconds)


def plan_next_epoch(run: TrainingRun) -> int | None:
    """Give the steps of the next epoch, as many as the time left allows; None without a limit.

    Where not even a step fits into each of the epochs that are left, there will be fewer. All
    processes agree on the time, and so on whether it is over.
    """
    state, throughput = run.state, run.report.throughput
    progress, rate = state.progress, throughput.per_second(state.progress.step)
    if state.config.minutes is None:
        return progress.epoch_steps
    progress.seconds = state.ranks.broadcast(lambda: run.seconds)
    planned = state.config.epochs - progress.epoch - 1
    if rate is None or not planned:
        return progress.epoch_steps
    left, others = max(_budget(state) - progress.seconds, 0), throughput.longest_after_steps
    epochs = state.ranks.least(max(min(planned, int(left / (others + 1 / rate))), 1))
    progress.epochs = progress.epoch + 1 + epochs
    return _agree(state, (left / epochs - others) * rate)


def _agree(state: TrainingState, steps: float) -> int:
    """Whole number of steps, at least one, the same in all processes."""
    return state.ranks.least(max(int(steps), 1))


def _budget(state: TrainingState) -> float:
    """Seconds that the training has."""
    return 60 * (state.config.minutes or 0.0)


def _time_validation(state: TrainingState) -> float:
    """Estimate the seconds of a validation from two of its batches."""
    rounds, asked = -(-len(state.setup.validation) // state.wanted_batch_size), count()
    started = time.perf_counter()
    validate(state, lambda: next(asked) >= 2)
    return (time.perf_counter() - started) * max(rounds / 2 / state.ranks.size, 1)
