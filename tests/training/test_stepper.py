"""Steps and validations whose memory runs out somewhere, beside the same with memory enough."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelwise.training.setup import prepare
from pixelwise.training.stepper import Stepper
from tests.training.conftest import create_config

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Fault:
    """An allocator that fails in the n-th call of something, and in none after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        self._left, original = 0, getattr(owner, name)

        def call(*args: object, **kwargs: object) -> object:
            self._left -= 1
            if self._left == 0:
                raise FULL
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    def come_in(self, calls: int) -> None:
        self._left = calls

    @property
    def came(self) -> bool:
        return self._left <= 0


@pytest.fixture
def create(discs: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    def create_stepper(**sections: dict[str, object]) -> Stepper:
        sections = {"patches": {"size": 32}} | sections
        return Stepper(prepare(create_config(discs, tmp_path / "run", **sections)))

    return create_stepper


WITHOUT_BUFFERS = {
    "name": "r2unet", "options": {"base_channels": 4, "depth": 2, "norm": None},
}  # fmt: skip


def test_a_network_without_running_statistics_trains_in_parts(create, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    stepper = create(model=WITHOUT_BUFFERS, training={"batch_size": 4})
    assert not list(stepper.setup.network.buffers())
    fault = Fault(monkeypatch, stepper.fabric, "backward")
    fault.come_in(1)
    assert torch.isfinite(stepper.train([0, 1, 2, 3], epoch=0, step=0, factor=1))
    assert fault.came
    assert stepper.parts == 2
