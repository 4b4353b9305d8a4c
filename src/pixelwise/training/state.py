"""The state of a training run on its device: the one owner of all that training changes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from pixelwise.config import TrainConfig
from pixelwise.errors import ConfigError
from pixelwise.training.checkpoints import Checkpoint, Content, Stateful, collect
from pixelwise.training.compute import describe_arithmetic
from pixelwise.training.distributed import Ranks, join_ranks
from pixelwise.training.early_stopping import is_patience_over
from pixelwise.training.memory import choose_batch_size, least_patches
from pixelwise.training.optimizers import Schedule, create_optimizer
from pixelwise.training.prefetch import Prefetcher, make_resident
from pixelwise.training.progress import Progress
from pixelwise.training.running_stats import RunningStats
from pixelwise.training.setup import Setup
from pixelwise.training.sync_batch_norm import synchronize_batch_norms
from pixelwise.training.weight_average import WeightAverage

_AVERAGE = "training.weight_average"  # a setting that older versions did not have
_SHORTEST_EPOCH = 20  # steps that "auto" gives few patches; one step each would be a short training


class TrainingState:
    """Network, optimiser, statistics, averages and progress; there is no other copy of them.

    Parameters
    ----------
    setup : Setup
    ranks : Ranks, optional
        The processes of this training run; found out if not given.
    batch_size : int, optional
        What an earlier part of the run used, where the config says "auto".

    Attributes
    ----------
    progress : Progress
        Replaced as a whole by `restore`.
    network, optimizer
        Set up for the device, the precision and the other processes.
    local_network : Module
        The same network without the other processes, for validation and previews.
    trained : list of Parameter
        The weights that training changes.
    average : WeightAverage
        Of the network over the last steps: what is validated and saved as a model.
    batches : Prefetcher
    steps, batch_size : int
        Steps of an epoch, and patches of a step.
    """

    def __init__(
        self, setup: Setup, ranks: Ranks | None = None, *, batch_size: int | None = None
    ) -> None:
        self.setup, self.config = setup, setup.config.training
        self.ranks = ranks or join_ranks(setup.compute, deterministic=self.config.deterministic)
        self.fabric = self.ranks.fabric
        network = setup.network.to(self.fabric.device).to(memory_format=torch.channels_last)
        make_resident([setup.train, setup.validation], self.fabric.device)
        optimizer = create_optimizer(network.parameters(), self.config)
        self.average = WeightAverage(network, self.config.weight_average)
        self.wanted_batch_size = batch_size or self._choose_batch_size()
        if self.config.sync_batch_norm:
            synchronize_batch_norms(network, self.ranks)
        compiled = torch.compile(network) if self.config.compile else network
        self.local_network = cast("nn.Module", compiled)
        self.network, self.optimizer = self.fabric.setup(self.local_network, optimizer)
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.running_stats = RunningStats(network)
        self.least_patches = least_patches(network)
        self.batches = Prefetcher(
            setup.train,
            self.wanted_batch_size,
            seed=self.config.seed,
            shift=bool(setup.augmentation.config.strength("shift")),
            ranks=self.ranks,
        )
        self.batch_size = len(self.batches.draw(0)[0])
        self._require_patches_for_all()
        self.progress = Progress(
            data=setup.fingerprint,
            normalization=setup.card.normalization.model_dump(),
            arithmetic=describe_arithmetic(setup.compute, processes=self.ranks.size),
            settings=_list_settings(setup.config),
            patch_size=setup.card.patch_size,
            batch_size=self.batch_size,
            epoch_steps=self._choose_epoch_steps(),
        )
        self.follow_plan()

    def _choose_epoch_steps(self) -> int | None:
        """Choose the steps of an epoch for "auto"; None for one pass over all patches."""
        is_short = len(self.batches.draw(0)) < _SHORTEST_EPOCH
        return _SHORTEST_EPOCH if is_short and self.config.epoch_steps == "auto" else None

    def follow_plan(self) -> None:
        """Take over how many epochs there are, and how many steps the current one has."""
        planned = self.progress
        if planned.epochs is not None:
            self.config = self.config.model_copy(update={"epochs": planned.epochs})
        asked, by_time = self.config.epoch_steps, self.config.minutes is not None
        is_planned = by_time or asked == "auto"
        self.batches.limit(planned.epoch_steps if is_planned else _count_steps(asked))
        self.steps = len(self.batches.draw(planned.epoch))
        self._schedule = Schedule(self.config, self.steps)

    def _choose_batch_size(self) -> int:
        """Patches per step that the config asks for, or that fit."""
        if self.config.batch_size != "auto":
            return self.config.batch_size
        device = self.fabric.device
        sharing = 1 if device.type == "cuda" else self.ranks.neighbours
        found = choose_batch_size(self.setup, device, sharing=sharing)
        return min(self.ranks.least(found) * self.ranks.size, max(len(self.setup.train), 2))

    def _require_patches_for_all(self) -> None:
        """Refuse batches that leave a process too few patches."""
        size = self.ranks.size
        if size > 1 and self.batch_size // size < self.least_patches:
            raise ConfigError(
                f"{self.batch_size} patches a step are too few for {size} processes: each needs "
                f"{self.least_patches}. Take a larger --batch-size, more images, or fewer "
                "processes."
            )

    @property
    def _stateful(self) -> dict[str, Stateful]:
        """What a checkpoint holds beside the network and the progress."""
        # fp16's loss scaling changes from step to step; other precisions have no state
        return {
            "optimizer": self.optimizer,
            "precision": self.fabric.strategy.precision,
            "average": self.average,
        }

    def collect(self) -> Content:
        """Put a checkpoint together; its tensors are not copied."""
        return collect(self.setup.network, self._stateful, progress=self.progress)

    def restore(self, checkpoint: Checkpoint) -> Progress:
        """Go back to a checkpoint; gives the progress that it replaces."""
        replaced = self.progress
        self.progress = checkpoint.restore(self.setup.network, self._stateful)
        if not checkpoint.parts["average"] and _AVERAGE in self.progress.settings:
            self.average.restart()  # it was off until now
        elif not checkpoint.parts["average"]:
            self.average.switch_off()
        if self.ranks.size > 1:
            self.progress.micro_batches = 1  # each process has a part of the batch already
        self.running_stats.remember()
        self.follow_plan()
        return replaced

    @property
    def steps_done(self) -> int:
        """Steps of all epochs so far."""
        progress = self.progress
        return (progress.earlier_steps or progress.epoch * self.steps) + progress.step

    @property
    def is_over(self) -> bool:
        """Whether the run has finished, or early stopping ends it."""
        is_out_of_patience = is_patience_over(self.progress, self.config)
        return self.has_finished or is_out_of_patience

    @property
    def has_finished(self) -> bool:
        """Whether all epochs are done, or the time is used up; one epoch is done in any case."""
        progress, minutes = self.progress, self.config.minutes
        is_late = minutes is not None and progress.seconds >= minutes * 60
        return progress.epoch >= self.config.epochs or (is_late and progress.epoch > 0)

    @property
    def must_score_start(self) -> bool:
        """Whether the model that training starts from is to be kept, and has no score yet."""
        progress = self.progress
        is_start = progress.epoch == progress.step == 0 and progress.start_score is None
        return is_start and self.config.keep_start is not None

    @property
    def has_steps_left(self) -> bool:
        """Whether the current epoch has steps left."""
        return self.progress.step < self.steps

    def batches_left(self) -> list[list[int]]:
        """Numbers of the patches of each step that is left of the current epoch."""
        return self.batches.draw(self.progress.epoch)[self.progress.step :]

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step of the current epoch."""
        progress = self.progress
        number = progress.epoch * self.steps + step
        return self._schedule.rate(number, factor=progress.plateau_factor) * progress.lr_scale


def _count_steps(asked: str | int) -> int | None:
    """Give the steps of an epoch if they are a number; None for one pass over all patches."""
    return None if isinstance(asked, str) else asked


def _list_settings(config: TrainConfig) -> dict[str, Any]:
    """Fields of a config with their sections, without the place of the run, as a flat mapping."""
    fields: dict[str, Any] = {}
    for name, value in config.make_absolute().model_dump(mode="json", exclude={"run"}).items():
        inner = value if isinstance(value, dict) else {"": value}
        fields |= {f"{name}.{field}".rstrip("."): item for field, item in inner.items()}
    return fields
