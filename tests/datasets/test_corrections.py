from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.classes import VOID
from pixelwise.config import DataConfig
from pixelwise.datasets import load_dataset
from pixelwise.datasets.corrections import load_corrections
from pixelwise.errors import DataError
from pixelwise.images import write_tiff


def write_pair(folder: Path, image: np.ndarray, mask: np.ndarray, *, axes: str = "YX") -> Path:
    for part, pixels, names in (("images", image, axes), ("masks", mask, "YX")):
        (folder / part).mkdir(parents=True, exist_ok=True)
        write_tiff(folder / part / "a.tif", pixels, axes=names)
    return folder


def create(tmp_path: Path, *, axes: str = "YX") -> tuple[DataConfig, DataConfig]:
    """Data with the mask values 0 and 255, and the same with corrections."""
    mask = np.zeros((8, 9), np.uint8)
    mask[:4] = 255
    data = write_pair(tmp_path / "data", np.ones((8, 9), np.uint8), mask)
    strokes = np.zeros((8, 9), np.uint8)
    strokes[0], strokes[1] = 1, 2
    shape = (3, 8, 9) if axes == "CYX" else (8, 9)
    beside = write_pair(tmp_path / "beside", np.ones(shape, np.uint8), strokes, axes=axes)
    config = DataConfig.create(path=data, classes={"0": "ground", "255": "cell"})
    return config, config.model_copy(update={"corrections": beside})


def test_values_are_the_classes_of_the_data_from_1_on(tmp_path: Path) -> None:
    plain, config = create(tmp_path)
    data = load_dataset(plain)
    assert load_corrections(plain, data) == ()
    (sample,) = load_corrections(config, data)
    assert sample.name != data.samples[0].name, "both are named in the run's fingerprint"
    mask = sample.read_mask()[0]
    assert [set(row) for row in mask[:3]] == [{0}, {1}, {VOID}]


def test_other_channels_are_refused(tmp_path: Path) -> None:
    plain, config = create(tmp_path, axes="CYX")
    with pytest.raises(DataError, match=r"have 3 channels, .+ have 1: expected as many"):
        load_corrections(config, load_dataset(plain))
