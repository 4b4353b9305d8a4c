"""Devices and number formats, on machines that are made up."""

from __future__ import annotations

import pytest
import torch

from pixelwise.errors import ConfigError
from pixelwise.models.devices import choose_compute


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One NVIDIA GPU, of a kind that the test tells."""
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Some GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    return monkeypatch


@pytest.mark.parametrize(
    ("built", "capability", "fits"),
    [
        ("sm_75 sm_80 sm_90", (7, 0), False),
        ("sm_75 sm_80 sm_90", (7, 5), True),
        ("sm_75 sm_80 sm_90", (8, 9), True),
        ("sm_75 sm_80 sm_86", (9, 0), False),
        ("sm_75 compute_86", (9, 0), True),
        ("sm_75 compute_86", (8, 0), False),
        ("sm_90a", (9, 0), True),
        ("", (9, 0), True),
    ],
)
def test_gpus_that_torch_was_not_built_for_are_passed_over(
    built: str, capability: tuple[int, int], fits: bool, gpu: pytest.MonkeyPatch
) -> None:
    gpu.setattr(torch.cuda, "get_arch_list", built.split)
    gpu.setattr(torch.cuda, "get_device_capability", lambda _index: capability)

    assert choose_compute().device.type == ("cuda" if fits else "cpu")
    if fits:
        assert choose_compute("cuda").precision == "bf16"
    else:
        with pytest.raises(ConfigError, match=r"built for .* not for Some GPU"):
            choose_compute("cuda:0")


def test_a_gpu_without_bf16_computes_in_fp16(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75"])
    gpu.setattr(torch.cuda, "get_device_capability", lambda _index: (7, 5))
    gpu.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)

    assert choose_compute().precision == "fp16"


def test_a_cpu_cannot_compute_in_fp16() -> None:
    with pytest.raises(ConfigError, match="fp16"):
        choose_compute("cpu", "fp16")


def test_a_gpu_that_is_not_there_is_refused(gpu: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="sees 1 CUDA GPUs"):
        choose_compute("cuda:3")
