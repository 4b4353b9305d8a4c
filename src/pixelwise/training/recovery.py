"""Recovery from losses that are not finite: steps that change nothing, and rollbacks.

`micro_batches` recovers from memory that runs out, `saving` from disks that are full.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor

from pixelwise.errors import DivergedError
from pixelwise.events import Event
from pixelwise.training.progress import Progress
from pixelwise.training.reporting import warn
from pixelwise.training.state import TrainingState
from pixelwise.training.training_run import TrainingRun

_SKIPPED_IN_A_ROW = 3
_SKIPPED_IN_AN_EPOCH = 5
_ROLLBACKS = 3


def is_step_finite(state: TrainingState, loss: Tensor) -> Tensor:
    """Whether a loss and its gradient are finite: a flag that stays on the device."""
    gradients = [p.grad for p in state.trained if p.grad is not None]
    return torch.isfinite(loss) & torch.isfinite(torch.nn.utils.get_total_norm(gradients))


def may_overflow(state: TrainingState) -> Tensor | bool:
    """Whether fp16's loss scaling may have made the gradients infinite.

    It skips such steps by itself, and halves its scale.
    """
    if state.setup.compute.precision != "fp16":
        return False
    scaler = cast("MixedPrecision", state.fabric.strategy.precision).scaler
    assert scaler is not None  # noqa: S101  fp16 has one
    scale: Tensor = scaler.scale(torch.ones((), device=state.fabric.device))
    return scale > 1


def should_step(state: TrainingState, finite: Tensor) -> bool:
    """Arrange that the optimiser's step changes nothing unless a flag on the device is true.

    The host does not wait for the flag, but for Apple's GPUs, whose fused optimisers read it on
    the host: there it is the answer. fp16's loss scaling needs no help.
    """
    if state.setup.compute.precision == "fp16":
        return True
    if finite.device.type == "mps":
        return bool(finite)
    fused = state.optimizer.optimizer
    fused.grad_scale, fused.found_inf = None, (~finite).float()
    return True


def have_diverged(losses: list[Tensor], progress: Progress) -> bool:
    """Count the losses of the steps since the last look; True if too many are not finite.

    This waits for the device. Losses are counted one by one in their order, so the result does
    not depend on when they are read. The list is emptied.
    """
    read = torch.stack(losses).tolist() if losses else []
    losses.clear()
    for loss in read:
        progress.add_loss(loss)
        if _is_too_much(progress):
            return True
    return _is_too_much(progress)


def _is_too_much(progress: Progress) -> bool:
    """Whether so many steps were skipped that training cannot usefully continue."""
    return (
        progress.skipped_in_a_row >= _SKIPPED_IN_A_ROW or progress.skipped >= _SKIPPED_IN_AN_EPOCH
    )


def roll_back(run: TrainingRun, found: str) -> Iterator[Event]:
    """Go back to the start of the epoch, with half the learning rate.

    Parameters
    ----------
    found : str
        What was not finite, in words.

    Raises
    ------
    DivergedError
        Training went back too often already.
    """
    state, fault = run.state, run.state.progress
    if fault.rollbacks >= _ROLLBACKS:
        raise DivergedError(
            f"{found}, after {_ROLLBACKS} returns to an earlier state with half the learning "
            "rate each. Start a new run with a lower --learning-rate, another --loss, or "
            f"--precision fp32; the best model so far is {run.folder.model}, if it is there."
        )
    yield from run.saver.settle(then="")
    checkpoints = run.saver.checkpoints
    checkpoint = state.ranks.broadcast(lambda: checkpoints.load_start(state.setup.network))
    state.restore(checkpoint)
    state.progress.keep_lessons(fault)
    yield from map(warn, checkpoint.notes)
    yield from run.save()
    yield run.report.rolled_back(found)
