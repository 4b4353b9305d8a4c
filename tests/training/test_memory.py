from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pixelwise.events import RunStarted
from pixelwise.training import memory
from pixelwise.training.fit import fit
from pixelwise.training.loop import train_step
from pixelwise.training.setup import prepare
from pixelwise.training.state import TrainingState
from tests.training.conftest import create_config, read_state


@pytest.mark.parametrize(
    ("parts", "patches", "least", "more"),
    [(1, 8, 2, 2), (2, 8, 2, 4), (4, 8, 2, None), (1, 5, 2, 2), (2, 5, 2, None), (2, 5, 1, 4),
     (4, 5, 1, 5), (1, 1, 1, None), (1, 1, 2, None)],
)  # fmt: skip
def test_parts_double_down_to_the_least(
    parts: int, patches: int, least: int, more: int | None
) -> None:
    assert memory.divide(parts, patches, least=least) == more
    if more:
        sizes = [len(part) for part in torch.arange(patches).tensor_split(more)]
        assert min(sizes) >= least


@pytest.mark.parametrize(("patches_that_fit", "chosen"), [(100, 16), (9, 8), (4, 4), (0, 2)])
def test_auto_takes_the_largest_batch_that_fits(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patches_that_fit: int, chosen: int
) -> None:
    monkeypatch.setattr(memory, "measure_available", lambda _: 10**9)
    monkeypatch.setattr(
        memory,
        "count_activation_bytes",
        lambda *_, batch_size: 10**8 if batch_size <= patches_that_fit else 10**10,
    )
    sections = {"training": {"batch_size": "auto", "epochs": 1}, "patches": {"size": 32}}
    events = list(fit(create_config(discs, tmp_path / "run", **sections)))
    assert isinstance(events[0], RunStarted)
    assert events[0].batch_size == chosen
    assert read_state(tmp_path / "run")["progress"]["batch_size"] == chosen


@pytest.mark.parametrize(("spare", "chosen"), [(10**6, 8), (0, 2)])
def test_auto_leaves_room_for_the_gradients(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int, chosen: int
) -> None:
    setup = prepare(create_config(discs, tmp_path / "run", patches={"size": 32}))
    monkeypatch.setattr(memory, "count_activation_bytes", lambda *_, batch_size: 10**6)
    monkeypatch.setattr(memory, "measure_available", lambda _: (10**6 + spare) / 0.8)
    monkeypatch.setattr(memory, "MOST_AUTO_BATCH", 8)
    assert memory.choose_batch_size(setup, torch.device("cpu")) == chosen


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "dice_cross_entropy", "tversky"])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_parts_give_the_gradient_of_the_whole_batch(
    discs: Path, tmp_path: Path, loss: str, weights: str
) -> None:
    sections = {
        "training": {"batch_size": 8, "loss": loss, "class_weights": weights},
        "patches": {"size": 32},
        "model": {"name": "unet", "options": {"base_channels": 4, "depth": 2}},
    }
    found = []
    for parts in (1, 3):
        state = TrainingState(prepare(create_config(discs, tmp_path / "run", **sections)))
        for module in state.setup.network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()  # its statistics are those of a part, by its nature
        state.progress.micro_batches = parts
        value = train_step(state, list(range(8)))
        found.append((value, [p.grad for p in state.setup.network.parameters()]))
    torch.testing.assert_close(found[0][0], found[1][0])
    for whole, in_parts in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(whole, in_parts, rtol=1e-3, atol=1e-6)
