from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pixelwise.cards import METADATA_KEY
from pixelwise.config import TrainConfig
from pixelwise.improvement import create_improvement, find_config, has_older_data
from pixelwise.runs import create_run
from tests.test_cards import CARD


def write_model(path: Path) -> Path:
    save_file({"w": np.ones(5)}, path, metadata={METADATA_KEY: CARD.model_dump_json()})
    return path


@pytest.fixture
def run(tmp_path: Path) -> TrainConfig:
    """A run with a model and its data."""
    (tmp_path / "data").mkdir()
    config = TrainConfig.create(
        data={"path": tmp_path / "data", "validation_fraction": 0.3},
        run=tmp_path / "first",
        patches={"size": 64},
        model={"pretrained": True, "encoder": "resnet18"},
        augmentation={"preset": "flips"},
        training={
            "learning_rate": 2e-3,
            "epochs": 90,
            "minutes": 60,
            "patience": 3,
            "monitor": "iou",
        },
    )
    write_model(create_run(config).model)
    return config


def test_training_goes_on_gently_with_the_older_data(run: TrainConfig, tmp_path: Path) -> None:
    model = run.run / "model.safetensors"
    found = create_improvement(model, corrections=tmp_path / "more", run=tmp_path / "second")
    assert found.data == run.data.model_copy(update={"corrections": tmp_path / "more"})
    assert found.model.start_from == model
    assert not found.model.pretrained
    assert (found.patches, found.augmentation) == (run.patches, run.augmentation)
    assert found.training.learning_rate < run.training.learning_rate / 5
    assert found.training.epochs * (found.training.epoch_steps or 10**9) < 100
    assert found.training.minutes is None
    assert found.training.keep_start is not None
    assert has_older_data(model)


def test_corrections_are_all_the_data_where_the_older_are_gone(
    run: TrainConfig, tmp_path: Path
) -> None:
    run.data.path.rmdir()
    model = run.run / "model.safetensors"
    assert not has_older_data(model)
    found = create_improvement(model, corrections=tmp_path / "more", run=tmp_path / "second")
    assert (found.data.path, found.data.corrections) == (tmp_path / "more", None)
    assert found.data.sparse
    assert found.data.classes == {"1": "background", "2": "cell"}
    assert found.patches == run.patches


def test_a_model_without_a_run_has_no_older_data(tmp_path: Path) -> None:
    model = write_model(tmp_path / "sent.safetensors")
    assert find_config(model) is None
    found = create_improvement(model, corrections=tmp_path, run=tmp_path / "second")
    assert found.patches.size == CARD.patch_size


def test_another_model_in_a_run_folder_is_not_the_run_s(run: TrainConfig) -> None:
    assert find_config(run.run / "checkpoints" / "epoch-0010.safetensors") is not None
    assert find_config(run.run / "copied.safetensors") is None
