"""Trainings that meet a fault on the way: full memory, numbers that are not finite."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from pixelwise.errors import BudgetError, DivergedError
from pixelwise.events import EpochEnded, Event, RunEnded, RunFailed, StepsDone, Warned
from pixelwise.models.files import load_model
from pixelwise.runs import RunFolder, iter_events, request_stop
from pixelwise.training import loop, recovery, throughput
from pixelwise.training.fit import fit, resume
from pixelwise.training.losses import Loss
from pixelwise.training.setup import prepare
from pixelwise.training.state import TrainingState
from pixelwise.training.validation import Validation
from tests.training.conftest import assert_same_run, create_config, read_state

WORDINGS = [
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "MPS backend out of memory (MPS allocated: 1 GB)",
    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
]


def messages(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


def limit_memory(
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    *,
    when: Callable[[torch.nn.Module], bool],
    words: str = WORDINGS[0],
) -> list[int]:
    """Fail whenever a network gets more than `most` patches; gives the sizes that passed."""
    passed: list[int] = []
    create = TrainingState.__init__

    def watch(self: TrainingState, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)

        def allocate(network: torch.nn.Module, inputs: tuple[torch.Tensor], _: object) -> None:
            if inputs[0].is_meta or not when(network):  # an estimate computes on meta
                return
            if len(inputs[0]) > most:
                raise torch.OutOfMemoryError(words)
            passed.append(len(inputs[0]))

        self.setup.network.register_forward_hook(allocate)

    monkeypatch.setattr(TrainingState, "__init__", watch)
    return passed


def in_training(network: torch.nn.Module) -> bool:
    return network.training


@pytest.mark.parametrize("words", WORDINGS, ids=["cuda", "mps", "cpu"])
def test_full_memory_divides_the_batch_and_loses_no_step(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    passed = limit_memory(monkeypatch, 2, when=in_training, words=words)
    sections = {"training": {"batch_size": 4}, "patches": {"size": 32}}
    events = list(fit(create_config(discs, tmp_path / "run", **sections)))
    assert set(passed) == {2}
    said = [text for text in messages(events) if "memory" in text]
    assert len(said) == 1
    assert "in 2 parts" in said[0]
    assert isinstance(events[-1], RunEnded)
    assert events[-1].epochs_done == 2
    assert read_state(tmp_path / "run")["progress"]["parts"] == 2


def test_parts_are_remembered_so_that_a_resumed_run_has_the_same_bits(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"training": {"batch_size": 4, "epochs": 3}, "patches": {"size": 32}}
    with monkeypatch.context() as full:
        limit_memory(full, 2, when=in_training)
        list(fit(create_config(discs, tmp_path / "straight", **sections)))
        events = fit(create_config(discs, tmp_path / "run", **sections))
        next(event for event in events if isinstance(event, EpochEnded))
        events.close()
    assert list(resume(tmp_path / "run"))  # with memory enough for whole batches
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_parts_of_the_last_step_are_kept_by_a_stop_in_the_validation(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"training": {"batch_size": 4, "epochs": 2}, "patches": {"size": 32}}
    is_last, run = [False], RunFolder(tmp_path / "run")
    train, validate = loop.train_step, loop.validate

    def watch(state: TrainingState, numbers: list[int]) -> torch.Tensor:
        is_last[0] = (state.progress.epoch, state.progress.step) == (0, state.steps - 1)
        return train(state, numbers)

    def ask_and_validate(*arguments: Any) -> Validation | None:
        request_stop(run)
        return validate(*arguments)

    with monkeypatch.context() as full:
        full.setattr(loop, "train_step", watch)
        limit_memory(full, 2, when=lambda network: network.training and is_last[0])
        list(fit(create_config(discs, tmp_path / "straight", **sections)))
        full.setattr(loop, "validate", ask_and_validate)
        events = list(fit(create_config(discs, run.path, **sections)))
    assert sum("in 2 parts" in text for text in messages(events)) == 1
    progress = read_state(run.path)["progress"]
    assert (progress["epoch"], progress["parts"]) == (0, 2)
    assert list(resume(run.path))
    assert_same_run(run.path, tmp_path / "straight")


@pytest.mark.parametrize("batch_size", [4, "auto"])
def test_full_memory_in_validation_changes_no_result(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int | str
) -> None:
    sections = {
        "training": {"batch_size": batch_size, "previews": 2}, "patches": {"size": 32},
    }  # fmt: skip
    wanted = list(fit(create_config(discs, tmp_path / "straight", **sections)))
    limit_memory(monkeypatch, 1, when=lambda network: not network.training)
    events = list(fit(create_config(discs, tmp_path / "run", **sections)))
    assert any("validated in" in text for text in messages(events))
    losses = [
        [e.validation_loss for e in story if isinstance(e, EpochEnded)]
        for story in (wanted, events)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_patch_that_does_not_fit_names_one_that_would(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, 1, when=in_training)
    with pytest.raises(
        BudgetError, match=r"2 patches of 64 x 64.+32 x 32 px fit.+--size 32x32.+\(CUDA out"
    ):
        list(fit(create_config(discs, tmp_path / "run")))
    assert isinstance(list(iter_events(RunFolder(tmp_path / "run")))[-1], RunFailed)


def break_losses(monkeypatch: pytest.MonkeyPatch, broken: Callable[[int], bool]) -> None:
    """Make the loss of some steps NaN, by their number, counted over all times they are done."""
    done: list[int] = []
    calls: list[int] = []
    train = loop.train_step
    compute = Loss.__call__

    def count(state: TrainingState, numbers: list[int]) -> torch.Tensor:
        calls[:] = [state.progress.epoch * state.steps + state.progress.step]
        done.append(1)
        loss = train(state, numbers)
        calls.clear()
        return loss

    def spoil(self: Loss, logits: Any, mask: torch.Tensor, **options: Any) -> torch.Tensor:
        loss = compute(self, logits, mask, **options)
        return loss * torch.nan if calls and broken(calls[0]) else loss

    monkeypatch.setattr(loop, "train_step", count)
    monkeypatch.setattr(Loss, "__call__", spoil)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_batch_without_a_finite_loss_changes_nothing(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    break_losses(monkeypatch, lambda step: step in (0, 2))
    sections = {"training": {"optimizer": optimizer, "epochs": 2}}
    events = list(fit(create_config(discs, tmp_path / "run", **sections)))
    assert any("2 of 2 steps" in t or "1 of 2 steps" in t for t in messages(events))
    state = read_state(tmp_path / "run")
    assert all(torch.isfinite(t).all() for t in state["parts"]["network"].values())
    for moments in state["parts"]["optimizer"]["state"].values():
        assert all(torch.isfinite(t).all() for t in moments.values())
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert all(event.train_loss is not None for event in epochs)


def test_a_skipped_step_leaves_every_bit(discs: Path, tmp_path: Path) -> None:
    state = TrainingState(prepare(create_config(discs, tmp_path / "run")))
    loop.train_step(state, [0, 1])
    before = {n: t.clone() for n, t in state.setup.network.state_dict().items()}
    moments = [{n: t.clone() for n, t in held.items()} for held in state.optimizer.state.values()]
    for plane in state.setup.train.dataset.images:
        object.__setattr__(plane, "image", plane.image.astype("float32") * float("nan"))
    state.progress.step = 1
    assert torch.isnan(loop.train_step(state, [0, 1]))
    for name, tensor in state.setup.network.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(tensor, before[name]), name
    for held, wanted in zip(state.optimizer.state.values(), moments, strict=True):
        assert all(torch.equal(held[name], wanted[name]) for name in wanted)


def test_repeated_faults_go_back_to_the_start_of_the_epoch(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([True] * 3)
    break_losses(monkeypatch, lambda step: step >= 4 and next(faults, False))
    sections = {
        "training": {"epochs": 2, "batch_size": 2, "schedule": "constant"},
        "patches": {"size": 32},
    }
    config = create_config(discs, tmp_path / "run", **sections)
    events = list(fit(config))
    said = [text for text in messages(events) if "training continues from the start" in text]
    assert len(said) == 1
    assert "3 steps" in said[0]
    assert "0.5 of the learning rate" in said[0]
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert epochs[-1].learning_rate == pytest.approx(config.training.learning_rate / 2)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].epochs_done == 2


def spoil_weights(monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """Let the last step of the second epoch leave weights that are too large, so many times."""
    should_step, spoilt = recovery.should_step, []

    def step_and_spoil(state: TrainingState, finite: torch.Tensor) -> bool:
        progress = state.progress
        if (progress.epoch, progress.step) == (1, state.steps - 1) and len(spoilt) < times:
            spoilt.append(1)
            with torch.no_grad():
                next(state.setup.network.parameters()).mul_(1e38)
        return should_step(state, finite)

    monkeypatch.setattr(recovery, "should_step", step_and_spoil)


def test_weights_that_the_last_step_spoils_are_not_what_a_training_goes_back_to(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_weights(monkeypatch, times=1)
    config = create_config(discs, tmp_path / "run", training={"epochs": 3})
    events = list(fit(config))
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert [epoch.validation_loss is None for epoch in epochs] == [False] * 3
    said = [
        text for text in messages(events) if "training continues from the start of epoch 2" in text
    ]
    assert len(said) == 1
    assert said[0].startswith("The validation of epoch 2 gave no finite loss")


def test_nor_are_they_saved(discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_weights(monkeypatch, times=9)
    config = create_config(discs, tmp_path / "run", training={"epochs": 3})
    with pytest.raises(DivergedError, match=r"validation of epoch 2 .+ after 3 returns"):
        list(fit(config))
    state = read_state(config.run)
    assert (state["progress"]["epoch"], state["progress"]["step"]) == (1, 0)
    assert all(tensor.isfinite().all() for tensor in state["parts"]["network"].values())


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["reading each loss", "reading at the end"])
def test_when_losses_are_read_does_not_matter(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    sections = {"training": {"epochs": 2}, "patches": {"size": 32}}
    for name, interval in (("straight", 0.5), ("run", seconds)):
        monkeypatch.setattr(throughput, "_REPORT_SECONDS", interval)
        with monkeypatch.context() as patch:
            faults = iter([True] * 3)
            break_losses(patch, lambda step, faults=faults: step >= 9 and next(faults, False))
            list(fit(create_config(discs, tmp_path / name, **sections)))
    assert_same_run(tmp_path / "straight", tmp_path / "run")


def test_faults_without_end_are_an_error(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_losses(monkeypatch, lambda step: step >= 2)
    with pytest.raises(DivergedError, match="lower --learning-rate"):
        list(fit(create_config(discs, tmp_path / "run", training={"epochs": 9})))
    events = list(iter_events(RunFolder(tmp_path / "run")))
    assert (
        len([text for text in messages(events) if "training continues from the start" in text]) == 3
    )
    assert isinstance(events[-1], RunFailed)
    load_model(tmp_path / "run" / "model.safetensors")


def test_the_state_is_saved_inside_epochs(discs: Path, tmp_path: Path) -> None:
    sections = {"training": {"save_minutes": 1e-9, "epochs": 1}, "patches": {"size": 32}}
    steps = []
    for event in fit(create_config(discs, tmp_path / "run", **sections)):
        if isinstance(event, StepsDone):
            steps.append(event.step)
            assert read_state(tmp_path / "run")["progress"]["step"] == event.step
    assert len(steps) > 3


@pytest.mark.parametrize("fails", [False, True])
def test_no_network_is_left_when_a_training_ends(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    if fails:
        limit_memory(monkeypatch, 1, when=in_training)
    kept: list[weakref.ref[torch.nn.Module]] = []
    create = TrainingState.__init__

    def watch(self: TrainingState, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        kept.append(weakref.ref(self.setup.network))

    monkeypatch.setattr(TrainingState, "__init__", watch)
    events = fit(create_config(discs, tmp_path / "run"))
    with pytest.raises(BudgetError) if fails else nullcontext() as error:
        list(events)
    gc.collect()
    assert [ref() for ref in kept] == [None]
    assert (error is not None) == fails  # it is still there, as the last one is in a notebook
