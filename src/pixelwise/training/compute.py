"""Device and number format (mixed precision) of a training run."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from pixelwise.config import ModelConfig, TrainConfig
from pixelwise.errors import PixelwiseError
from pixelwise.models.devices import Compute, choose_compute
from pixelwise.models.registry import create_model


def choose_training_compute(config: TrainConfig) -> Compute:
    """Choose device and number format; on CPUs with bf16, that where it is faster.

    Depthwise convolutions are not: U-Net trains 1.8 times as fast in bf16 on an AMD EPYC, UNet++
    with efficientnet-b4 0.85 times. It is not timed at the start, so that the same config gives
    the same bits.

    Raises
    ------
    ConfigError
        The device is not there, or cannot compute in that format.
    """
    training = config.training
    compute = choose_compute(training.device, training.precision)
    if training.precision != "auto" or compute.device.type != "cpu":
        return compute
    if not _find_bf16():
        return replace(compute, precision_reason="the CPU has no fast bf16")
    if _has_grouped_convolutions(config.model):
        return replace(compute, precision_reason="no slower than bf16 for this network")
    return replace(compute, precision="bf16", precision_reason="the CPU has fast bf16")


def describe_arithmetic(compute: Compute, *, processes: int) -> dict[str, str]:
    """Name what the last bits of a run depend on beside its config and data."""
    device = compute.device
    found = {
        "napari-pixelwise": version("napari-pixelwise"),
        "torch": str(torch.__version__),  # which is a class of its own
        "device": device.type,
        "number format": compute.precision,
        "processes": str(processes),
    }
    if device.type == "cuda":
        found["GPU"] = torch.cuda.get_device_name(device)
        found["cuDNN"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    if device.type == "cpu":
        kernels = torch.backends.cpu.get_cpu_capability(), *_find_bf16()
        found["CPU kernels"] = " ".join(kernels)
        found["threads"] = str(torch.get_num_threads())
    return found


def _find_bf16() -> list[str]:
    """Find the instructions by which this CPU multiplies matrices of bf16."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older: nothing
    return [name for name in ("avx512_bf16", "amx_bf16") if capabilities.get(name)]


def _has_grouped_convolutions(model: ModelConfig) -> bool:
    """Whether a network has convolutions that do not see all channels."""
    with torch.device("meta"):  # its shapes alone
        try:
            network = create_model(model.name, 3, encoder=model.encoder, **model.options)
        except PixelwiseError:  # a wrong config, reported later; or SegFormer's encoders
            return True
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return any(convolution.groups > 1 for convolution in convolutions)
