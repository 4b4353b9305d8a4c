from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from pixelwise.datasets import load_dataset
from pixelwise.samples import load_samples, samples_path


def test_raster() -> None:
    samples = load_samples()
    assert [sample.split for sample in samples] == ["train"] * 24 + ["test"] * 8
    assert len({sample.name for sample in samples}) == 32
    for sample in samples:
        assert (sample.image.dtype, sample.mask.dtype) == (np.uint8, np.uint8)
        assert sample.image.shape == (*sample.mask.shape, 3)
        assert max(sample.mask.shape) <= 360
        assert set(np.unique(sample.mask)) == {0, 1}
    with pytest.raises(FrozenInstanceError):
        samples[0].name = "b"  # type: ignore[misc]


def test_both_parts_hold_dark_and_bright_images() -> None:
    for split in ("train", "test"):
        means = [sample.image.mean() for sample in load_samples() if sample.split == split]
        assert min(means) < 50
        assert max(means) > 120


def test_they_are_a_data_set() -> None:
    data = load_dataset(samples_path())
    assert (data.layout, len(data.samples)) == ("pairs", 32)
    assert "0 = background, 255 = foreground" in data.mapping
    train, validation = data.split()
    assert (len(train.samples), len(validation.samples)) == (19, 5)
    assert {sample.split for sample in (*train.samples, *validation.samples)} == {"train"}
    assert len(data.select("test").samples) == 8


def test_they_are_small_and_their_licence_is_beside_them() -> None:
    assert sum(file.stat().st_size for file in samples_path().rglob("*.png")) < 2_500_000
    assert "CC0" in (samples_path() / "README.md").read_text(encoding="utf-8")
