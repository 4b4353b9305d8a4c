from __future__ import annotations

import errno
import os
import pickle
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelwise.errors import ModelFileError, ReadError, WriteError
from pixelwise.training.checkpoints import (
    Checkpoint,
    Checkpoints,
    _HashingFile,
    collect,
    copy_to_host,
)
from pixelwise.training.progress import Progress
from tests.training.conftest import flatten


def create(width: int = 3) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.BatchNorm1d(width))
    return network, torch.optim.AdamW(network.parameters())


def train(network: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        network(torch.arange(8.0).reshape(4, 2) * (step + 1)).pow(3).sum().backward()
        optimizer.step()


PROGRESS = Progress(
    epoch=3, step=0, loss_sum=0.1, best_score=0.5, best_epoch=2, epochs_without_improvement=1
)
LATER = Progress(epoch=3, step=2)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """The start of an epoch, and two steps later."""
    made = Checkpoints(tmp_path / "last.pt")
    network, optimizer = create()
    train(network, optimizer)
    made.save(collect(network, {"optimizer": optimizer}, progress=PROGRESS))
    train(network, optimizer, steps=2)
    made.save(collect(network, {"optimizer": optimizer}, progress=LATER))
    return made


def read(path: Path) -> Checkpoint:
    return Checkpoints(path.with_name("last.pt")).load(create()[0])


def assert_same(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for ours, theirs in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("torn", [False, True], ids=["from the last", "from the previous"])
def test_going_on_equals_never_having_stopped(checkpoints: Checkpoints, torn: bool) -> None:
    straight, its_optimizer = create()
    train(straight, its_optimizer)
    resumed, optimizer = create()
    if torn:
        checkpoints.last.unlink()
    else:
        train(straight, its_optimizer, steps=2)
    state = checkpoints.load(resumed)
    assert state.restore(resumed, {"optimizer": optimizer}) == (PROGRESS if torn else LATER)
    train(straight, its_optimizer)
    train(resumed, optimizer)
    assert_same(resumed, straight)


def test_the_previous_one_is_from_the_start_of_an_epoch(checkpoints: Checkpoints) -> None:
    network, optimizer = create()
    for step in (3, 4):
        later = Progress(epoch=3, step=step)
        checkpoints.save(collect(network, {"optimizer": optimizer}, progress=later))
    assert checkpoints.load_start(network).progress == PROGRESS
    assert checkpoints.load(network).progress == later
    start = Progress(epoch=4)
    checkpoints.save(collect(network, {"optimizer": optimizer}, progress=start))
    assert checkpoints.load_start(network).progress == start
    checkpoints.save(collect(network, {"optimizer": optimizer}, progress=Progress(epoch=5)))
    checkpoints.last.unlink()
    assert checkpoints.load(network).progress == start


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    match how:
        case "empty":
            data = b""
        case "start":
            data = data[:30]
        case "end":
            data = data[:-20]
        case "flipped":
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        case "zeros":
            data = data[:middle] + bytes(len(data) - middle)
        case "foreign":
            data = b"not a checkpoint" * 100
    path.write_bytes(data)


DAMAGES = ["empty", "start", "end", "flipped", "zeros", "foreign"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_recognised_and_the_previous_used(
    checkpoints: Checkpoints, how: str
) -> None:
    damage(checkpoints.last, how)
    state = read(checkpoints.last)
    assert state.progress == PROGRESS
    assert "damaged or foreign" in state.notes[0]
    assert "previous.pt instead" in state.notes[-1]
    damage(checkpoints.previous, how)
    with pytest.raises(
        ModelFileError, match=r"last\.pt is damaged.+previous\.pt is damaged.+--start"
    ):
        read(checkpoints.last)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_in_the_place_of_a_checkpoint_is_not_waited_for(checkpoints: Checkpoints) -> None:
    checkpoints.last.unlink()
    os.mkfifo(checkpoints.last)
    state = read(checkpoints.last)
    assert state.progress == PROGRESS
    assert "is a pipe" in state.notes[0]


def test_a_large_file_of_another_kind_is_not_read_through(checkpoints: Checkpoints) -> None:
    with checkpoints.last.open("r+b") as file:
        file.truncate(1 << 40)  # reading it would take minutes
    assert "damaged or foreign" in read(checkpoints.last).notes[0]


def test_a_damaged_checkpoint_never_becomes_the_previous_one(checkpoints: Checkpoints) -> None:
    damage(checkpoints.last, "flipped")
    again = Checkpoints(checkpoints.last)
    network, optimizer = create()
    assert again.load(network).progress == PROGRESS
    again.save(collect(network, {"optimizer": optimizer}, progress=LATER))
    assert again.load_start(network).progress == PROGRESS
    assert again.load(network).notes == ()


def test_what_the_disk_gives_back_is_verified(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checkpoints.last.read_bytes()
    write = torch.save

    def forget(state: object, file: object) -> None:
        write(state, file)
        file._file.seek(-40, os.SEEK_END)  # type: ignore[attr-defined]
        file._file.write(b"x")  # type: ignore[attr-defined]

    monkeypatch.setattr(torch, "save", forget)
    network, optimizer = create()
    with pytest.raises(WriteError, match="differs from the one written"):
        checkpoints.save(collect(network, {"optimizer": optimizer}, progress=LATER))
    assert checkpoints.last.read_bytes() == before
    assert sorted(p.name for p in checkpoints.last.parent.iterdir()) == ["last.pt", "previous.pt"]


def test_a_full_disk_keeps_both(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [path.read_bytes() for path in (checkpoints.last, checkpoints.previous)]

    def fill(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    network, optimizer = create()
    with pytest.raises(WriteError, match="No space left"):
        checkpoints.save(collect(network, {"optimizer": optimizer}, progress=PROGRESS))
    assert [path.read_bytes() for path in (checkpoints.last, checkpoints.previous)] == before


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("evil"),))


def test_code_in_a_checkpoint_is_not_run(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoints.last.parent)
    checkpoints.previous.unlink()
    with checkpoints.last.open("wb") as file:
        sealed = _HashingFile(file)
        torch.save({"format": Evil()}, sealed)
        file.write(b"pixelwise-sha256:" + sealed.hash.digest())
    with pytest.raises(ModelFileError, match=r"damaged or foreign \(UnpicklingError"):
        read(checkpoints.last)
    data = pickle.dumps(Evil())
    checkpoints.last.write_bytes(data + b"pixelwise-sha256:" + sha256(data).digest())
    with pytest.raises(ModelFileError, match="damaged or foreign"):
        read(checkpoints.last)
    assert not Path("evil").exists()


@pytest.mark.parametrize(
    "changes",
    [{"parts": 0}, {"epoch": "three"}, {"step": -1}, {"roll_backs": 10**400}, {"unknown": 1}],
    ids=str,
)
def test_progress_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    network, optimizer = create()
    content = collect(network, {"optimizer": optimizer}, progress=PROGRESS)
    content["progress"] |= changes
    checkpoints = Checkpoints(tmp_path / "last.pt")
    checkpoints.save(content)
    with pytest.raises(ModelFileError, match=r"does not fit this run.*" + next(iter(changes))):
        checkpoints.load()


def test_a_normalization_of_another_version_is_refused(checkpoints: Checkpoints) -> None:
    with pytest.raises(ModelFileError, match=r"last\.pt does not fit this run.*Normalization"):
        checkpoints.load().read_normalization()


def test_another_network_is_refused(checkpoints: Checkpoints) -> None:
    with pytest.raises(ModelFileError, match="does not fit"):
        checkpoints.load(create(width=4)[0])


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="nothing was saved yet"):
        Checkpoints(tmp_path / "last.pt").load(create()[0])


def test_a_copied_state_stays_as_it_was(tmp_path: Path) -> None:
    network, optimizer = create()
    train(network, optimizer)
    content = collect(network, {"optimizer": optimizer}, progress=PROGRESS)
    copied = copy_to_host(content)
    assert flatten(copied) == flatten(content)
    before = flatten(copied)
    train(network, optimizer)
    assert flatten(copied) == before
    assert flatten(content) != before


def test_a_precision_without_a_state_leaves_anothers_alone(tmp_path: Path) -> None:
    network, optimizer = create()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    made = Checkpoints(tmp_path / "last.pt")
    nothing = torch.amp.GradScaler("cpu", enabled=False)
    made.save(collect(network, {"optimizer": optimizer, "precision": nothing}, progress=PROGRESS))
    made.load(network).restore(network, {"optimizer": optimizer, "precision": scaler})
    assert scaler.get_scale() == 8.0


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("param_groups", 0, "eps"), None, "optimizer param_groups is of another kind|eps"),
        (("param_groups", 0, "lr"), "much", "lr"),
        (("state", 0, "exp_avg"), torch.zeros(7), "exp_avg"),
        (("state", 0, "exp_avg"), 3, "exp_avg"),
    ],
    ids=str,
)
def test_an_optimiser_that_could_not_step_is_refused(
    checkpoints: Checkpoints, place: tuple[Any, ...], value: object, message: str
) -> None:
    found = checkpoints.load()
    network, optimizer = create()
    train(network, optimizer)  # so that it has a state, as a training gives it at once
    node: Any = found.parts["optimizer"]
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    with pytest.raises(ModelFileError, match=f"does not fit this run.*({message})"):
        found.restore(network, {"optimizer": optimizer})
    del node[place[-1]]
    with pytest.raises(ModelFileError, match=f"does not fit this run.*{place[-1]}"):
        found.restore(network, {"optimizer": optimizer})
