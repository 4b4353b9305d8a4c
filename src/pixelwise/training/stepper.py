"""One step of training or validation on a device.

Whatever is random in a step is seeded by (seed, epoch, step), so that a training that was
interrupted goes on exactly as it would have. Nothing here waits for the device: losses and counts
stay there until somebody reads them. That holds for faults too: a step whose loss or gradient is
not finite changes nothing, which the device decides by itself.

Of several processes each computes its part of a batch, see `ranks`.

When the device's memory is full, a batch is computed in parts. The loss is that of the whole batch,
and so is its gradient, up to rounding: it is derived at the joined logits first, and then carried
back part by part. Only batch normalisation sees the parts, each with its own statistics. A batch's
images, logits and loss must fit as a whole; a validation computes these in parts as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar, cast

import numpy as np
import torch
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor, nn

from pixelwise.classes import VOID
from pixelwise.errors import BudgetError, ConfigError, is_memory_error, quote
from pixelwise.models.devices import free_cache
from pixelwise.scores import Scores, create_scores
from pixelwise.training.batch_rng import BatchRng
from pixelwise.training.batches import Feeder, draw_seeds, iter_scored, make_resident
from pixelwise.training.checkpoints import Progress, State, Stateful
from pixelwise.training.distributed import Ranks, join_ranks
from pixelwise.training.losses import JoinedLoss
from pixelwise.training.memory import (
    choose_batch_size,
    divide,
    explain_full_memory,
    least_patches,
)
from pixelwise.training.optimizers import Schedule, create_optimizer
from pixelwise.training.running_stats import RunningStats
from pixelwise.training.setup import Setup
from pixelwise.training.store import Batch, PatchStore
from pixelwise.training.sync_batch_norm import synchronize_batch_norms

T = TypeVar("T")


@dataclass(frozen=True)
class Validation:
    """What a validation gives.

    Attributes
    ----------
    loss : float or None
        Mean over the patches that show an annotated pixel, of their batches' losses, whatever the
        parts that these are computed in; None when it is not finite.
    scores : Scores
        Over every annotated pixel of the validation images, each once.
    """

    loss: float | None
    scores: Scores

    def score(self, name: str) -> float | None:
        """Loss or a score by its name."""
        return self.loss if name == "loss" else self.scores.summary()[name]


class Stepper:
    """Network and optimiser on their device.

    Parameters
    ----------
    setup : Setup
    ranks : Ranks, optional
        The processes of this training; found out if not given.
    batch_size : int, optional
        What an earlier part of the training used, where the config says "auto".

    Attributes
    ----------
    steps, batch_size : int
        Steps of an epoch, and patches of a step.
    parts, validation_parts : int
        How many parts a batch is computed in; doubled whenever the memory is full.
    damping : float
        What every learning rate is multiplied by, after numbers that were not finite.
    """

    def __init__(
        self, setup: Setup, ranks: Ranks | None = None, *, batch_size: int | None = None
    ) -> None:
        self.setup = setup
        self.config = setup.config.training
        self.ranks = ranks or join_ranks(setup.compute, deterministic=self.config.deterministic)
        self.fabric = self.ranks.fabric
        network = setup.network.to(self.fabric.device).to(memory_format=torch.channels_last)
        make_resident([setup.train, setup.validation], self.fabric.device)
        optimizer = create_optimizer(network.parameters(), self.config)
        self._wanted = batch_size or self._choose_batch_size()
        if self.config.sync_batch_norm:
            synchronize_batch_norms(network, self.ranks)
        # what is validated and shown, by each process for itself; the other one talks to the others
        self._own = cast("nn.Module", torch.compile(network) if self.config.compile else network)
        self.network, self.optimizer = self.fabric.setup(self._own, optimizer)
        self._trained = [p for p in network.parameters() if p.requires_grad]
        self._buffers = RunningStats(network)
        self.parts = self.validation_parts = 1
        self.damping = 1.0
        self._least = least_patches(network)
        self.feeder = Feeder(
            setup.train,
            self._wanted,
            seed=self.config.seed,
            shift=bool(setup.augmentation.config.strength("shift")),
            ranks=self.ranks,
        )
        batches = self.draw_batches(0)
        self.steps, self.batch_size = len(batches), len(batches[0])
        self.schedule = Schedule(self.config, self.steps)
        self._require_patches_for_all()

    def _choose_batch_size(self) -> int:
        """Patches per step that the config asks for, or that fit."""
        if self.config.batch_size != "auto":
            return self.config.batch_size
        device = self.fabric.device
        sharing = 1 if device.type == "cuda" else self.ranks.neighbours
        found = choose_batch_size(self.setup, device, sharing=sharing)
        return min(self.ranks.least(found) * self.ranks.size, max(len(self.setup.train), 2))

    def _require_patches_for_all(self) -> None:
        """Refuse batches of which a process would get too few patches."""
        size = self.ranks.size
        if size > 1 and self.batch_size // size < self._least:
            raise ConfigError(
                f"{self.batch_size} patches a step are too few for {size} processes: each needs "
                f"{self._least}. Take a larger --batch-size, more images, or fewer processes."
            )

    @property
    def others(self) -> dict[str, Stateful]:
        """What a checkpoint holds beside the network."""
        # a loss scaling of fp16 changes from step to step; other precisions have no state
        return {"optimizer": self.optimizer, "precision": self.fabric.strategy.precision}

    def restore(self, state: State) -> Progress:
        """Go back to a state; gives where it stands."""
        progress = state.restore(self.setup.network, self.others)
        self._buffers.remember()
        self.resume_at(progress)
        return progress

    def resume_at(self, progress: Progress) -> None:
        """Take over what a training has learned about memory and rates."""
        if self.ranks.size > 1:
            progress.parts = 1  # each process has a part already
        self.parts, self.validation_parts = progress.parts, progress.validation_parts
        self.damping = progress.damping

    def draw_batches(self, epoch: int) -> list[list[int]]:
        """Numbers of the patches of each step of an epoch."""
        return self.feeder.draw(epoch)

    def rate(self, epoch: int, step: int, *, factor: float) -> float:
        """Learning rate of a step; `factor` is what the schedule "plateau" has come down to."""
        return self.schedule.rate(epoch * self.steps + step, factor=factor) * self.damping

    def train(self, numbers: list[int], *, epoch: int, step: int, factor: float) -> Tensor:
        """Train on one batch; gives the sum of its loss over patches, on the device.

        If loss or gradient are not finite, weights, optimiser and statistics stay as they are, and
        it is NaN, but not for gradients that fp16's loss scaling may have made infinite. A step
        that runs out of memory is done again in more parts.

        Raises
        ------
        BudgetError
            Not even the smallest part fits the memory.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(epoch, step, factor=factor)
        while True:
            try:
                return self._step(numbers, epoch=epoch, step=step)
            except (RuntimeError, MemoryError) as error:
                if not is_memory_error(error):
                    raise
                said = quote(error)
            # outside of the handler, whose traceback holds on to the step's tensors
            self.optimizer.zero_grad(set_to_none=True)
            self._buffers.restore()
            self._require_one_process(len(numbers), said=said)
            self.parts = self._divide(self.parts, len(numbers), least=self._least, said=said)

    def _step(self, numbers: list[int], *, epoch: int, step: int) -> Tensor:
        """Read, augment, derive, and change the weights if all is finite."""
        augmentation_seed, seed, _ = draw_seeds(self.config.seed, epoch, step)
        generator = torch.Generator().manual_seed(augmentation_seed)
        batch = self.feeder.take(numbers, epoch=epoch, step=step)
        count = len(numbers)
        rng = BatchRng(generator, count, self.ranks.part(count))
        image, mask = self._augment(batch, rng)
        self.optimizer.zero_grad(set_to_none=True)
        derive = self._derive if self.parts == 1 else self._derive_in_parts
        loss = derive(image, mask, seed=seed + self.ranks.rank)
        gradients = [p.grad for p in self._trained if p.grad is not None]
        finite = torch.isfinite(loss) & torch.isfinite(torch.nn.utils.get_total_norm(gradients))
        result = torch.where(finite | self._may_overflow(), loss * count, torch.nan)
        self._buffers.undo_unless(finite)
        self._change_weights(finite)
        self._buffers.accept()  # nothing after the weights asks for memory
        return result

    def _derive(self, image: Tensor, mask: Tensor, *, seed: int) -> Tensor:
        """Loss of a batch; its gradient is left in the weights."""
        torch.manual_seed(seed)  # for dropout
        loss = self.setup.loss(self.network(image), mask, total=self.ranks.total)
        self.fabric.backward(loss)
        return loss.detach()

    def _derive_in_parts(self, image: Tensor, mask: Tensor, *, seed: int) -> Tensor:
        """As `_derive`, holding the activations of one part at a time, for a second forward pass.

        The loss is not a sum over patches (Dice's is a ratio over the batch), so its gradient with
        respect to all logits comes first (as in GradCache, Gao et al. 2021).
        """
        images = image.tensor_split(self.parts)
        with torch.no_grad():
            outputs = [self._forward(part, seed + k) for k, part in enumerate(images)]
        heads = [torch.cat(head).requires_grad_() for head in zip(*outputs, strict=True)]
        loss = self.setup.loss(heads[0] if len(heads) == 1 else tuple(heads), mask)
        gradients = torch.autograd.grad(loss, heads)
        self._buffers.restore()  # the first pass has moved the running statistics
        slices = zip(*(gradient.tensor_split(self.parts) for gradient in gradients), strict=True)
        for k, (part, wanted) in enumerate(zip(images, slices, strict=True)):
            found = self._forward(part, seed + k)
            total = [(a * b).sum() for a, b in zip(found, wanted, strict=True)]
            self.fabric.backward(torch.stack(total).sum())
        return loss.detach()

    def _forward(self, image: Tensor, seed: int) -> tuple[Tensor, ...]:
        """Logits of each head, with a dropout of their own."""
        torch.manual_seed(seed)
        output = self.network(image)
        return output if isinstance(output, tuple) else (output,)

    def _may_overflow(self) -> Tensor | bool:
        """Whether gradients may be infinite because fp16's loss scaling has scaled them up.

        It skips such steps by itself, and halves its scale.
        """
        if self.setup.compute.precision != "fp16":
            return False
        scaler = cast("MixedPrecision", self.fabric.strategy.precision).scaler
        assert scaler is not None  # noqa: S101  fp16 has one
        scale: Tensor = scaler.scale(torch.ones((), device=self.fabric.device))
        return scale > 1

    def _change_weights(self, finite: Tensor) -> None:
        """Let the optimiser take its step, or not, without waiting to know which."""
        if self.setup.compute.precision != "fp16":  # its loss scaling does the same by itself
            if finite.device.type == "mps":  # whose fused optimisers read the flag on the host
                if not bool(finite):
                    return
            else:
                fused = self.optimizer.optimizer
                fused.grad_scale, fused.found_inf = None, (~finite).float()
        self.optimizer.step()

    def _require_one_process(self, patches: int, *, said: str) -> None:
        """Refuse to compute a step again where other processes are waiting inside it."""
        if self.ranks.size > 1:
            raise BudgetError(
                f"The memory of {self.fabric.device} is full: {patches} patches a step are too "
                f"many for {self.ranks.size} processes. Resume with more processes, or start a new "
                f"run with a smaller --batch-size or --size. {said}"
            )

    def _divide(self, parts: int, patches: int, *, least: int, said: str) -> int:
        """More and smaller parts, after the memory ran out."""
        device = self.fabric.device
        free_cache(device)
        more = divide(parts, patches, least=least)
        if more is None:
            raise explain_full_memory(self.setup, device, least=least, said=said)
        return more

    @torch.inference_mode()
    def validate(self, must_stop: Callable[[], bool] = lambda: False) -> Validation | None:
        """Score the network on all that is annotated in the validation images.

        None if `must_stop`, which is asked before each batch, says so in the first process.
        """
        self.ranks.align(list(self.setup.network.buffers()))
        store, classes = self.setup.validation, len(self.setup.card.classes)
        counts = torch.zeros(classes * classes, dtype=torch.int64, device=self.fabric.device)
        loss_sum = torch.zeros((), device=self.fabric.device)
        rounds = -(-len(store) // (self._wanted * self.ranks.size))
        with self._evaluating(), closing(iter_scored(store, self._wanted, self.ranks)) as batches:
            for _ in range(rounds):
                if self.ranks.decide(must_stop()):
                    return None
                for batch in islice(batches, 1):  # in the last round, some processes have none
                    batch_loss, found = self._in_parts(self._score, batch)
                    loss_sum += batch_loss * len(batch.mask)
                    counts += found
        loss = float(self.ranks.total(loss_sum)) / len(store)
        matrix = self.ranks.total(counts).reshape(classes, classes).cpu().numpy()
        card = self.setup.card
        scores = create_scores(matrix, card.class_names, background=card.background)
        return Validation(loss if np.isfinite(loss) else None, scores)

    @torch.inference_mode()
    def predict(self, store: PatchStore, numbers: list[int]) -> list[np.ndarray]:
        """Labels (Y, X) of a few patches."""
        with self._evaluating():
            labels = self._in_parts(self._label, store.read(numbers))
        return list(labels.to(torch.uint8).cpu().numpy())

    def _in_parts(self, compute: Callable[[list[Batch]], T], batch: Batch) -> T:
        """Compute something of a batch, in as many parts as the memory asks for.

        Of several processes each validates whole batches, but takes no more patches at a time than
        it trains on.
        """
        count = len(batch.mask)
        while True:
            parts = min(max(self.validation_parts, self.ranks.size), count)
            try:
                return compute(batch.split(parts))
            except (RuntimeError, MemoryError) as error:
                if not is_memory_error(error):
                    raise
                said = quote(error)
            self.validation_parts = self._divide(parts, count, least=1, said=said)

    def _score(self, parts: list[Batch]) -> tuple[Tensor, Tensor]:
        """Loss of a batch, which does not depend on its parts, and its confusion counts."""
        joined, counts = JoinedLoss(self.setup.loss), []
        for part in parts:
            logits, mask = self._evaluate(part)
            loss = joined.add(logits, mask)
            counts.append(_count_confusion(mask, logits))
        return loss, torch.stack(counts).sum(dim=0)

    def _label(self, parts: list[Batch]) -> Tensor:
        """Class (N, Y, X) of each pixel of a batch."""
        return torch.cat([self._evaluate(part)[0].argmax(dim=1) for part in parts])

    def _evaluate(self, read: Batch) -> tuple[Tensor, Tensor]:
        """Logits and masks of patches, on the device."""
        batch = read.to(self.fabric.device)
        with self.fabric.autocast():
            logits: Tensor = self._own(_normalize(batch))
        return logits, batch.mask

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Batch normalisation and dropout as in prediction; back to training afterwards."""
        self.network.eval()
        try:
            yield
        finally:
            self.network.train()

    def _augment(self, batch: Batch, rng: BatchRng) -> tuple[Tensor, Tensor]:
        """Cast, augment and normalise a training batch on the device."""
        batch = batch.to(self.fabric.device)
        augmentation = self.setup.augmentation
        image, mask = augmentation.change_geometry(batch.image.float(), batch.mask, rng)
        image = augmentation.change_stains(image, rng)
        image = augmentation.change_intensities((image - batch.offset) / batch.scale, rng)
        return image.contiguous(memory_format=torch.channels_last), mask


def _normalize(batch: Batch) -> Tensor:
    """Network input (N, C, Y, X) of a batch."""
    image = (batch.image.float() - batch.offset) / batch.scale
    return image.contiguous(memory_format=torch.channels_last)


def _count_confusion(mask: Tensor, logits: Tensor) -> Tensor:
    """Confusion counts (C * C,), truth first, of masks (N, Y, X) and logits (N, C, Y, X)."""
    classes = logits.shape[1]
    pairs = mask.long() * classes + logits.argmax(dim=1)
    # One more place for void: to pick out the others, or bincount, would wait for the device.
    places = torch.where(mask == VOID, classes * classes, pairs).flatten()
    counts = torch.zeros(classes * classes + 1, dtype=torch.int64, device=mask.device)
    return counts.scatter_add_(0, places, torch.ones_like(places))[:-1]
