"""Real data sets, from the folder to scores: inspected, trained for a few epochs, evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import pixelwise as pw
from pixelwise.events import EpochEnded, RunEnded
from tests.conftest import find_data


@dataclass(frozen=True)
class Case:
    """A data set, what inspection must find, and a score that some learning reaches.

    `least` is the pixel accuracy after the epochs; a network that has learnt nothing but the most
    frequent class stays below it, see `chance` in the test.
    """

    folder: str
    classes: int
    channels: int
    images: int
    least: float
    data: dict[str, Any] = field(default_factory=dict)
    size: int = 96
    epochs: int = 4
    steps: int | str = "all"
    options: dict[str, Any] = field(default_factory=dict)


CASES = {
    "camvid": Case("camvid", 11, 3, 46, 0.45, {"resize": "96x128"}, size=64, steps=15),
    "cityscapes": Case(
        "cityscapes_layout_from_camvid", 19, 3, 12, 0.3, {"resize": "120x160"}, epochs=8
    ),
    "sstem, 9 grey codes": Case("sstem_vnc", 9, 1, 4, 0.35, {"resize": "384x384"}, epochs=5),
    "wbc, 3 grey codes": Case("wbc_dataset1", 3, 3, 40, 0.7, {"resize": "96x96"}, epochs=6),
    "stardist 2D and 3D, uint16": Case("stardist_samples", 2, 1, 2, 0.55, size=32, epochs=2),
}  # fmt: skip


@pytest.mark.longest
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_is_inspected_trained_and_evaluated(case: Case, data_dir: Path, tmp_path: Path) -> None:
    data = pw.load_dataset(data_dir / case.folder, **case.data)
    inspection = pw.inspect_dataset(data)
    assert inspection.sound, inspection.text()
    assert inspection.images == case.images
    assert len(data.classes) == case.classes
    assert data.in_channels == case.channels
    shares = [item.share for item in inspection.classes]
    assert sum(shares) == pytest.approx(1)
    config = pw.TrainConfig.create(
        data={"path": data_dir / case.folder, **case.data},
        run=tmp_path / "run",
        patches={"size": case.size},
        model={"name": "unet", "options": {"base_channels": 8, "depth": 3}},
        training={
            "epochs": case.epochs, "epoch_steps": case.steps, "batch_size": 8, "device": "cpu",
            "learning_rate": 3e-3, "loss": "cross_entropy", "monitor": "loss",
        },
    )  # fmt: skip
    events = list(pw.fit(config))
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert isinstance(events[-1], RunEnded)
    losses = [event.train_loss for event in epochs]
    assert losses[-1] < 0.9 * losses[0]
    result = pw.evaluate(tmp_path / "run" / "model.safetensors", data, device="cpu")
    assert set(result.images) == {sample.name for sample in data.samples}
    assert result.total.macro().accuracy > case.least
    annotated = sum(item.pixels for item in inspection.classes)
    assert result.total.pixels == annotated


def test_void_of_camvid_is_counted_nowhere(data_dir: Path) -> None:
    data = pw.load_dataset(data_dir / "camvid", resize="120x160")
    inspection = pw.inspect_dataset(data)
    assert 0.005 < inspection.void_share < 0.2
    assert "Void" not in [item.name.title() for item in data.classes]


def test_patches_of_real_data_train_like_the_images_they_come_from(
    data_dir: Path, tmp_path: Path
) -> None:
    data = pw.load_dataset(data_dir / "wbc_dataset1", resize="96x96")
    pw.make_patches(data, tmp_path / "patches", size=48)
    reopened = pw.load_dataset(tmp_path / "patches")
    train, validation = reopened.split(0.2, seed=0)
    assert not set(train.groups) & set(validation.groups)
    config = pw.TrainConfig.create(
        data={"path": tmp_path / "patches"},
        run=tmp_path / "run",
        model={"name": "unet", "options": {"base_channels": 4, "depth": 2}},
        training={
            "epochs": 2,
            "epoch_steps": "all",
            "batch_size": 16,
            "learning_rate": 1e-2,
            "device": "cpu",
        },
    )
    losses = [event.train_loss for event in pw.fit(config) if isinstance(event, EpochEnded)]
    assert losses[1] < losses[0]
    assert pw.read_card(tmp_path / "run" / "model.safetensors").patch_size == (48, 48)


@pytest.mark.parametrize("ci", ["", "true"])
@pytest.mark.parametrize("required", ["", "0", "1"])
def test_data_that_are_not_there_fail_only_where_they_are_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, required: str
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PIXELWISE_REQUIRE_DATA", required)
    monkeypatch.setenv("PIXELWISE_DATA", str(tmp_path / "none"))
    expected = pytest.fail.Exception if required == "1" else pytest.skip.Exception
    with pytest.raises(expected, match=r"no real data in .+none: set PIXELWISE_DATA"):
        find_data()
    monkeypatch.setenv("PIXELWISE_DATA", str(tmp_path))
    assert find_data() == tmp_path
