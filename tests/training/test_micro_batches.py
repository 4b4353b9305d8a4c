"""Steps and validations whose memory runs out somewhere, beside the same with memory enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric.plugins import MixedPrecision
from torch.utils._python_dispatch import TorchDispatchMode

from pixelwise.training import validation
from pixelwise.training.batches import Batch
from pixelwise.training.distributed import Ranks
from pixelwise.training.loop import train_step
from pixelwise.training.setup import prepare
from pixelwise.training.state import TrainingState
from pixelwise.training.validation import predict_patches, validate
from tests.training.conftest import create_config, flatten

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."


class Allocator(TorchDispatchMode):
    """Counts the tensors that are made, and makes one of them impossible."""

    def __init__(self, fails_at: int = -1) -> None:
        super().__init__()
        self.made, self._fails_at = 0, fails_at

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        in_place = func.is_view or name.endswith("_") or name.startswith("_has_compatible")
        if func.namespace == "aten" and not in_place:
            self.made += 1
            if self.made == self._fails_at:
                raise torch.OutOfMemoryError(FULL)
        return func(*args, **(kwargs or {}))


Create = Callable[..., TrainingState]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that share a tiny step's work wait for each other, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def create(discs: Path, tmp_path: Path) -> Create:
    def create_state(**sections: Any) -> TrainingState:
        sections = {"patches": {"size": 32}} | sections
        return TrainingState(prepare(create_config(discs, tmp_path / "run", **sections)))

    return create_state


def train(state: TrainingState, *, micro_batches: int, fails_at: int = -1) -> tuple[Any, int]:
    """Do a step with an allocator; gives all that it leaves, and how many tensors it made."""
    state.progress.micro_batches = micro_batches
    with Allocator(fails_at) as allocator:
        loss = train_step(state, [0, 1, 2, 3])
    network = state.setup.network.state_dict()
    kept = {name: value for name, value in network.items() if "num_batches" not in name}
    return flatten([kept, state.optimizer.state_dict()["state"], loss]), allocator.made


WITHOUT_BUFFERS = {"name": "r2unet", "options": {"base_channels": 2, "depth": 2, "norm": None}}
CASES = {
    "adamw": {"training": {"batch_size": 4, "optimizer": "adamw"}},
    "sgd": {"training": {"batch_size": 4, "optimizer": "sgd"}},
    "no running statistics": {"training": {"batch_size": 4}, "model": WITHOUT_BUFFERS},
}


@pytest.mark.parametrize("sections", CASES.values(), ids=CASES)
def test_a_first_step_that_runs_out_of_memory_is_done_once(
    create: Create, sections: dict[str, Any]
) -> None:
    state = create(**sections)
    start = deepcopy((state.setup.network.state_dict(), state.optimizer.state_dict()))

    def do(micro_batches: int, fails_at: int = -1) -> tuple[Any, int]:
        network, optimizer = deepcopy(start)
        state.setup.network.load_state_dict(network)
        state.optimizer.load_state_dict(optimizer)
        state.running_stats.remember()
        return train(state, micro_batches=micro_batches, fails_at=fails_at)

    wanted, _ = do(micro_batches=2)
    _, made = do(micro_batches=1)
    for place in [*range(1, made, made // 4), *range(made - 8, made + 1)]:
        found, _ = do(micro_batches=1, fails_at=place)
        assert state.progress.micro_batches == 2, place
        assert found == wanted, place


@pytest.mark.parametrize(
    ("scale", "gradient", "counts"),
    [(65536.0, 1.0, True), (65536.0, torch.inf, True), (2.0, torch.nan, True), (1.0, 1.0, True),
     (1.0, torch.inf, False), (0.5, torch.nan, False)],
)  # fmt: skip
def test_fp16_skips_what_is_infinite_and_counts_it_once_scaling_is_no_reason(
    create: Create, monkeypatch: pytest.MonkeyPatch, scale: float, gradient: float, counts: bool
) -> None:
    state, scaler = create(training={"batch_size": 4}), torch.amp.GradScaler("cpu", scale)
    # a CPU has no fp16; what its loss scaling does to a step can be had there
    monkeypatch.setattr(
        state.fabric.strategy, "_precision", MixedPrecision("16-mixed", "cpu", scaler)
    )
    object.__setattr__(state.setup.compute, "precision", "fp16")
    weight = next(state.setup.network.parameters())
    weight.register_hook(lambda found: found * gradient)
    network = state.setup.network.state_dict()
    before = {n: t.clone() for n, t in network.items() if "num_batches" not in n}
    loss = train_step(state, [0, 1, 2, 3])
    assert bool(torch.isfinite(loss)) is counts
    moves = gradient == 1
    assert scaler.get_scale() == (scale if moves else scale / 2)
    for name, tensor in before.items():
        assert torch.equal(network[name], tensor) is not moves, name


@pytest.mark.parametrize("loss", ["cross_entropy", "dice_cross_entropy"])
def test_a_validation_that_runs_out_of_memory_has_the_same_result(
    create: Create, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    state, score = create(training={"batch_size": 4, "loss": loss}), validation.score
    made, faults = list[int](), list[int]()

    def watch(state: TrainingState, parts: list[Batch]) -> tuple[torch.Tensor, torch.Tensor]:
        with Allocator(faults.pop() if faults else -1) as allocator:
            result = score(state, parts)
        made.append(allocator.made)
        return result

    monkeypatch.setattr(validation, "score", watch)
    wanted = validate(state)
    assert wanted.loss is not None
    for place in range(1, made[0] + 1, 2):
        state.progress.validation_micro_batches = 1
        faults.append(place)
        found = validate(state)
        assert state.progress.validation_micro_batches == 2, place
        assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
        assert (found.scores.matrix == wanted.scores.matrix).all()


def test_previews_that_run_out_of_memory_are_the_same(create: Create) -> None:
    state = create(training={"batch_size": 4})
    numbers = [0, 1, 2]
    with Allocator() as allocator:
        wanted = predict_patches(state, numbers)
    for place in range(allocator.made // 2, allocator.made - 3):
        state.progress.validation_micro_batches = 1
        with Allocator(place):
            found = predict_patches(state, numbers)
        assert state.progress.validation_micro_batches == 2, place
        np.testing.assert_array_equal(found, wanted)


def test_each_process_validates_as_many_patches_at_a_time_as_it_trains_on(
    create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, sizes = create(training={"batch_size": 4}), list[int]()
    wanted = validate(state)
    state.setup.network.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    monkeypatch.setattr(state.ranks, "size", 2)
    monkeypatch.setattr(Ranks, "align", lambda *_: None)
    monkeypatch.setattr(Ranks, "total", lambda _, tensor: tensor)
    monkeypatch.setattr(Ranks, "decide", lambda _, wish: wish)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(state.ranks, "rank", rank)
        shares.append(validate(state))
    assert max(sizes) == 2
    assert shares[0].loss + shares[1].loss == pytest.approx(wanted.loss, rel=1e-5)  # type: ignore[operator]
    assert (shares[0].scores.matrix + shares[1].scores.matrix == wanted.scores.matrix).all()
