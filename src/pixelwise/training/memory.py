"""How much of a training run fits the memory of its device, and what to do if it does not."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pixelwise.config import MOST_AUTO_BATCH
from pixelwise.errors import BudgetError, is_memory_error
from pixelwise.host_memory import measure_host_memory
from pixelwise.models.devices import free_cache
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.summary import count_activation_bytes
from pixelwise.patches.sampling import MIN_BATCH
from pixelwise.training.setup import Setup

_SHARE = 0.8  # of the memory that is free; the rest is for what a measurement does not see
_SIDE_STEP = 32  # px; networks work at any size, but fastest at multiples


def release() -> None:
    """Free all GPU memory that nothing uses any more, at the end of a training run."""
    if torch.cuda.is_available():
        gc.collect()  # a network and its parts refer to each other
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        gc.collect()
        torch.mps.empty_cache()


def measure_available(device: torch.device) -> int:
    """Bytes that torch can still take on a device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return measure_host_memory()


def choose_batch_size(setup: Setup, device: torch.device, *, sharing: int = 1) -> int:
    """Largest power of two, up to `MOST_AUTO_BATCH`, whose training step fits the free memory.

    A GPU is asked by a step on an empty batch; elsewhere the memory is estimated, of bf16 as much
    as of single precision. The optimiser's state is taken to be there already.

    Parameters
    ----------
    setup : Setup
        With the network on the device; it stays as it is.
    device : torch.device
    sharing : int
        Processes that share its memory.
    """
    limit, network = min(MOST_AUTO_BATCH, len(setup.train)), setup.network
    budget = _SHARE * measure_available(device) / sharing
    gradients = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)

    def fits(batch_size: int) -> bool:
        if device.type == "cuda":
            used = _measure_step(setup, device, batch_size=batch_size)
        else:
            size = setup.card.patch_size
            used = gradients + count_activation_bytes(network, size, batch_size=batch_size)
        return used is not None and used <= budget

    return _find_largest(fits, limit)


def _find_largest(fits: Callable[[int], bool], limit: int) -> int:
    """Largest power of two from `MIN_BATCH` to `limit` that fits."""
    size = MIN_BATCH
    while size * 2 <= limit and fits(size * 2):
        size *= 2
    return size


def _measure_step(setup: Setup, device: torch.device, *, batch_size: int) -> int | None:
    """Bytes that a step needs beside the weights; None if it runs out of memory."""
    network, before = setup.network, torch.cuda.memory_allocated(device)
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    torch.cuda.reset_peak_memory_stats(device)
    try:
        shape = (batch_size, setup.card.in_channels, *setup.card.patch_size)
        image = torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)
        mask = torch.zeros((batch_size, *setup.card.patch_size), dtype=torch.uint8, device=device)
        with setup.compute.autocast():
            logits = network(image)
        torch.autograd.backward(setup.loss(logits, mask))
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
        return None
    finally:
        network.zero_grad(set_to_none=True)
        for buffer, value in buffers:
            buffer.copy_(value)
        free_cache(device)
    return torch.cuda.max_memory_allocated(device) - before


def least_patches(network: nn.Module) -> int:
    """Fewest patches that can be trained on at a time: two with batch normalisation, else one."""
    normalizes = any(isinstance(module, _BatchNorm) for module in network.modules())
    return MIN_BATCH if normalizes else 1


def divide(parts: int, patches: int, *, least: int) -> int | None:
    """Twice as many parts of a batch, as far as each has `least` patches; None if none are left."""
    most = max(patches // least, 1)
    return min(parts * 2, most) if parts < most else None


def explain_full_memory(
    setup: Setup, device: torch.device, *, least: int, said: str
) -> BudgetError:
    """Error for a device that cannot hold the least that a step needs, and what would fit.

    `said` is the text of the error that the device gave.
    """
    height, width = size = setup.card.patch_size
    fitting = _find_patch_size(setup.network, size, budget=_SHARE * measure_available(device))
    advice = (
        "take a smaller network"
        if fitting is None
        else f"by estimate patches of {fitting[0]} x {fitting[1]} px fit: start a new run with "
        f"--size {fitting[0]}x{fitting[1]} (patches cut before must be cut again), or "
        "take a smaller network"
    )
    return BudgetError(
        f"The memory of {device} is full even with {least} patch{'es' * (least > 1)} of "
        f"{height} x {width} px at a time; {advice}, or close what else uses the device. {said}"
    )


def _find_patch_size(
    network: SegmentationNetwork, size: tuple[int, int], *, budget: float
) -> tuple[int, int] | None:
    """Largest half, quarter, ... of a patch (height, width) whose step fits a budget in bytes."""
    height, width = size
    while min(height, width) // 2 >= network.smallest_px:
        height, width = (_round(side // 2) for side in (height, width))
        used = count_activation_bytes(network, (height, width), batch_size=MIN_BATCH)
        if used <= budget:
            return height, width
    return None


def _round(side: int) -> int:
    """Multiple of `_SIDE_STEP` not above a side, where there is one."""
    return max(side // _SIDE_STEP * _SIDE_STEP, min(side, _SIDE_STEP))
