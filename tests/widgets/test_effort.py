from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pixelwise.config import DataConfig
from pixelwise.widgets import effort
from pixelwise.widgets.effort import EFFORTS, OWN
from tests.widgets.conftest import add_pairs

Open = Callable[..., Any]


def test_epochs_follow_from_the_pixels() -> None:
    quick = EFFORTS["quick"]
    few = quick.fields(256 * 256, batch_size=8, side=256)
    many = quick.fields(64 * 256 * 256, batch_size=8, side=256)
    assert few["epochs"] * few["epoch_steps"] == quick.steps
    assert many["epochs"] == round(quick.steps / 32)  # 256 patches are 32 steps
    assert many["epoch_steps"] == "auto"
    assert (few["monitor"], many["monitor"]) == ("last", "dice")
    assert quick.fields(None, batch_size=8, side=None)["epochs"] == quick.epochs
    assert quick.fields(10**12, batch_size=8, side=10**6)["epochs"] >= 5


def test_patches_fit_into_small_images() -> None:
    assert EFFORTS["quick"].fields(64 * 64, batch_size=8, side=64)["size"] == 64
    assert EFFORTS["balanced"].fields(200 * 200, batch_size=8, side=200)["size"] == 192
    assert EFFORTS["quick"].fields(20 * 20, batch_size=8, side=20)["size"] == "auto"
    assert EFFORTS["quick"].fields(64 * 64, batch_size=8, side=128)["size"] == 128


def test_few_images_keep_the_newest_epoch(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Train")
    add_pairs(widget.viewer, 1, size=256)
    settings = widget.settings
    settings.effort.value = "quick"
    config = settings.create(DataConfig(path=tmp_path), tmp_path / "run")
    assert config.training.monitor == "last"
    assert config.training.epochs * config.training.epoch_steps == EFFORTS["quick"].steps
    assert settings.effort.value == "quick"


@pytest.mark.parametrize(("gpu", "chosen"), [(False, "quick"), (True, "balanced")])
@pytest.mark.display
def test_the_choice_fills_the_fields_and_a_change_by_hand_is_noticed(
    open_widget: Open, monkeypatch: pytest.MonkeyPatch, gpu: bool, chosen: str
) -> None:
    monkeypatch.setattr("pixelwise.widgets.training_settings.has_gpu", lambda: gpu)
    widget = open_widget("Train")
    add_pairs(widget.viewer, 2, size=256)
    settings = widget.settings
    assert settings.effort.value == chosen
    for name, wanted in EFFORTS.items():
        settings.effort.value = name
        assert widget.model.create() == wanted.model
        assert settings.effort.value == name
        config = widget.training.values
        assert float(config["learning_rate"]) == wanted.learning_rate
    settings.effort.value = "quick"
    assert settings.more.values["epoch_steps"] == "20"
    few = widget.training["epochs"].value
    add_pairs(widget.viewer, 1, size=2048)
    assert widget.training["epochs"].value < few
    assert settings.more.values["epoch_steps"] == "auto"
    assert settings.effort.value == "quick"
    widget.training["epochs"].value = 7
    assert settings.effort.value == OWN
    add_pairs(widget.viewer, 1, size=256)
    assert widget.training["epochs"].value == 7
    settings.effort.value = "thorough"
    widget.model.options.fill({"depth": 3})
    assert settings.effort.value == OWN


def test_a_gpu_is_guessed_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort.sys, "platform", "linux")
    monkeypatch.setattr(effort.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert effort.has_gpu()
    monkeypatch.setattr(effort.shutil, "which", lambda _: None)
    assert not effort.has_gpu()
