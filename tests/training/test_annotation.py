"""Every loss on images that are annotated wholly, but for a void border, or in places only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.images import write_picture
from pixelwise.runs import RunFolder
from pixelwise.summaries import read_epochs
from pixelwise.training.fit import fit
from pixelwise.training.losses import LOSSES
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
