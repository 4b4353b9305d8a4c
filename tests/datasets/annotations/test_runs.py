from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as oracle

from pixelwise.datasets.annotations.runs import find_pixels, parse_runs, require_runs
from pixelwise.errors import DataError

masks = st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


@given(masks, st.integers(1, 9))
def test_the_runs_of_pycocotools_are_the_pixels(mask: np.ndarray, factor: int) -> None:
    mask = mask.repeat(factor, axis=0)  # longer runs, of several characters
    encoded = oracle.encode(np.asfortranarray(mask))
    pixels = find_pixels(require_runs(parse_runs(encoded["counts"]), mask.shape))
    drawn = np.zeros(mask.size, np.uint8)
    drawn[pixels] = 1
    assert np.array_equal(drawn.reshape(mask.shape[::-1]).T, mask)


@given(st.binary(max_size=60))
def test_any_text_is_runs_or_refused(text: bytes) -> None:
    try:
        runs = require_runs(parse_runs(text), (7, 9))
    except DataError:
        return
    assert runs.sum() == 63
    assert (find_pixels(runs) < 63).all()


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([10, 5], "cover 15 pixels"),
        ([63, 100], "cover 163"),
        ([-1, 64], "non-negative integers"),
        ([], "cover 0 pixels"),
        ([2**62, 2**62], "cover"),
    ],
)
def test_runs_that_do_not_fill_the_image(runs: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        require_runs(np.array(runs, np.int64), (7, 9))
