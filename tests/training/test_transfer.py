from __future__ import annotations

import pytest
import torch

from pixelwise.training.transfer import send


def test_on_a_cpu_nothing_is_copied() -> None:
    tensor = torch.arange(3)
    assert send(tensor, torch.device("cpu")) is tensor


def test_a_gpu_gets_it_from_pinned_memory_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor, calls = torch.arange(3), []

    def note(name: str):  # type: ignore[no-untyped-def]
        return lambda self, *args, **options: calls.append((name, args, options)) or self

    monkeypatch.setattr(torch.Tensor, "pin_memory", note("pin"))
    monkeypatch.setattr(torch.Tensor, "to", note("to"))
    device = torch.device("cuda")
    send(tensor, device)
    assert calls == [("pin", (), {}), ("to", (device,), {"non_blocking": True})]


def test_an_apple_gpu_gets_no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[torch.dtype] = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, _: sent.append(self.dtype))
    for dtype in (torch.float64, torch.uint16):
        send(torch.zeros(2, dtype=dtype), torch.device("mps"))
    assert sent == [torch.float32, torch.uint16]
