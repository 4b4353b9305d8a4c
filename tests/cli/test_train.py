from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest

from pixelwise.cli import stopping
from pixelwise.config import TrainConfig
from pixelwise.errors import WriteError
from pixelwise.events import EpochEnded, Event, RunEnded, StepsDone, parse_event
from pixelwise.images import read_image
from pixelwise.runs import RunFolder, create_run, iter_events, lock_run, request_stop
from pixelwise.training.fit import fit
from tests.conftest import LONG
from tests.test_events import EVENTS
from tests.training.conftest import read_state

SMALL = (
    "--size", 64, "--options", "base_channels=4,depth=2", "--batch-size", 2, "--device", "cpu",
    "--validation-fraction", 0.34, "--previews", 0,
)  # fmt: skip


def test_trains_and_lists_and_describes(
    pixelwise: Callable,
    discs: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "runs" / "a"
    result = pixelwise("train", discs, "--out", run, "--epochs", 2, "--lr", 0.01, *SMALL)
    assert result.status == 0, result.err
    assert "epoch 2/2: loss" in result.out
    assert "no GPU" in result.out or "asked for" in result.out
    listed = json.loads(pixelwise("runs", tmp_path / "runs", "--json").out)
    assert [(each["state"], each["epoch"]) for each in listed] == [("finished", 2)]
    assert "finished, epoch 2 of 2" in pixelwise("info", run).out
    card = json.loads(pixelwise("info", run / "model.safetensors", "--json").out)
    assert card["architecture"] == "unet"
    assert card["options"]["base_channels"] == 4
    again = pixelwise("train", discs, "--out", run, *SMALL)
    assert again.status == 1
    assert "pixelwise resume" in again.err


def test_json_lines_are_the_events(pixelwise: Callable, discs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = pixelwise("train", discs, "--out", run, "--epochs", 1, "--json", *SMALL)
    assert result.status == 0, result.err
    assert [parse_event(line) for line in result.out.splitlines()] == list(
        iter_events(RunFolder(run))
    )


def test_an_unexpected_error_is_said_and_its_traceback_is_kept(
    pixelwise: Callable, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: [an illegal] memory access")

    monkeypatch.setattr("pixelwise.training.loop.validate", fail)
    run = RunFolder(tmp_path / "run")
    result = pixelwise("train", discs, "--out", run.path, *SMALL)
    assert result.status == 1
    assert "unexpected RuntimeError: CUDA error: [an illegal] memory access" in result.err
    assert str(run.log) in result.err
    assert "--debug" not in result.err
    assert "Traceback" in run.log.read_text()


def test_options_change_a_config_file(pixelwise: Callable, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {path: images, void: [7]}\nrun: r\ntraining: {epochs: 3, seed: 5}\n")
    result = pixelwise("train", path, "--epochs", 9, "--classes", "0=bg,255=cell", "--dry-run")
    config = TrainConfig.from_yaml(result.out)
    assert (config.training.epochs, config.training.seed) == (9, 5)
    assert config.data.void == (7,)
    assert config.data.classes == {"0": "bg", "255": "cell"}


EVERY_OPTION = {
    "layout": "pairs", "images": "i", "masks": "m", "mask_suffix": "_m", "classes": "instances",
    "void": "1,2", "axes": "YX", "resize": "64x32", "validation": "v", "test": "w",
    "validation_fraction": 0.5, "split_seed": 4, "size": "96", "step": "48", "edge": "drop",
    "min_foreground": 0.1, "model": "segnet", "weights": "w", "start_from": "s",
    "augment": "none", "rotate": 10, "scale": 0.1, "brightness": 0.1, "contrast": 0.1,
    "stain": 0.1, "noise": 0.1, "blur": 1, "epochs": 3, "batch_size": 3, "loss": "focal",
    "class_weights": "1,2", "optimizer": "sgd", "learning_rate": 0.1,
    "min_learning_rate": 0.01, "weight_decay": 0.1, "momentum": 0.5, "schedule": "cyclic",
    "warmup_epochs": 2, "cycle_epochs": 2, "plateau_epochs": 2, "patience": 2, "monitor": "iou",
    "normalization": "percentile", "device": "cpu", "precision": "bf16", "seed": 3,
    "corrections": "c", "epoch_steps": 5, "weight_average": 0.5, "keep_start": 0.1,
    "keep_every": 2, "save_minutes": 5, "previews": 1,
}  # fmt: skip
EVERY_SWITCH = ["sparse", "skip_unreadable", "freeze_encoder", "flips", "rotate90", "shift",
                "deterministic", "compile", "sync_batch_norm", "tensorboard"]  # fmt: skip


def test_every_option_reaches_the_config(pixelwise: Callable) -> None:
    options = [text for k, v in EVERY_OPTION.items() for text in (f"--{k.replace('_', '-')}", v)]
    switches = [f"--{name.replace('_', '-')}" for name in EVERY_SWITCH]
    result = pixelwise("train", "d", "--out", "r", "--dry-run", *options, *switches)
    assert result.status == 0, result.err
    config = TrainConfig.from_yaml(result.out)
    default = TrainConfig.create(data={"path": Path("d").absolute()}, run="r")
    sections = ["data", "patches", "model", "augmentation", "training"]
    unchanged = {
        f"{section}.{field}"
        for section in sections
        for field, value in getattr(config, section).model_dump().items()
        if value == getattr(default, section).model_dump()[field]
    }
    # the encoder and options belong to other networks than segnet; pretrained excludes weights, and
    # folds a validation folder, minutes epochs
    assert unchanged == {
        "data.path", "data.fold", "data.folds", "training.minutes",
        "model.encoder", "model.options", "model.pretrained",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "unnet"], "Did you mean 'unet'"),
        (["--options", "with=3"], "no option 'with'"),
        (["--lr", "fast"], "learning_rate"),
        (["--loss", "hinge"], "hinge"),
        (["--size", "0"], "greater than or equal to 1"),
        (["--min-learning-rate", "0.1"], "must not exceed"),
        (["--pretrained", "--weights", "w"], "give one"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_use_ends_with_2_and_says_why(
    pixelwise: Callable, arguments: list[str], message: str
) -> None:
    result = pixelwise("train", "data", "--out", "run", *arguments)
    assert result.status == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not Path("run").exists()


def test_no_run_folder_is_wrong_use(pixelwise: Callable) -> None:
    result = pixelwise("train", "data")
    assert result.status == 2
    assert "--out runs/" in result.err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to handle")
def test_a_signal_saves_and_stops_and_resume_goes_on(discs: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    command = [sys.executable, "-m", "pixelwise"]
    options = ["--out", run.path, "--epochs", "400", *SMALL]
    child = subprocess.Popen([str(x) for x in [*command, "train", discs, *options]])
    try:
        deadline = time.monotonic() + LONG
        while not any(isinstance(event, EpochEnded) for event in iter_events(run)):
            assert time.monotonic() < deadline
            assert child.poll() is None
            time.sleep(0.1)
        child.send_signal(signal.SIGTERM)
        assert child.wait(LONG) == 0
    finally:
        child.kill()
    last = list(iter_events(run))[-1]
    assert isinstance(last, RunEnded)
    assert last.reason == "stopped"
    text = run.config.read_text().replace("epochs: 400", f"epochs: {last.epochs_done + 1}")
    run.config.write_text(text)
    assert subprocess.run([*command, "resume", str(run.path)], check=True).returncode == 0
    last = list(iter_events(run))[-1]
    assert isinstance(last, RunEnded)
    assert last.reason == "finished"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to handle")
def test_a_signal_stops_and_saves_where_the_request_cannot_be_written(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(run: RunFolder) -> None:
        raise WriteError(f"Cannot write {run.stop_request}: Disk quota exceeded.")

    config = TrainConfig.create(
        run=tmp_path / "run",
        data={"path": discs, "validation_fraction": 0.34},
        patches={"size": 32},
        model={"options": {"base_channels": 4, "depth": 2}},
        training={"epochs": 400, "batch_size": 2, "device": "cpu", "previews": 0},
    )
    monkeypatch.setattr(stopping, "request_stop", refuse)
    seen = list[Event]()
    with stopping.stop_on_signals(RunFolder(config.run), fit(config)) as events:
        for event in events:
            seen.append(event)
            if isinstance(event, StepsDone) and event.epoch == 2:
                os.kill(os.getpid(), signal.SIGTERM)
    last = seen[-1]
    assert isinstance(last, StepsDone)
    progress = read_state(config.run)["progress"]
    assert (progress["epoch"], progress["step"]) == (1, last.step)
    said = capsys.readouterr().err
    assert "Disk quota exceeded" in said
    assert "the run will be saved" not in said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to handle")
def test_a_signal_before_the_training_has_begun_asks_nobody_else_to_stop(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.events.touch()  # of a training that another process is at

    def wait() -> Generator[Event, None, None]:
        os.kill(os.getpid(), signal.SIGTERM)
        yield EVENTS["run_started"]

    with pytest.raises(KeyboardInterrupt), stopping.stop_on_signals(run, wait()) as events:
        list(events)
    assert not run.stop_request.exists()


def test_a_stop_asked_for_while_the_command_starts_counts(
    pixelwise: Callable, discs: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    assert pixelwise("train", discs, "--out", run.path, "--epochs", 1, *SMALL).status == 0
    run.config.write_text(run.config.read_text().replace("epochs: 1", "epochs: 9"))
    request_stop(run)  # this process began before
    assert pixelwise("resume", run.path).status == 0
    last = list(iter_events(run))[-1]
    assert isinstance(last, RunEnded)
    assert (last.reason, last.epochs_done) == ("stopped", 1)


def test_stop_asks_a_training_by_a_file(pixelwise: Callable, tmp_path: Path) -> None:
    run = create_run(TrainConfig.create(data={"path": "d"}, run=tmp_path / "run"))
    idle = pixelwise("stop", run.path)
    assert idle.status == 1
    assert "it is waiting" in idle.err
    assert not run.stop_request.exists()
    run.append(EVENTS["run_started"])
    with lock_run(run):
        assert pixelwise("stop", run.path).status == 0
    assert run.stop_request.exists()
    run.stop_request.unlink()
    run.append(EVENTS["run_ended"])
    with lock_run(run):  # it is resumed, and reads its data
        assert pixelwise("stop", run.path).status == 0
    assert run.stop_request.exists()
    assert pixelwise("stop", tmp_path / "none").status == 1


def test_zero_and_off_are_values_too(pixelwise: Callable) -> None:
    options = {"weight-decay": 0, "momentum": 0, "warmup-epochs": 0, "previews": 0, "rotate": 0}
    given = [text for name, value in options.items() for text in (f"--{name}", value)]
    result = pixelwise("train", "d", "--out", "r", "--dry-run", *given, "--no-flips")
    assert result.status == 0, result.err
    config = TrainConfig.from_yaml(result.out)
    training, augmentation = config.training, config.augmentation
    assert (training.weight_decay, training.momentum, training.warmup_epochs) == (0, 0, 0)
    assert (training.previews, augmentation.rotate, augmentation.flips) == (0, 0, False)


@pytest.mark.parametrize("command", ["train", "compare"])
def test_one_budget_at_a_time(pixelwise: Callable, command: str) -> None:
    result = pixelwise(command, "d", "--out", "r", "--epochs", 3, "--minutes", 2)
    assert result.status == 2
    assert "leave out one" in result.err
    if command == "train":
        result = pixelwise(command, "d", "--out", "r", "--minutes", 2, "--dry-run")
        assert TrainConfig.from_yaml(result.out).training.minutes == 2


def test_all_folds_are_trained_and_predict_together(
    pixelwise: Callable, discs: Path, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(
        f"data: {{path: {discs}, folds: 2}}\npatches: {{size: 64}}\n"
        "model: {name: unet, options: {base_channels: 4, depth: 2}}\n"
        "training: {epochs: 1, epoch_steps: 2, batch_size: 2, device: cpu, previews: 0}\n"
    )
    out = tmp_path / "folds"
    for _ in range(2):  # the second time, nothing is left to train
        result = pixelwise("train", tmp_path / "c.yaml", "--out", out)
        assert result.status == 0, result.err
    assert "fold-2" not in result.err
    text = (out / "comparison.md").read_text()
    assert "6 images from 6 sources" in text
    assert "| unet | 0." in text.partition("Dice of each fold")[2]
    image = discs / "images" / "0.png"
    predicted = pixelwise("predict", out, image, "--out", tmp_path / "p", "--probabilities")
    assert predicted.status == 0, predicted.err
    both = []
    for fold in (1, 2):
        run, folder = out / "runs" / f"unet-fold-{fold}", tmp_path / str(fold)
        assert pixelwise("predict", run, image, "--out", folder, "--probabilities").status == 0
        both.append(read_image(next(folder.glob("*.tif")))[0].astype(float))
    assert np.abs(both[0] - both[1]).max() > 0.05, "the folds differ"
    found = read_image(next((tmp_path / "p").glob("*.tif")))[0].astype(float)
    np.testing.assert_allclose(found, np.mean(both, axis=0), atol=0.005)
    assert "ensemble of 2 x unet" in pixelwise("info", out).out
    assert "6 images" in pixelwise("info", out).out
    assert "unet-fold-2" in pixelwise("runs", out).out
    (out / "ensemble.safetensors").unlink()
    refused = pixelwise("predict", out, image, "--out", tmp_path / "q")
    assert "give one of the folders in" in refused.err
    assert "Give one of the runs in" in pixelwise("resume", out).err
    assert pixelwise("train", tmp_path / "c.yaml", "--out", out).status == 0  # writes it anew
    refused = pixelwise("improve", out, discs, "--out", tmp_path / "i")
    assert refused.status == 2
    assert "joins several models" in refused.err
