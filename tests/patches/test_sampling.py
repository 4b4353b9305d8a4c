from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.patches.sampling import MIN_BATCH, iter_batch_numbers, iter_mixed_numbers


@given(st.integers(1, 30), st.integers(1, 12))
def test_training_batches_are_full_and_show_every_patch(count: int, size: int) -> None:
    batches = list(iter_batch_numbers(count, size, rng=np.random.default_rng(0)))
    lengths = {len(batch) for batch in batches}
    assert lengths == {max(MIN_BATCH, min(size, count))}
    shown = [number for batch in batches for number in batch]
    assert set(shown) == set(range(count))
    assert len(shown) - count < max(lengths)


@given(st.integers(1, 30), st.integers(1, 12))
def test_validation_batches_show_every_patch_once(count: int, size: int) -> None:
    shown = [number for batch in iter_batch_numbers(count, size) for number in batch]
    assert shown == list(range(count))


@given(st.integers(1, 30), st.integers(1, 9), st.integers(2, 12))
def test_half_of_each_batch_are_corrections(others: int, corrected: int, size: int) -> None:
    count = others + corrected
    batches = list(iter_mixed_numbers(count, corrected, size, rng=np.random.default_rng(0)))
    for batch in batches:
        assert len(batch) == size
        assert sum(number >= others for number in batch) == size // 2
    assert {number for batch in batches for number in batch if number < others} == set(
        range(others)
    )


@given(st.integers(2, 30), st.integers(2, 12))
def test_one_kind_of_patches_is_drawn_as_ever(count: int, size: int) -> None:
    usual = list(iter_batch_numbers(count, size, rng=np.random.default_rng(0)))
    for corrected in (0, count):
        rng = np.random.default_rng(0)
        assert list(iter_mixed_numbers(count, corrected, size, rng=rng)) == usual
