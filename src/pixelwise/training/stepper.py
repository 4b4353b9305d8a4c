"""One step of training or validation on a device.

Whatever is random in a step is seeded by (seed, epoch, step), so that a training that was
interrupted goes on exactly as it would have. Nothing here waits for the device: losses and counts
stay there until somebody reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from pixelwise.classes import VOID
from pixelwise.models.devices import Compute
from pixelwise.scores import Scores, create_scores
from pixelwise.training.batches import Feeder, draw_seeds, iter_scored, make_resident
from pixelwise.training.optimizers import Schedule, create_optimizer
from pixelwise.training.setup import Setup
from pixelwise.training.store import Batch, PatchStore


@dataclass(frozen=True)
class Validation:
    """What a validation gives.

    Attributes
    ----------
    loss : float or None
        Mean over the patches; None when it is not finite.
    scores : Scores
        Over every pixel of the validation images, each once.
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
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.config = setup.config.training
        self.fabric = _create_fabric(setup.compute, deterministic=self.config.deterministic)
        network = setup.network.to(memory_format=torch.channels_last)
        optimizer = create_optimizer(network.parameters(), self.config)
        compiled = torch.compile(network) if self.config.compile else network
        self.network, self.optimizer = self.fabric.setup(cast("nn.Module", compiled), optimizer)
        make_resident([setup.train, setup.validation], self.fabric.device)
        self.feeder = Feeder(
            setup.train,
            self.config.batch_size,
            seed=self.config.seed,
            shift=bool(setup.augmentation.config.strength("shift")),
            pin=self.fabric.device.type == "cuda",
        )
        batches = self.draw_batches(0)
        self.steps, self.batch_size = len(batches), len(batches[0])
        self.schedule = Schedule(self.config, self.steps)

    def draw_batches(self, epoch: int) -> list[list[int]]:
        """Numbers of the patches of each step of an epoch."""
        return self.feeder.draw(epoch)

    def rate(self, epoch: int, step: int, *, factor: float) -> float:
        """Learning rate of a step; `factor` is what the schedule "plateau" has come down to."""
        return self.schedule.rate(epoch * self.steps + step, factor=factor)

    def train(self, numbers: list[int], *, epoch: int, step: int, factor: float) -> Tensor:
        """Train on one batch; gives the sum of its loss over patches, on the device."""
        augmentation_seed, dropout_seed, _ = draw_seeds(self.config.seed, epoch, step)
        generator = torch.Generator().manual_seed(augmentation_seed)
        torch.manual_seed(dropout_seed)
        batch = self.feeder.take(numbers, epoch=epoch, step=step)
        image, mask = self._augment(batch, generator)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(epoch, step, factor=factor)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.setup.loss(self.network(image), mask)
        self.fabric.backward(loss)
        self.optimizer.step()
        return loss.detach() * len(numbers)

    @torch.inference_mode()
    def validate(self) -> Validation:
        """Score the network on all validation images."""
        store, classes = self.setup.validation, len(self.setup.card.classes)
        counts = torch.zeros(classes * classes, dtype=torch.int64, device=self.fabric.device)
        loss_sum = torch.zeros((), device=self.fabric.device)
        with self._evaluating():
            for read in iter_scored(store, self.config.batch_size):
                batch = read.to(self.fabric.device)
                logits = self.network(_normalize(batch))
                loss_sum += self.setup.loss(logits, batch.mask) * len(batch.mask)
                counts += _count_confusion(batch.mask, logits)
        loss = float(loss_sum) / len(store)
        matrix = counts.reshape(classes, classes).cpu().numpy()
        card = self.setup.card
        scores = create_scores(matrix, card.class_names, background=card.background)
        return Validation(loss if np.isfinite(loss) else None, scores)

    @torch.inference_mode()
    def predict(self, store: PatchStore, numbers: list[int]) -> list[np.ndarray]:
        """Labels (Y, X) of a few patches."""
        with self._evaluating():
            logits = self.network(_normalize(store.read(numbers).to(self.fabric.device)))
        return list(logits.argmax(dim=1).to(torch.uint8).cpu().numpy())

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Batch normalisation and dropout as in prediction; back to training afterwards."""
        self.network.eval()
        try:
            yield
        finally:
            self.network.train()

    def _augment(self, batch: Batch, generator: Generator) -> tuple[Tensor, Tensor]:
        """Cast, augment and normalise a training batch on the device."""
        batch = batch.to(self.fabric.device)
        augmentation = self.setup.augmentation
        image, mask = augmentation.change_geometry(batch.image.float(), batch.mask, generator)
        image = augmentation.change_stains(image, generator)
        image = augmentation.change_intensities((image - batch.offset) / batch.scale, generator)
        return image.contiguous(memory_format=torch.channels_last), mask


def _create_fabric(compute: Compute, *, deterministic: bool) -> Fabric:
    """Fabric on one device."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic  # every step has the same shapes
    cuda = compute.device.type == "cuda"
    return Fabric(
        accelerator=compute.device.type,
        devices=[compute.device.index or 0] if cuda else 1,
        precision=compute.fabric_precision,
    )


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
