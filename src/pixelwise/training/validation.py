"""Validation of a training run: loss and scores on the validation images, and its predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from pixelwise.classes import VOID
from pixelwise.scores import Scores, create_scores
from pixelwise.training.batches import Batch
from pixelwise.training.losses import JoinedLoss
from pixelwise.training.micro_batches import compute_without_gradient
from pixelwise.training.prefetch import iter_scored
from pixelwise.training.state import TrainingState


@dataclass(frozen=True)
class Validation:
    """The result of a validation.

    Attributes
    ----------
    loss : float or None
        Mean of the batches' losses over the patches that show an annotated pixel, whatever
        micro-batches these are computed in; None if it is not finite.
    scores : Scores
        Over every annotated pixel of the validation images, each once.
    """

    loss: float | None
    scores: Scores

    def score(self, name: str) -> float | None:
        """Loss or a score by its name."""
        return self.loss if name == "loss" else self.scores.summary()[name]


@torch.inference_mode()
def validate(
    state: TrainingState, must_stop: Callable[[], bool] = lambda: False
) -> Validation | None:
    """Score the network on every annotated pixel of the validation images.

    Returns None if `must_stop`, which rank 0 asks before each batch, says so.
    """
    setup, ranks, device = state.setup, state.ranks, state.fabric.device
    card, patches = setup.card, len(setup.validation)
    classes, batch_size = len(card.classes), state.wanted_batch_size
    counts = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    loss_sum = torch.zeros((), device=device)
    rounds = -(-patches // (batch_size * ranks.size))
    with _evaluating(state), closing(iter_scored(setup.validation, batch_size, ranks)) as batches:
        ranks.align(list(setup.network.buffers()))
        for _ in range(rounds):
            if ranks.decide(must_stop()):
                return None
            for batch in islice(batches, 1):  # in the last round, some processes have none
                loss, found = compute_without_gradient(state, lambda p: score(state, p), batch)
                loss_sum += loss * len(batch.mask)
                counts += found
    loss_mean = float(ranks.total(loss_sum)) / patches
    matrix = ranks.total(counts).reshape(classes, classes).cpu().numpy()
    scores = create_scores(matrix, card.class_names, background=card.background)
    return Validation(loss_mean if np.isfinite(loss_mean) else None, scores)


@torch.inference_mode()
def predict_patches(state: TrainingState, numbers: list[int]) -> list[np.ndarray]:
    """Labels (Y, X) of a few validation patches, by their numbers."""
    batch = state.setup.validation.read(numbers)
    with _evaluating(state):
        labels = compute_without_gradient(state, lambda parts: _label(state, parts), batch)
    return list(labels.to(torch.uint8).cpu().numpy())


def score(state: TrainingState, parts: list[Batch]) -> tuple[Tensor, Tensor]:
    """Loss of a batch, which does not depend on its parts, and its confusion counts."""
    joined, counts = JoinedLoss(state.setup.loss), []
    for part in parts:
        logits, mask = _evaluate(state, part)
        loss = joined.add(logits, mask)
        counts.append(_count_confusion(mask, logits))
    return loss, torch.stack(counts).sum(dim=0)


def _label(state: TrainingState, parts: list[Batch]) -> Tensor:
    """Class (N, Y, X) of each pixel of a batch."""
    return torch.cat([_evaluate(state, part)[0].argmax(dim=1) for part in parts])


def _evaluate(state: TrainingState, read: Batch) -> tuple[Tensor, Tensor]:
    """Logits and masks of patches, on the device."""
    batch = read.to(state.fabric.device)
    with state.fabric.autocast():
        logits: Tensor = state.local_network(normalize(batch))
    return logits, batch.mask


@contextmanager
def _evaluating(state: TrainingState) -> Iterator[None]:
    """Evaluate the average of the weights, as a saved model does; back to training afterwards."""
    state.network.eval()
    try:
        with state.average.applied():
            yield
    finally:
        state.network.train()


def normalize(batch: Batch) -> Tensor:
    """Network input (N, C, Y, X) of a batch."""
    image = (batch.image.float() - batch.offset) / batch.scale
    return image.contiguous(memory_format=torch.channels_last)


def _count_confusion(mask: Tensor, logits: Tensor) -> Tensor:
    """Confusion counts (C * C,), truth first, of masks (N, Y, X) and logits (N, C, Y, X)."""
    classes = logits.shape[1]
    pairs = mask.long() * classes + logits.argmax(dim=1)
    # Void gets a place of its own: picking out the others would wait for the device.
    places = torch.where(mask == VOID, classes * classes, pairs).flatten()
    counts = torch.zeros(classes * classes + 1, dtype=torch.int64, device=mask.device)
    return counts.scatter_add_(0, places, torch.ones_like(places))[:-1]
