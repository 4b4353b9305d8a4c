"""Every loss on images that are annotated wholly, but for a void border, or in places only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelwise.datasets import load_dataset
from pixelwise.errors import DataError
from pixelwise.images import read_image, write_picture
from pixelwise.runs import RunFolder
from pixelwise.summaries import read_epochs
from pixelwise.training.fit import fit
from pixelwise.training.losses import LOSSES
from pixelwise.training.setup import prepare
from pixelwise.training.state import TrainingState
from pixelwise.training.validation import _evaluating, normalize, validate
from tests.training.conftest import assert_same_run, create_config, write_mask

MASKS: dict[str, dict[str, Any]] = {
    "dense": {"classes": {"0": "ground", "1": "disc"}},
    "void": {"classes": {"0": "ground", "1": "disc"}, "void": (7, 9)},
    "sparse": {"sparse": True, "classes": {"1": "ground", "2": "disc"}},
}


def write_data(folder: Path, kind: str, *, other: bool = False) -> Path:
    """Write discs with masks of that kind; `other` only calls the void border another name."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:64, :64]
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(6):
        y, x = rng.uniform(20, 44, 2)
        distance = np.hypot(rows - y, columns - x)
        image = rng.normal(60, 15, (64, 64)) + 120 * (distance < 16)
        mask = (distance < 16).astype(np.uint8)
        if kind == "void":
            mask[np.abs(distance - 16) < 2] = 9 if other else 7
        elif kind == "sparse":
            mask = np.where((rows // 8 + columns // 8) % 3 == 0, mask + 1, 0).astype(np.uint8)
        write_picture(folder / "images" / f"{number}.png", image.clip(0, 255).astype(np.uint8))
        write_mask(folder / "masks" / f"{number}.png", mask)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Path]:
    root = tmp_path_factory.mktemp("annotation")
    return {
        (kind, other): write_data(root / f"{kind}-{other}" / "data", kind, other=other)
        for kind in MASKS
        for other in (False, True)
    }


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_same_bits_twice_whatever_void_is_called(
    data: dict[tuple[str, bool], Path], tmp_path: Path, loss: str, kind: str
) -> None:
    training = {"loss": loss, "epochs": 3, "deterministic": True, "previews": 0}
    for other in (False, True):
        run, masks = tmp_path / str(other), MASKS[kind]
        list(fit(create_config(data[kind, other], run, data=masks, training=training)))
    assert_same_run(tmp_path / "False", tmp_path / "True")
    first, *_, last = read_epochs(RunFolder(tmp_path / "True"))
    assert first.train_loss is not None
    assert last.train_loss is not None
    assert last.train_loss < first.train_loss


def write_square(folder: Path) -> Path:
    """Write the sparse discs with annotation in one square of 16 x 16 of each image only."""
    write_data(folder, "sparse")
    for path in (folder / "masks").iterdir():
        mask, _ = read_image(path)
        kept = np.zeros_like(mask)
        kept[16:32, 16:32] = mask[16:32, 16:32]
        write_mask(path, kept)
    return folder


@pytest.mark.parametrize("batch_size", [2, 5])
def test_validation_loss_is_a_mean_over_what_is_annotated(tmp_path: Path, batch_size: int) -> None:
    data = write_square(tmp_path / "data")
    training = {"batch_size": batch_size, "loss": "cross_entropy"}
    sections = {"data": MASKS["sparse"], "patches": {"size": 32}, "training": training}
    state = TrainingState(prepare(create_config(data, tmp_path / "run", **sections)))
    store = state.setup.validation
    assert len(store) == state.setup.validation_images
    with _evaluating(state), torch.inference_mode():
        losses = [
            float(state.setup.loss(state.local_network(normalize(batch)), batch.mask))
            for batch in (store.read_once([number]) for number in range(len(store)))
        ]
    assert validate(state).loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_validation_images_without_annotation_are_refused(tmp_path: Path) -> None:
    data = load_dataset(write_data(tmp_path / "data", "sparse"), **MASKS["sparse"])
    _, validation = data.split(0.34, seed=0)
    for sample in validation.samples:
        write_mask(sample.mask_path, np.zeros((64, 64), np.uint8))
    config = create_config(data.root, tmp_path / "run", data=MASKS["sparse"])
    with pytest.raises(DataError, match=r"no annotated pixel.+--validation.+--split-seed") as error:
        next(fit(config))
    assert all(sample.name in str(error.value) for sample in validation.samples)
    assert not (tmp_path / "run").exists()
