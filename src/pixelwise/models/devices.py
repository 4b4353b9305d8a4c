"""The device and number format that a network runs in, with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from pixelwise.errors import ConfigError

FabricPrecision = Literal["32-true", "bf16-mixed", "16-mixed"]

_FABRIC_PRECISION: dict[str, FabricPrecision] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


@dataclass(frozen=True)
class Compute:
    """A device and a number format.

    Attributes
    ----------
    device : torch.device
    device_reason : str
        Why this device, for the user.
    precision : "fp32", "bf16" or "fp16"
        Format of the convolutions; weights stay in fp32.
    precision_reason : str
    """

    device: torch.device
    device_reason: str
    precision: str
    precision_reason: str

    @property
    def fabric_precision(self) -> FabricPrecision:
        """The format under Lightning Fabric's name."""
        return _FABRIC_PRECISION[self.precision]

    @property
    def dtype(self) -> torch.dtype:
        """The format as a torch dtype."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[
            self.precision
        ]

    def autocast(self) -> torch.autocast:
        """Context in which a forward pass runs in this format."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.precision != "fp32")

    def __str__(self) -> str:
        return f"{self.device} ({self.device_reason}), {self.precision} ({self.precision_reason})"


def choose_compute(device: str = "auto", precision: str = "auto") -> Compute:
    """Choose device and number format; "auto" skips GPUs that torch was not built for.

    Parameters
    ----------
    device : str
        "auto", "cpu", "mps", "cuda" or "cuda:1".
    precision : str
        "auto", "fp32", "bf16" or "fp16".

    Raises
    ------
    ConfigError
        The device does not exist, or does not support the format.
    """
    chosen, reason = _choose_device(device)
    number_format, why = _choose_precision(chosen, precision)
    return Compute(chosen, reason, number_format, why)


def _choose_device(name: str) -> tuple[torch.device, str]:
    """Choose the named device, or the best one available."""
    if name == "auto":
        if torch.cuda.is_available() and _has_kernels(0):
            return torch.device("cuda", 0), torch.cuda.get_device_name(0)
        if torch.backends.mps.is_available():
            return torch.device("mps"), "Apple GPU"
        return torch.device("cpu"), f"no GPU that torch {torch.__version__} can use"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"Device {name!r} does not exist: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA GPUs. Use device 'auto' or 'cpu', or install a "
            "torch build and driver that fit the GPU."
        )
    if device.type == "cuda" and not _has_kernels(device.index or 0):
        raise ConfigError(
            f"torch {torch.__version__} was built for {' '.join(torch.cuda.get_arch_list())}, but "
            f"not for {torch.cuda.get_device_name(device)}. Install a torch build that supports it "
            "(an older one for older GPUs), or use device 'cpu'."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("Device 'mps' needs an Apple GPU, which is missing. Use 'auto' or 'cpu'.")
    return device, "asked for"


def _has_kernels(index: int) -> bool:
    """Whether torch was built for a GPU: it also lists older and newer ones that cannot compute."""
    built = [name.split("_") for name in torch.cuda.get_arch_list()]
    if torch.version.cuda is None or not built:  # AMD, whose architecture names say nothing
        return True
    major, minor = torch.cuda.get_device_capability(index)
    for kind, name in built:
        built_major, built_minor = divmod(int(name.rstrip("af")), 10)
        if kind == "sm" and built_major == major and built_minor <= minor:
            return True
        if kind == "compute" and (built_major, built_minor) <= (major, minor):
            return True
    return False


def _choose_precision(device: torch.device, name: str) -> tuple[str, str]:
    """Choose the named number format, or the device's fastest safe one."""
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("Precision 'fp16' needs a GPU; use 'auto', 'fp32' or 'bf16' on a CPU.")
    if name != "auto":
        return name, "asked for"
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "the GPU computes in it"
        return "fp16", "the GPU has no bf16"
    return "fp32", "the safe choice here"


def free_cache(device: torch.device) -> None:
    """Release cached device memory that torch does not use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def using_cores(count: int) -> Iterator[None]:
    """Run the tensor operations of this thread on `count` cores.

    OpenMP threads that took part in an operation would keep spinning for a while after it.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
