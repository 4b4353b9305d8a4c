from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from pixelwise.errors import ModelFileError, ReadError
from pixelwise.training.checkpoints import Progress, load_state, save_state


def create(width: int = 3) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.BatchNorm1d(width))
    return network, torch.optim.AdamW(network.parameters())


def train(network: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        network(torch.arange(8.0).reshape(4, 2) * (step + 1)).pow(3).sum().backward()
        optimizer.step()


PROGRESS = Progress(epoch=3, step=2, loss_sum=0.1, best_score=0.5, best_epoch=2, waited=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    network, optimizer = create()
    train(network, optimizer)
    save_state(tmp_path / "last.pt", network, optimizer, progress=PROGRESS)
    return tmp_path / "last.pt"


def test_going_on_equals_never_having_stopped(path: Path) -> None:
    straight, its_optimizer = create()
    train(straight, its_optimizer)
    resumed, optimizer = create()
    assert load_state(path, resumed, optimizer) == PROGRESS
    train(straight, its_optimizer)
    train(resumed, optimizer)
    for ours, theirs in zip(
        resumed.state_dict().values(), straight.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("keep", [0, 30, -200], ids=["empty", "start", "end"])
def test_a_torn_checkpoint_is_recognised(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelFileError, match="damaged or foreign"):
        load_state(path, *create())


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("evil"),))


def test_code_in_a_checkpoint_is_not_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    torch.save({"format": Evil()}, path)
    with pytest.raises(ModelFileError, match="damaged or foreign"):
        load_state(path, *create())
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelFileError, match="damaged or foreign"):
        load_state(path, *create())
    assert not Path("evil").exists()


def test_another_network_is_refused(path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not fit"):
        load_state(path, *create(width=4))


def test_a_missing_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="train again"):
        load_state(tmp_path / "last.pt", *create())
