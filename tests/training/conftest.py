"""A data set that trains in a second: bright discs on a dark, noisy ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelwise.config import TrainConfig
from pixelwise.images import write_picture
from pixelwise.runs import RunFolder
from pixelwise.summaries import read_epochs


def write_discs(folder: Path, *, images: int = 6, size: int = 64, void: bool = False) -> Path:
    """Write `pairs` of RGB images and masks of 0, 255 (and 128, in the border, for void)."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:size, :size]
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(images):
        y, x = rng.uniform(size * 0.3, size * 0.7, 2)
        distance = np.hypot(rows - y, columns - x)
        disc = distance < size * 0.25
        image = rng.normal(60, 15, (size, size, 3)) + 120 * disc[..., None]
        mask = np.where(disc, 255, 0)
        if void:
            mask[np.abs(distance - size * 0.25) < 2] = 128
        write_picture(folder / "images" / f"{number}.png", image.clip(0, 255).astype(np.uint8))
        write_mask(folder / "masks" / f"{number}.png", mask.astype(np.uint8))
    return folder


def write_mask(path: Path, mask: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(mask).save(path)


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(tmp_path_factory.mktemp("discs"))


def create_config(path: Path, run: Path, /, **sections: Any) -> TrainConfig:
    """Config of a tiny training; each section's fields override the defaults here."""
    base: dict[str, dict[str, Any]] = {
        "data": {"path": path, "validation_fraction": 0.34},
        "patches": {"size": 64},
        "model": {"name": "unet", "options": {"base_channels": 4, "depth": 2}},
        "augmentation": {"preset": "light"},
        "training": {
            "epochs": 2, "epoch_steps": "all", "batch_size": 2, "learning_rate": 1e-2,
            "device": "cpu", "precision": "fp32",  # on every machine
            "previews": 1, "normalization": "dataset",
        },
    }  # fmt: skip
    merged = {name: values | sections.get(name, {}) for name, values in base.items()}
    return TrainConfig.create(run=run, **merged)


def read_state(run: Path) -> dict[str, Any]:
    """Read the newest checkpoint of a run, as it lies on the disk."""
    state: dict[str, Any] = torch.load(RunFolder(run).state, weights_only=True)
    return state


def assert_same_result(first: Path, second: Path) -> None:
    """Two runs have the same state and model file, bit for bit."""
    ours, theirs = read_state(first), read_state(second)
    for state in (ours, theirs):
        del state["progress"]["settings"]["data.path"]  # may be another, of the same data
    assert ours["progress"] == theirs["progress"]
    assert flatten(ours["parts"]) == flatten(theirs["parts"])
    assert RunFolder(first).model.read_bytes() == RunFolder(second).model.read_bytes()


def assert_same_run(first: Path, second: Path) -> None:
    """Two runs have the same result, and tell the same of their epochs."""
    assert_same_result(first, second)
    runs = RunFolder(first), RunFolder(second)
    figures = [
        [(e.epoch, e.train_loss, e.validation_loss, e.scores, e.best) for e in read_epochs(run)]
        for run in runs
    ]
    assert figures[0] == figures[1]


def flatten(value: Any) -> Any:
    """Nested state with bytes in place of tensors, so that it can be compared."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: flatten(item) for key, item in value.items()}
    return [flatten(item) for item in value] if isinstance(value, list | tuple) else value
