"""Asynchronous copies from host to device."""

from __future__ import annotations

import torch


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Put a tensor on a device; the host does not wait while a GPU copies.

    Only pinned memory is copied without waiting. PyTorch keeps it until the copy is done. Apple's
    GPUs have no float64: it arrives as float32.
    """
    if device.type == "mps" and tensor.dtype == torch.float64:
        tensor = tensor.float()
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
