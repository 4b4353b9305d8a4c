"""Optimisers by name, and the learning rate of every step as a pure function.

A rate depends on the step's number alone, so a resumed run needs no schedule state; only
"plateau" keeps a factor, which depends on the validation loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from pixelwise.config import TrainingConfig
from pixelwise.errors import require_name

PLATEAU_FACTOR = 0.1


def create_optimizer(
    parameters: Iterable[torch.nn.Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """Make the optimiser of a config: adamw, adam or sgd (with Nesterov's momentum).

    All its state is allocated at once, on the device of its parameters.

    Raises
    ------
    UnknownNameError
        There is no such optimiser.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = _create(trained, config)
    for parameter in trained:
        optimizer.state[parameter] |= _create_state(optimizer, parameter)
    return optimizer


def _create(trained: list[torch.nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """Make an optimiser without a state."""
    common: dict[str, Any] = {
        "lr": config.learning_rate,
        "weight_decay": config.weight_decay,
        "fused": True,
    }
    match require_name("optimizer", config.optimizer, ("adamw", "adam", "sgd")):
        case "adamw":
            return torch.optim.AdamW(trained, **common)
        case "adam":
            return torch.optim.Adam(trained, **common)
        case _:
            nesterov = config.momentum > 0
            return torch.optim.SGD(trained, momentum=config.momentum, nesterov=nesterov, **common)


def _create_state(
    optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter
) -> dict[str, torch.Tensor]:
    """Make the state that torch would make in a parameter's first step, and with the same values.

    In that step memory could run out and leave half a state behind. Fused SGD also allocates its
    momentum without initialising it, which a skipped step would leave behind.
    """
    if isinstance(optimizer, torch.optim.SGD):
        names = ["momentum_buffer"] if optimizer.defaults["momentum"] else []
        return {name: torch.zeros_like(parameter) for name in names}
    step = torch.zeros((), dtype=torch.float32, device=parameter.device)
    moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
    return {"step": step, **moments}


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every step.

    Attributes
    ----------
    config : TrainingConfig
    steps_per_epoch : int
    """

    config: TrainingConfig
    steps_per_epoch: int

    def rate(self, step: int, *, factor: float = 1.0) -> float:
        """Learning rate of a step, counted from 0 over all epochs.

        `factor` is what "plateau" has come down to; other schedules ignore it.
        """
        epoch = step / self.steps_per_epoch
        if self.config.schedule == "plateau":
            return max(self.config.learning_rate * factor, self.config.min_learning_rate)
        return SCHEDULES[self.config.schedule](epoch, self.config)


def constant(_epoch: float, config: TrainingConfig) -> float:
    """Rate that never changes."""
    return config.learning_rate


def cosine(epoch: float, config: TrainingConfig) -> float:
    """Linear warm-up, then half a cosine down to the lowest rate (Loshchilov & Hutter 2017)."""
    warmup = min(config.warmup_epochs, config.epochs / 2)
    if epoch < warmup:
        return _between(config, (epoch + 1e-3) / (warmup + 1e-3))
    share = (epoch - warmup) / (config.epochs - warmup)
    return _between(config, 0.5 + 0.5 * math.cos(math.pi * min(share, 1.0)))


def cyclic(epoch: float, config: TrainingConfig) -> float:
    """Triangle between the lowest and the highest rate (Smith 2017)."""
    phase = (epoch / config.cycle_epochs) % 1.0
    return _between(config, 1 - abs(2 * phase - 1))


def one_cycle(epoch: float, config: TrainingConfig) -> float:
    """Up to the highest rate over 30 % of the training, then down (Smith & Topin 2019)."""
    share = epoch / config.epochs
    if share < 0.3:
        return _between(config, 0.04 + 0.96 * (0.5 - 0.5 * math.cos(math.pi * share / 0.3)))
    return _between(config, 0.5 + 0.5 * math.cos(math.pi * (share - 0.3) / 0.7))


SCHEDULES: dict[str, Callable[[float, TrainingConfig], float]] = {
    "constant": constant,
    "cosine": cosine,
    "cyclic": cyclic,
    "one_cycle": one_cycle,
}


def _between(config: TrainingConfig, share: float) -> float:
    """Rate at a share of the way from the lowest to the highest."""
    low, high = config.min_learning_rate, config.learning_rate
    return low + (high - low) * share
