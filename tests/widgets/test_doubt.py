from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import DataError
from pixelwise.widgets.doubt import measure_doubt


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_value_is_one_minus_the_largest_probability(tmp_path: Path, dtype: type) -> None:
    sure, unsure = np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.5)
    sure[1] = 1
    scale = 255 if dtype is np.uint8 else 1
    np.save(tmp_path / "p.npy", (np.stack([sure, unsure]) * scale).astype(dtype))
    assert measure_doubt(tmp_path / "p.npy") == pytest.approx(0.25, abs=0.002)


def test_labels_are_no_probabilities(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros((1, 4, 4)))
    with pytest.raises(DataError, match="expected"):
        measure_doubt(tmp_path / "p.npy")
