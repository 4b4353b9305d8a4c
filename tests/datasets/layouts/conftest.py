"""Exports that the tools' own libraries wrote, and the masks that these libraries draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets import Dataset

EXPORTS = Path(__file__).resolve().parents[2] / "fixtures" / "exports"


@pytest.fixture
def exports() -> Path:
    """Return the folder of real exports; `write.py` there says how each was made."""
    return EXPORTS


@pytest.fixture
def require_truth() -> Callable[[Dataset, str], None]:
    """Return a check that every mask of a data set is, pixel by pixel, what the tool draws."""

    def check(data: Dataset, name: str) -> None:
        truth = EXPORTS / "truth" / name
        assert len(data.samples) == len(list(truth.iterdir()))
        for sample in data.samples:
            expected = np.asarray(Image.open(truth / f"{sample.name}.png"))
            assert np.array_equal(sample.read_mask(), expected[None]), sample.name
            assert len(np.unique(expected)) > 1 or sample.name == "000000000003"

    return check
