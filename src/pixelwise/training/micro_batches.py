"""Micro-batches: a batch that does not fit the memory, computed a part at a time.

The loss is that of the whole batch and so is its gradient, up to rounding: gradient accumulation
for losses that are not a sum over patches. Only batch normalisation sees the micro-batches, each
with its own statistics. In training, a batch's images, logits and loss must fit as a whole;
validation computes these in micro-batches too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from pixelwise.errors import BudgetError, is_memory_error, quote
from pixelwise.models.devices import free_cache
from pixelwise.training.batches import Batch
from pixelwise.training.memory import divide, explain_full_memory
from pixelwise.training.state import TrainingState

T = TypeVar("T")


def accumulate_gradient(state: TrainingState, image: Tensor, mask: Tensor, *, seed: int) -> Tensor:
    """Forward and backward with the activations of one micro-batch at a time.

    The loss may be a ratio over the batch, as Dice's is, so its gradient with respect to all
    logits comes first, at the price of a second forward pass (GradCache, Gao et al. 2021).

    Parameters
    ----------
    image : float Tensor, (N, C, Y, X)
    mask : uint8 Tensor, (N, Y, X)
    seed : int
        Of the first micro-batch's dropout; the others count on.

    Returns
    -------
    Tensor
        Loss of the batch. Its gradient is added to the weights'.
    """
    images = image.tensor_split(state.progress.micro_batches)
    with torch.no_grad():
        outputs = [_forward(state, part, seed + k) for k, part in enumerate(images)]
    heads = [torch.cat(head).requires_grad_() for head in zip(*outputs, strict=True)]
    loss = state.setup.loss(heads[0] if len(heads) == 1 else tuple(heads), mask)
    gradients = torch.autograd.grad(loss, heads)
    state.running_stats.restore()  # the first pass has moved them
    slices = zip(*(gradient.tensor_split(len(images)) for gradient in gradients), strict=True)
    for k, (part, wanted) in enumerate(zip(images, slices, strict=True)):
        found = _forward(state, part, seed + k)
        total = [(a * b).sum() for a, b in zip(found, wanted, strict=True)]
        state.fabric.backward(torch.stack(total).sum())
    return loss.detach()


def _forward(state: TrainingState, image: Tensor, seed: int) -> tuple[Tensor, ...]:
    """Logits of each head, with dropout from a seed of its own."""
    torch.manual_seed(seed)
    output = state.network(image)
    return output if isinstance(output, tuple) else (output,)


def use_more(state: TrainingState, patches: int, *, said: str) -> None:
    """Compute a training batch in twice as many micro-batches, after the memory ran out.

    Parameters
    ----------
    patches : int
        In the batch.
    said : str
        Text of the error that the device gave.

    Raises
    ------
    BudgetError
        Not even the smallest micro-batch fits, or other processes are waiting inside the step.
    """
    ranks, progress = state.ranks, state.progress
    if ranks.size > 1:
        raise BudgetError(
            f"The memory of {state.fabric.device} is full: {patches} patches a step are too many "
            f"for {ranks.size} processes. Resume with more processes, or start a new run with a "
            f"smaller --batch-size or --size. {said}"
        )
    progress.micro_batches = _double(
        state, progress.micro_batches, patches, least=state.least_patches, said=said
    )


def compute_without_gradient(
    state: TrainingState, compute: Callable[[list[Batch]], T], batch: Batch
) -> T:
    """Compute something of a batch in as many micro-batches as the memory asks for.

    Of several processes each validates whole batches, but holds no more patches at a time than it
    trains on.
    """
    progress, patches = state.progress, len(batch.mask)
    while True:
        count = min(max(progress.validation_micro_batches, state.ranks.size), patches)
        try:
            return compute(batch.split(count))
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
            said = quote(error)
        progress.validation_micro_batches = _double(state, count, patches, least=1, said=said)


def _double(state: TrainingState, count: int, patches: int, *, least: int, said: str) -> int:
    """Give the next number of micro-batches of at least `least` patches each."""
    device = state.fabric.device
    free_cache(device)
    more = divide(count, patches, least=least)
    if more is None:
        raise explain_full_memory(state.setup, device, least=least, said=said)
    return more
