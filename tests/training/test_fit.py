from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pixelwise.cards import read_card
from pixelwise.config import TrainConfig
from pixelwise.datasets import Sample, load_dataset
from pixelwise.errors import (
    ConfigError,
    DataError,
    ModelFileError,
    ReadError,
    RunError,
    WriteError,
)
from pixelwise.events import (
    EpochEnded,
    Event,
    ModelSaved,
    RunEnded,
    RunFailed,
    RunStarted,
    StepsDone,
    Warned,
)
from pixelwise.images import read_image
from pixelwise.models.files import load_model
from pixelwise.patches import make_patches
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.runs import RunFolder, create_run, iter_events, request_stop
from pixelwise.summaries import read_epochs, summarize_run
from pixelwise.training import fit as fit_module
from pixelwise.training import loop, validation
from pixelwise.training import setup as preparation
from pixelwise.training.batches import Batch
from pixelwise.training.fit import fit, resume
from pixelwise.training.state import TrainingState
from tests.training.conftest import (
    assert_same_run,
    create_config,
    read_state,
    write_discs,
    write_mask,
)


def finish(events: Iterator[Event]) -> RunEnded:
    last = list(events)[-1]
    assert isinstance(last, RunEnded)
    return last


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(RunFolder(path).state, weights_only=True)["parts"]["network"]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_learns_discs_and_leaves_a_complete_run_folder(discs: Path, tmp_path: Path) -> None:
    config = create_config(discs, tmp_path / "run", training={"epochs": 25, "keep_every": 10})
    events = list(fit(config))
    run = RunFolder(tmp_path / "run")
    assert isinstance(events[0], RunStarted)
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    assert ended.reason == "finished"
    assert ended.best_score is not None
    assert ended.best_score > 0.9
    assert list(iter_events(run)) == events
    assert run.read_config() == config
    kept = [path.name for path in sorted(run.checkpoints.iterdir())]
    assert kept == ["epoch-0010.safetensors", "epoch-0020.safetensors", "last.pt", "previous.pt"]
    prediction, axes = read_image(run.previews / "prediction-0.tif")
    truth, _ = read_image(run.previews / "truth-0.tif")
    assert axes.names == "YX"
    assert np.mean(prediction == truth) > 0.9
    assert (run.previews / "epoch-0025.png").stat().st_size > 1000
    assert not list(tmp_path.rglob(".*"))


def test_the_best_model_is_the_one_kept(discs: Path, tmp_path: Path) -> None:
    events = list(fit(create_config(discs, tmp_path / "run", training={"epochs": 6})))
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    best = max(epochs, key=lambda event: event.scores["dice"] or 0)
    card = read_card(tmp_path / "run" / "model.safetensors")
    assert card.training is not None
    assert card.training.epochs == best.epoch
    assert card.training.scores == best.scores
    saved = [event.epoch for event in events if isinstance(event, ModelSaved)]
    assert saved == [event.epoch for event in epochs if event.best]


def test_same_seed_same_bits_other_seed_other_bits(discs: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sections = {
            "training": {"seed": seed, "epochs": 1},
            "augmentation": {"preset": "microscopy"},
        }
        finish(fit(create_config(discs, tmp_path / name, **sections)))
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(*(weights(tmp_path / n)["head.weight"] for n in "ac"))


@pytest.mark.parametrize(
    "training",
    [{"schedule": "cosine"}, {"schedule": "plateau", "precision": "bf16"}],
    ids=["cosine", "plateau"],
)
@pytest.mark.parametrize("steps", [1, 3], ids=["in the first epoch", "in the second"])
def test_stopped_and_resumed_equals_uninterrupted(
    discs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    training: dict[str, object],
    steps: int,
) -> None:
    options = {"base_channels": 4, "depth": 2, "dropout": 0.2}
    sections = {
        "training": {"epochs": 3, "plateau_epochs": 1, **training},
        "model": {"options": options},
        "augmentation": {"preset": "microscopy"},
    }
    finish(fit(create_config(discs, tmp_path / "straight", **sections)))
    run = RunFolder(tmp_path / "stopped")
    train, done = loop.train_step, []

    def train_and_ask(state: TrainingState, numbers: list[int]) -> torch.Tensor:
        done.append(1)
        if len(done) == steps:
            request_stop(run)
        return train(state, numbers)

    monkeypatch.setattr(loop, "train_step", train_and_ask)
    ended = finish(fit(create_config(discs, run.path, **sections)))
    assert (ended.reason, len(done)) == ("stopped", steps)
    assert run.model.exists()
    assert not run.stop_request.exists()
    assert finish(resume(run.path)).epochs_done == 3
    assert_same(weights(tmp_path / "straight"), weights(run.path))
    losses = [
        [event.train_loss for event in iter_events(RunFolder(tmp_path / name))
         if isinstance(event, EpochEnded)]
        for name in ("straight", "stopped")
    ]  # fmt: skip
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_stopped_within_a_validation_and_resumed_equals_uninterrupted(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"training": {"epochs": 3, "batch_size": 2}, "patches": {"size": 32}}
    finish(fit(create_config(discs, tmp_path / "straight", **sections)))
    run = RunFolder(tmp_path / "stopped")
    score, scored = validation.score, []

    def score_and_ask(
        state: TrainingState, parts: list[Batch]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scored.append(state.setup.validation)
        batches = -(-len(state.setup.validation) // 2)
        assert batches > 1
        if len(scored) == batches + 1:  # the first batch of the second epoch
            request_stop(run)
        return score(state, parts)

    monkeypatch.setattr(validation, "score", score_and_ask)
    ended = finish(fit(create_config(discs, run.path, **sections)))
    assert (ended.reason, ended.epochs_done) == ("stopped", 1)
    assert len(scored) == -(-len(scored[0]) // 2) + 1, "not a batch more"
    assert finish(resume(run.path)).epochs_done == 3
    assert_same(weights(tmp_path / "straight"), weights(run.path))
    straight, stopped = (
        read_epochs(RunFolder(tmp_path / name)) for name in ("straight", "stopped")
    )
    assert [e.patches_per_second is None for e in stopped] == [False, True, False]
    for one, other in zip(straight, stopped, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-6)
        assert (one.validation_loss, one.scores) == (other.validation_loss, other.scores)


def test_a_closed_generator_can_be_resumed(discs: Path, tmp_path: Path) -> None:
    events = fit(create_config(discs, tmp_path / "run"))
    next(event for event in events if isinstance(event, EpochEnded))
    events.close()
    last = list(iter_events(RunFolder(tmp_path / "run")))[-1]
    assert isinstance(last, RunEnded)
    assert (last.reason, last.epochs_done) == ("stopped", 1)
    assert finish(resume(tmp_path / "run")).epochs_done == 2
    list(fit(create_config(discs, tmp_path / "straight")))
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_a_run_without_checkpoints_keeps_its_model(discs: Path, tmp_path: Path) -> None:
    list(fit(create_config(discs, tmp_path / "run")))
    run = RunFolder(tmp_path / "run")
    shutil.rmtree(run.checkpoints)
    model = run.model.read_bytes()
    with pytest.raises(RunError, match=r"no checkpoint.+--start-from .+model\.safetensors"):
        list(resume(run.path))
    assert run.model.read_bytes() == model


def test_a_run_that_was_moved_writes_where_it_is(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "before").mkdir()
    run = create_run(create_config(discs, tmp_path / "before" / "run"))
    moved = shutil.move(run.path, tmp_path)
    monkeypatch.setattr(preparation, "fit_memory", lambda *_, **__: False)
    said = [event.message for event in resume(moved) if isinstance(event, Warned)]
    assert any(f"on the disk of {tmp_path}, which" in message for message in said)


def test_a_model_tells_what_it_was_trained_on(discs: Path, tmp_path: Path) -> None:
    config = create_config(discs, tmp_path / "run", patches={"size": 32})
    started = next(event for event in fit(config) if isinstance(event, RunStarted))
    told = read_card(tmp_path / "run" / "model.safetensors").training
    assert told is not None
    assert (told.images, told.patches) == (started.train_images, started.train_patches) == (4, 16)


def test_early_stopping(discs: Path, tmp_path: Path) -> None:
    sections = {"training": {"epochs": 50, "patience": 2, "learning_rate": 1e-9,
                             "min_learning_rate": 0, "monitor": "loss"}}  # fmt: skip
    ended = finish(fit(create_config(discs, tmp_path / "run", **sections)))
    assert ended.reason == "no_progress"
    assert ended.epochs_done < 50


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_run_does_not_go_on_with_changed_pixels(tmp_path: Path, kind: str) -> None:
    data = write_discs(tmp_path / "data")
    events = fit(create_config(data, tmp_path / "run"))
    next(event for event in events if isinstance(event, EpochEnded))
    events.close()
    path = data / kind / "2.png"
    before = path.read_bytes()
    pixels, _ = read_image(path)
    write_mask(path, pixels[::-1].copy())
    with pytest.raises(RunError, match=r"pixels.+differ in \w+ image 2\. .+--start-from"):
        list(resume(tmp_path / "run"))
    path.write_bytes(before)
    assert finish(resume(tmp_path / "run")).epochs_done == 2


def test_a_finished_run_is_not_resumed(discs: Path, tmp_path: Path) -> None:
    finish(fit(create_config(discs, tmp_path / "run", training={"epochs": 1})))
    with pytest.raises(RunError, match="--start-from"):
        list(resume(tmp_path / "run"))


def test_a_new_run_starts_from_a_model(discs: Path, tmp_path: Path) -> None:
    training = {"epochs": 3, "monitor": "last"}
    finish(fit(create_config(discs, tmp_path / "a", training=training)))
    start = tmp_path / "a" / "model.safetensors"
    sections = {"training": {"epochs": 1, "learning_rate": 1e-9, "min_learning_rate": 0}}
    finish(fit(create_config(discs, tmp_path / "b", model={"start_from": start}, **sections)))
    name = "head.weight"
    first, second = load_file(start), load_file(tmp_path / "b" / "model.safetensors")
    torch.testing.assert_close(first[name], second[name], atol=1e-6, rtol=0)
    wild = {"epochs": 1, "learning_rate": 10, "keep_start": 0.0}
    events = list(
        fit(create_config(discs, tmp_path / "d", model={"start_from": start}, training=wild))
    )
    assert events[-1].best_epoch == 0
    assert read_card(tmp_path / "d" / "model.safetensors").training.epochs == 3
    kept = load_file(tmp_path / "d" / "model.safetensors")
    assert all(torch.equal(first[name], kept[name]) for name in first)
    sections = {"model": {"start_from": start, "options": {"base_channels": 8, "depth": 2}}}
    with pytest.raises(ConfigError, match="options"):
        next(fit(create_config(discs, tmp_path / "c", **sections)))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("become", ["gone", "another"])
def test_a_run_goes_on_without_the_model_it_started_from(
    discs: Path, tmp_path: Path, become: str
) -> None:
    start = tmp_path / "a.safetensors"
    finish(fit(create_config(discs, tmp_path / "a", training={"epochs": 1})))
    (tmp_path / "a" / "model.safetensors").rename(start)
    sections = {"model": {"start_from": start}}
    finish(fit(create_config(discs, tmp_path / "straight", **sections)))
    events = fit(create_config(discs, tmp_path / "run", **sections))
    next(event for event in events if isinstance(event, RunStarted))
    events.close()
    start.unlink()
    if become == "another":
        other = {"epochs": 1, "normalization": "none"}
        finish(fit(create_config(discs, tmp_path / "b", training=other)))
        (tmp_path / "b" / "model.safetensors").rename(start)
    finish(resume(tmp_path / "run"))
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_a_frozen_encoder_stays_as_it_was(discs: Path, tmp_path: Path) -> None:
    sections = {"model": {"encoder": "resnet18", "options": {}, "freeze_encoder": True}}
    config = create_config(discs, tmp_path / "run", training={"epochs": 1}, **sections)
    before = {
        name: tensor.clone()
        for name, tensor in fit_module.prepare(config).network.state_dict().items()
    }
    finish(fit(config))
    after = weights(tmp_path / "run")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "encoder" not in changed
    assert "decoder" in changed


@pytest.mark.parametrize("name", ["dice", "iou", "accuracy", "loss"])
def test_every_monitor_chooses_a_best_epoch(discs: Path, tmp_path: Path, name: str) -> None:
    ended = finish(fit(create_config(discs, tmp_path / "run", training={"monitor": name})))
    assert ended.best_epoch is not None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("the cable is out"), "RuntimeError: the cable is out"),
        (ValueError("no such axis"), "ValueError: no such axis"),
        (KeyError("dice"), "KeyError: 'dice'"),
        (MemoryError(), "MemoryError"),
        (DataError("The image is gone."), "The image is gone."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_in_the_loop_is_the_last_event(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(loop, "validate", fail)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(type(error)):
        list(fit(create_config(discs, run.path)))
    last = list(iter_events(run))[-1]
    assert isinstance(last, RunFailed)
    assert last.message == said
    assert summarize_run(run).state == "failed"
    if isinstance(error, DataError):
        assert not run.log.exists(), "an error that explains itself needs no traceback"
    else:
        assert "in fail\n    raise error" in run.log.read_text()
        assert str(run.log) in error.__notes__[0]


def test_a_log_that_cannot_be_written_does_not_hide_the_error(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        (tmp_path / "run" / "log.txt").mkdir()
        raise ValueError("no such axis")

    monkeypatch.setattr(loop, "validate", fail)
    with pytest.raises(ValueError, match="no such axis") as caught:
        list(fit(create_config(discs, tmp_path / "run")))
    assert not hasattr(caught.value, "__notes__")


def test_a_compiled_network_leaves_ordinary_weights(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, compile_ = [], torch.compile

    def note(model: torch.nn.Module, **options: object) -> object:
        compiled.append(model)
        return compile_(model, **(options | {"backend": "eager"}))

    monkeypatch.setattr(torch, "compile", note)
    same = {
        "weight_average": 0
    }  # with an average, only a plain network begins with mean statistics
    finish(fit(create_config(discs, tmp_path / "a", training={"compile": True} | same)))
    assert compiled
    compiled.clear()
    finish(fit(create_config(discs, tmp_path / "b", training=same)))
    assert not compiled
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_a_network_is_compiled_once_for_all_steps(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs, compile_ = [], torch.compile

    def count(graph: torch.nn.Module, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    def compile_and_count(model: torch.nn.Module, **options: object) -> object:
        return compile_(model, **(options | {"backend": count}))

    monkeypatch.setattr(torch, "compile", compile_and_count)
    training = {"compile": True, "epochs": 1, "previews": 0}
    finish(fit(create_config(discs, tmp_path / "short", training=training | {"epoch_steps": 2})))
    short = len(graphs)
    graphs.clear()
    torch.compiler.reset()
    finish(fit(create_config(discs, tmp_path / "long", training=training | {"epoch_steps": 12})))
    assert len(graphs) == short


def test_tensorboard_logs_are_written(discs: Path, tmp_path: Path) -> None:
    finish(fit(create_config(discs, tmp_path / "run", training={"tensorboard": True})))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    logs.Reload()
    assert [point.step for point in logs.Scalars("loss/train")] == [1, 2]
    assert "scores/dice" in logs.Tags()["scalars"]


def test_void_pixels_teach_nothing_and_score_nothing(tmp_path: Path) -> None:
    data = write_discs(tmp_path / "data", void=True)
    classes = {"0": "background", "255": "disc", "128": "void"}
    sections = {"data": {"classes": classes}, "training": {"epochs": 12}}
    ended = finish(fit(create_config(data, tmp_path / "run", **sections)))
    assert load_model(tmp_path / "run" / "model.safetensors").network.classes == 2
    assert (ended.best_score or 0) > 0.9


def config_error(discs: Path, run: Path, **sections: object) -> TrainConfig:
    return create_config(discs, run, **sections)


@pytest.mark.parametrize(
    ("sections", "error", "message"),
    [
        ({"patches": {"size": 128}}, DataError, r"larger than .+ 64 x 64"),
        ({"training": {"class_weights": (1, 2, 3)}}, ConfigError, "3 numbers.+2 classes"),
        ({"patches": {"min_foreground": 0.99}}, DataError, "min-foreground"),
        ({"model": {"start_from": Path("README.md")}}, ModelFileError, "not a model file"),
        ({"training": {"device": "cuda:7"}}, ConfigError, "'auto' or 'cpu'"),
        ({"training": {"precision": "fp16"}}, ConfigError, "needs a GPU"),
    ],
    ids=["large patch", "weights", "no patch", "no model", "no gpu", "precision"],
)
def test_refuses_before_anything_is_written(
    discs: Path, tmp_path: Path, sections: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        next(fit(create_config(discs, tmp_path / "run", **sections)))
    assert not (tmp_path / "run").exists()


def test_grids_that_miss_what_is_annotated_are_refused(tmp_path: Path) -> None:
    data = write_discs(tmp_path / "data", size=80)
    for path in (data / "masks").iterdir():
        mask = np.full((80, 80), 128, np.uint8)
        mask[70:, :40], mask[70:, 40:] = 0, 255
        write_mask(path, mask)
    sections = {"data": {"void": (128,)}, "patches": {"size": 64, "edge": "drop"}}
    with pytest.raises(DataError, match=r"No patch shows an annotated pixel.+--edge cover"):
        next(fit(create_config(data, tmp_path / "run", **sections)))


@pytest.mark.parametrize("size", [64, 32])
def test_patches_that_were_cut_before_keep_their_size_and_it_is_said(
    tmp_path: Path, size: int
) -> None:
    make_patches(load_dataset(write_discs(tmp_path / "data")), tmp_path / "patches", size=64)
    config = create_config(tmp_path / "patches", tmp_path / "run", patches={"size": size})
    events = list(fit(config))
    said = [e.message for e in events if isinstance(e, Warned) and "64 x 64 px, as" in e.message]
    assert len(said) == (size != 64)
    assert read_card(tmp_path / "run" / "model.safetensors").patch_size == (64, 64)


def test_a_resumed_run_tells_what_the_bits_depend_on(discs: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        events = fit(create_config(discs, tmp_path / f"{number}"))
        next(event for event in events if isinstance(event, EpochEnded))
        events.close()
    threads = torch.get_num_threads()
    same = [event.message for event in resume(tmp_path / "1") if isinstance(event, Warned)]
    torch.set_num_threads(threads + 1)
    try:
        other = [event.message for event in resume(tmp_path / "2") if isinstance(event, Warned)]
    finally:
        torch.set_num_threads(threads)
    assert not any("digits" in message for message in same)
    said = [message for message in other if "digits" in message]
    assert len(said) == 1
    assert said[0].endswith(f": threads {threads} before, {threads + 1} now.")


def test_all_background_is_refused(tmp_path: Path) -> None:
    data = write_discs(tmp_path / "data")
    for path in (data / "masks").iterdir():
        write_mask(path, np.zeros((64, 64), np.uint8))
    classes = {"0": "background", "255": "disc"}
    with pytest.raises(DataError, match="at least two classes"):
        next(fit(create_config(data, tmp_path / "run", data={"classes": classes})))


def spoil(path: Path) -> None:
    """Cut an image off behind its header."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_validation_without_foreground_is_refused_where_dice_is_the_judge(tmp_path: Path) -> None:
    data = write_discs(tmp_path / "data")
    for path in (data / "masks").glob("[01].png"):
        mask, _ = read_image(path)
        write_mask(path, np.zeros_like(mask))
    seeds = [
        seed
        for seed in range(99)
        if {s.name for s in load_dataset(data).split(0.34, seed)[1].samples} == {"0", "1"}
    ]
    sections = {"data": {"split_seed": seeds[0]}}
    with pytest.raises(DataError, match=r"\(0, 1\) show no foreground.+--split-seed"):
        list(fit(create_config(data, tmp_path / "run", **sections)))
    for monitor in ("loss", "last"):
        training = {"epochs": 1, "monitor": monitor}
        assert finish(fit(create_config(data, tmp_path / monitor, training=training, **sections)))


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_corrupt_file_is_named_or_left_out_on_request(tmp_path: Path, kind: str) -> None:
    data = write_discs(tmp_path / "data", size=128)
    broken = data / kind / "3.png"
    spoil(broken)
    with pytest.raises((DataError, ReadError), match=r"3\.png"):
        next(fit(create_config(data, tmp_path / "run")))
    config = create_config(data, tmp_path / "run", data={"skip_unreadable": True})
    events = list(fit(config))
    assert any("left out" in e.message and "3.png" in e.message for e in events
               if isinstance(e, Warned))  # fmt: skip
    started = events[0]
    assert isinstance(started, RunStarted)
    assert started.train_images + started.validation_images == 5


def test_a_file_that_vanishes_before_it_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_discs(tmp_path / "data")
    read = preparation.read_decoded_images

    def vanish(samples: Sequence[Sample], **options: object) -> list[DecodedImage]:
        samples[0].image_path.unlink(missing_ok=True)
        return read(samples, **options)

    monkeypatch.setattr(preparation, "read_decoded_images", vanish)
    with pytest.raises(ReadError, match=r"images/\d\.png"):
        next(fit(create_config(data, tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_run_killed_before_its_first_state_begins_anew(discs: Path, tmp_path: Path) -> None:
    list(fit(create_config(discs, tmp_path / "straight")))
    run = create_run(create_config(discs, tmp_path / "run"))
    events = list(resume(run.path))
    assert any("begins again" in event.message for event in events if isinstance(event, Warned))
    assert_same_run(run.path, tmp_path / "straight")


def test_a_request_to_stop_counts_from_when_the_run_was_asked_to_go_on(
    discs: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    events = fit(create_config(discs, run.path))
    next(events)
    events.close()
    request_stop(run)
    asked = run.stop_request.stat().st_mtime
    ended = finish(resume(run.path, since=asked))
    assert (ended.reason, ended.epochs_done) == ("stopped", 0)
    request_stop(run)
    os.utime(run.stop_request, (asked, asked))
    ended = finish(resume(run.path))
    assert (ended.reason, ended.epochs_done) == ("finished", 2)


def test_a_story_with_zeros_in_it_goes_on(discs: Path, tmp_path: Path) -> None:
    events = fit(create_config(discs, tmp_path / "run"))
    next(event for event in events if isinstance(event, EpochEnded))
    events.close()
    run = RunFolder(tmp_path / "run")
    lines = run.events.read_bytes().splitlines(keepends=True)
    run.events.write_bytes(b"".join([lines[0], b"\0" * 99 + b"\n", *lines[1:]]))
    warned = [event.message for event in resume(run.path) if isinstance(event, Warned)]
    assert sum("power cut (1)" in message for message in warned) == 1
    assert summarize_run(run).state == "finished"


def test_a_run_killed_before_its_last_event_gets_one(discs: Path, tmp_path: Path) -> None:
    list(fit(create_config(discs, tmp_path / "run")))
    run = RunFolder(tmp_path / "run")
    lines = run.events.read_text().splitlines(keepends=True)
    run.events.write_text("".join(lines[:-1]) + lines[-1][:20])
    (run.checkpoints / ".last-0011aabb.tmp.pt").touch()
    ended = finish(resume(run.path))
    assert (ended.reason, ended.epochs_done) == ("finished", 2)
    assert isinstance(list(iter_events(run))[-1], RunEnded)
    assert not list(run.path.rglob(".*"))
    with pytest.raises(RunError, match="finished its training"):
        list(resume(run.path))


def stop_after(config: TrainConfig, epochs: int) -> None:
    events = fit(config)
    for event in events:
        if isinstance(event, EpochEnded) and event.epoch == epochs:
            break
    events.close()


def test_a_setting_that_is_edited_between_stop_and_resume_is_said_once(
    discs: Path, tmp_path: Path
) -> None:
    config = create_config(discs, tmp_path / "run", training={"epochs": 4})
    stop_after(config, 1)
    path = RunFolder(config.run).config
    text = path.read_text()
    assert "learning_rate: 0.01" in text
    path.write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.002"))

    def resume_once() -> list[str]:
        events = resume(config.run)
        said = []
        for event in events:
            if isinstance(event, EpochEnded):
                break
            said += [event.message] if isinstance(event, Warned) else []
        events.close()
        return said

    (said,) = resume_once()
    assert "changed since it was stopped: training.learning_rate was 0.01, is 0.002." in said
    assert resume_once() == []


def test_a_run_that_is_moved_has_not_changed(discs: Path, tmp_path: Path) -> None:
    config = create_config(discs, tmp_path / "run")
    stop_after(config, 1)
    config.run.rename(tmp_path / "moved")
    assert not [event for event in resume(tmp_path / "moved") if isinstance(event, Warned)]


def test_a_story_that_is_a_link_is_not_mended(discs: Path, tmp_path: Path) -> None:
    config = create_config(discs, tmp_path / "run")
    stop_after(config, 1)
    notes = tmp_path / "notes.txt"
    notes.write_text("line one\nline two\n")
    RunFolder(config.run).events.unlink()
    RunFolder(config.run).events.symlink_to(notes)
    with pytest.raises(WriteError, match="is a link to"):
        list(resume(config.run))
    assert notes.read_text() == "line one\nline two\n"


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [(5, 9, 9), ("auto", "all", 2), (5, "auto", 2), ("all", 4, 4)],
)
def test_steps_of_an_epoch_may_be_changed_between_epochs(
    discs: Path, tmp_path: Path, before: object, after: object, steps: int
) -> None:
    training = {"epoch_steps": before, "epochs": 2}
    events = fit(create_config(discs, tmp_path / "run", training=training))
    next(event for event in events if isinstance(event, EpochEnded))
    events.close()
    path = RunFolder(tmp_path / "run").config
    path.write_text(path.read_text().replace(f"epoch_steps: {before}", f"epoch_steps: {after}"))
    done = [event for event in resume(tmp_path / "run") if isinstance(event, StepsDone)]
    assert done[-1].steps == steps


def test_averaging_may_be_switched_on_later(discs: Path, tmp_path: Path) -> None:
    training = {"weight_average": 0.0, "epochs": 3, "monitor": "last"}
    events = fit(create_config(discs, tmp_path / "run", training=training))
    next(event for event in events if isinstance(event, EpochEnded))
    events.close()
    path = RunFolder(tmp_path / "run").config
    path.write_text(path.read_text().replace("weight_average: 0.0", "weight_average: 0.9"))
    list(resume(tmp_path / "run"))
    parts = read_state(tmp_path / "run")["parts"]
    name = "head.weight"
    assert not torch.allclose(parts["average"][name], parts["network"][name])
