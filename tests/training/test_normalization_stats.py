"""Images whose intensities one normalisation, or one range, cannot treat alike."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import ConfigError
from pixelwise.images import read_image, write_tiff
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.training.fit import fit
from pixelwise.training.normalization_stats import _measure, create_normalization, find_range
from pixelwise.training.setup import prepare
from tests.training.conftest import create_config, write_discs


def plane(dtype: type, largest: float) -> DecodedImage:
    image = np.linspace(0, largest, 3 * 8 * 8).reshape(3, 8, 8).astype(dtype)
    return DecodedImage("p", image, np.zeros((8, 8), np.uint8))


def write_deep_discs(folder: Path) -> Path:
    """Write discs in 16 bits."""
    write_discs(folder)
    for path in (folder / "images").iterdir():
        pixels, _ = read_image(path)
        path.unlink()
        write_tiff(path.with_suffix(".tif"), pixels.astype(np.uint16) * 100, axes="YXC")
    return folder


def test_white_is_the_largest_value_there_is() -> None:
    assert find_range([plane(np.uint8, 90)]) == 255
    assert find_range([plane(np.uint16, 900), plane(np.uint16, 4095)]) == 4095
    assert find_range([plane(np.float32, 0.9)]) == pytest.approx(0.9)
    assert find_range([plane(np.uint16, 0)]) == 1


def test_stains_are_told_where_white_is(tmp_path: Path) -> None:
    deep = write_deep_discs(tmp_path / "deep")
    augmentation = {"preset": "histology"}
    setup = prepare(create_config(deep, tmp_path / "run", augmentation=augmentation))
    largest = max(float(plane.image.max()) for plane in setup.train.dataset.images)
    assert setup.augmentation.intensity_range == largest > 1


@pytest.mark.parametrize("normalization", ["none", "dataset", "imagenet"])
def test_validation_images_of_another_dtype_are_refused(
    discs: Path, tmp_path: Path, normalization: str
) -> None:
    deep = write_deep_discs(tmp_path / "deep")
    sections = {"data": {"validation": deep}, "training": {"normalization": normalization}}
    with pytest.raises(ConfigError, match=r"several dtypes \(uint16, uint8\).+percentile"):
        prepare(create_config(discs, tmp_path / "run", **sections))
    for name in ("percentile", "auto"):
        sections["training"] = {"normalization": name}
        assert prepare(create_config(discs, tmp_path / "run", **sections)).validation_images == 6


def test_a_model_of_another_dtype_does_not_lend_its_normalisation(
    discs: Path, tmp_path: Path
) -> None:
    list(fit(create_config(discs, tmp_path / "first", training={"epochs": 1})))
    model = {"start_from": tmp_path / "first" / "model.safetensors"}
    deep = write_deep_discs(tmp_path / "deep")
    auto = {"normalization": "auto"}
    with pytest.raises(ConfigError, match=r"trained on images of uint8.+these are of uint16"):
        prepare(create_config(deep, tmp_path / "run", model=model, training=auto))
    training = {"normalization": "dataset"}
    setup = prepare(create_config(deep, tmp_path / "run", model=model, training=training))
    assert setup.card.dtype == "uint16"
    setup = prepare(create_config(discs, tmp_path / "run", model=model, training=auto))
    assert setup.card.dtype == "uint8"
    assert setup.card.normalization.kind == "fixed"


def test_auto_takes_each_image_by_itself_unless_its_encoder_knows_better(
    discs: Path, tmp_path: Path
) -> None:
    auto = {"normalization": "auto"}
    setup = prepare(create_config(discs, tmp_path / "run", training=auto))
    assert setup.card.normalization.kind == "percentile"
    config = create_config(discs, tmp_path / "run", training=auto)
    known = config.model_copy(
        update={"model": config.model.model_copy(update={"weights": tmp_path / "w"})}
    )
    images = setup.train.dataset.images
    assert create_normalization(config, images, is_cut=True).source == (
        "mean and std of the training images"
    )
    assert create_normalization(known, images).source.startswith("ImageNet")


def test_mean_and_std_need_memory_for_some_rows_only() -> None:
    pixels = np.random.default_rng(0).integers(0, 250, (2, 8192, 512), dtype=np.uint8)
    one = DecodedImage("p", pixels, np.zeros((8192, 512), np.uint8))
    tracemalloc.start()
    try:
        mean, std = _measure([one])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * pixels.size / 4
    np.testing.assert_allclose(mean, pixels.mean(axis=(1, 2)))
    np.testing.assert_allclose(std, pixels.std(axis=(1, 2)))
