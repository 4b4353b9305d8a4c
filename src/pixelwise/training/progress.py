"""Where a training run stands: the numbers that, with its config, decide all that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final

from pydantic import ConfigDict, Field, TypeAdapter

_Count = Annotated[int, Field(ge=0, lt=1 << 31)]
_AtLeastOne = Annotated[int, Field(ge=1, lt=1 << 31)]


@dataclass
class Progress:
    """Where a training run stands. An alias is the name of a field inside checkpoints.

    Attributes
    ----------
    epoch : int
        Epochs done.
    step : int
        Steps done in the current epoch.
    loss_sum : float
        Sum of the loss over the patches of these steps, without skipped ones.
    best_score : float or None
        Best value of the monitored score.
    best_epoch : int or None
        Its epoch, counted from 1; 0 is the model that training started from.
    start_score : float or None
        The monitored score of the model that training started from, with ``keep_start``.
    epochs_without_improvement : int
        Epochs since the best one.
    plateau_best : float or None
        Lowest validation loss, for the schedule "plateau".
    epochs_on_plateau : int
        Epochs since then, or since the rate was last cut.
    plateau_factor : float
        What "plateau" multiplies the learning rate by.
    data : dict of str to str
        Fingerprint of each image with its mask and its part of the split, and of the classes.
    normalization : dict
        Fields of the `Normalization`, which may come from a model that is no longer there.
    arithmetic : dict of str to str
        What the last bits depend on beside config and data.
    settings : dict
        The config in use, without the place of the run; empty in checkpoints of older versions.
    patch_size : (int, int) or None
        Height and width of the patches, which may follow from the device.
    batch_size : int or None
        Patches per step; None before the first step.
    micro_batches, validation_micro_batches : int
        How many micro-batches a batch is computed in; more than one where memory ran out.
    skipped, skipped_in_a_row : int
        Steps of the epoch, and the last steps, without a finite loss and gradient.
    seconds : float
        That the training has taken, where its time is limited.
    epochs : int or None
        Epochs in all, where they are planned by the time.
    epoch_steps : int or None
        Steps of the current epoch, if they are not one pass over all patches.
    earlier_steps : int
        Steps of the epochs before the current one; 0 in checkpoints of older versions.
    rollbacks : int
        How often training went back to the start of an epoch; each halves the learning rate.
    """

    epoch: _Count = 0
    step: _Count = 0
    loss_sum: float = 0.0
    best_score: float | None = None
    best_epoch: _Count | None = None
    start_score: float | None = None
    epochs_without_improvement: Annotated[_Count, Field(alias="waited")] = 0
    plateau_best: float | None = None
    epochs_on_plateau: Annotated[_Count, Field(alias="plateau_waited")] = 0
    plateau_factor: float = 1.0
    data: dict[str, str] = field(default_factory=dict)
    normalization: dict[str, Any] = field(default_factory=dict)
    arithmetic: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    patch_size: tuple[_AtLeastOne, _AtLeastOne] | None = None
    batch_size: _AtLeastOne | None = None
    micro_batches: Annotated[_AtLeastOne, Field(alias="parts")] = 1
    validation_micro_batches: Annotated[_AtLeastOne, Field(alias="validation_parts")] = 1
    skipped: _Count = 0
    skipped_in_a_row: _Count = 0
    seconds: float = 0.0
    epochs: _AtLeastOne | None = None
    epoch_steps: _AtLeastOne | None = None
    earlier_steps: _Count = 0
    rollbacks: Annotated[_Count, Field(alias="roll_backs")] = 0

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    @property
    def lr_scale(self) -> float:
        """What every learning rate is multiplied by, after rollbacks."""
        return 0.5**self.rollbacks

    def add_loss(self, loss: float) -> None:
        """Count the loss of a step, summed over its patches; one that is not finite was skipped."""
        if math.isfinite(loss):
            self.loss_sum += loss
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1

    def mean_loss(self, batch_size: int) -> float | None:
        """Mean loss over the patches of the epoch so far; None if every step was skipped."""
        patches = (self.step - self.skipped) * batch_size
        return self.loss_sum / patches if patches else None

    def begin_next_epoch(self, steps: int | None = None) -> None:
        """Count the current epoch as done; `steps` is how many the next one has, if planned."""
        self.earlier_steps += self.step
        self.epoch_steps = steps
        self.epoch, self.step, self.loss_sum, self.skipped = self.epoch + 1, 0, 0.0, 0

    def keep_lessons(self, fault: Progress) -> None:
        """Keep what must survive a rollback, from the progress that it discards."""
        self.rollbacks = fault.rollbacks + 1
        self.micro_batches = fault.micro_batches
        self.validation_micro_batches = fault.validation_micro_batches

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a checkpoint holds them."""
        found: dict[str, Any] = _ADAPTER.dump_python(self, by_alias=True)
        return found


_ADAPTER: Final = TypeAdapter(Progress)


def parse_progress(values: object) -> Progress:
    """Read what `Progress.to_dict` gave.

    Raises
    ------
    ValueError
        A value is impossible, or of a field that is unknown.
    """
    return _ADAPTER.validate_python(values)
