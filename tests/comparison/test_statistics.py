from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.comparison.counts import ImageCounts
from pixelwise.comparison.statistics import correct_by_holm, judge
from pixelwise.scores import count_confusion, create_scores

RNG = np.random.default_rng(4)
NAMES = ("ground", "cell", "wall")


def predict(truths: list[np.ndarray], wrong: float) -> ImageCounts:
    """Counts of labels that are random in a share of the pixels, other for each image."""
    scores = {}
    for number, truth in enumerate(truths):
        share = wrong * RNG.uniform(0.5, 1.5)
        noise = RNG.integers(0, 3, truth.shape)
        labels = np.where(RNG.random(truth.shape) < share, noise, truth)
        scores[f"{number}"] = create_scores(count_confusion(truth, labels, 3), NAMES)
    return ImageCounts.create(scores)


TRUTHS = [RNG.integers(0, 3, (30, 30)) for _ in range(12)]
GOOD, BAD = predict(TRUTHS, 0.1), predict(TRUTHS, 0.2)
ALIKE = predict(TRUTHS, 0.1)
ALONE = {str(i): str(i) for i in range(12)}


def test_the_values_are_those_of_one_confusion_matrix() -> None:
    truths = [np.array([[0, 1, 2], [2, 1, 0]]), np.array([[1, 1, 1], [0, 0, 2]])]
    guesses = [np.array([[0, 1, 1], [2, 0, 0]]), np.array([[1, 2, 1], [0, 1, 2]])]
    matrices = [count_confusion(t, g, 3) for t, g in zip(truths, guesses, strict=True)]
    counts = ImageCounts.create({str(i): create_scores(m, NAMES) for i, m in enumerate(matrices)})
    judged = judge({"m": counts}, {"0": "0", "1": "1"}, background=0)
    total = create_scores(sum(matrices), NAMES)  # type: ignore[arg-type]
    front = total.macro(foreground=True).to_dict() | {"accuracy": total.macro().accuracy}
    for name, value in front.items():
        assert judged.means["m"][name].value == pytest.approx(value)
    for name, row in total.per_class().items():
        assert judged.classes["m"][name].value == pytest.approx(row.dice)


def test_a_clear_difference_is_found_and_none_between_equals() -> None:
    judged = judge({"bad": BAD, "good": GOOD, "alike": ALIKE}, ALONE, background=0)
    found = {frozenset(pair.models): pair for pair in judged.differences}
    clear = found[frozenset(("good", "bad"))]
    assert clear.models == ("good", "bad"), "the better one first"
    assert clear.is_clear
    assert clear.interval.low > 0
    same = found[frozenset(("good", "alike"))]
    assert not same.is_clear
    assert same.interval.low < 0 < same.interval.high


def test_images_of_one_source_are_drawn_together() -> None:
    """Twice the same images say no more than once."""
    twice = ImageCounts(
        tuple(f"{i}" for i in range(24)), NAMES, np.concatenate([GOOD.values, GOOD.values])
    )
    sources = {str(i): str(i % 12) for i in range(24)}
    once = judge({"m": GOOD}, ALONE, background=0).means["m"]["dice"]
    grouped = judge({"m": twice}, sources, background=0).means["m"]["dice"]
    apart = judge({"m": twice}, {str(i): str(i) for i in range(24)}, background=0).means["m"]
    assert grouped.high - grouped.low == pytest.approx(once.high - once.low, rel=0.1)
    assert apart["dice"].high - apart["dice"].low < 0.85 * (once.high - once.low)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Images of known mean: the interval of 95 % holds it in most of 60 sets."""
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tp = rng.binomial(1000, rng.beta(20, 5, 25)).astype(float)  # mean sensitivity 0.8
        values = np.stack([tp, 0 * tp, 1000 - tp, 0 * tp], axis=-1)[:, None]
        counts = ImageCounts(tuple(map(str, range(25))), ("cell",), values)
        groups = {str(i): str(i) for i in range(25)}
        judged = judge({"m": counts}, groups, background=None, draws=400)
        interval = judged.means["m"]["sensitivity"]
        hits += interval.low <= 0.8 <= interval.high
    assert 51 <= hits <= 60


def test_few_images_are_not_judged_and_nothing_that_is_undefined_is_a_number() -> None:
    absent = [0.0, 0.0, 0.0, 9.0]
    empty = ImageCounts(("0", "1"), NAMES, np.array([[[9.0, 0, 0, 0], absent, absent]] * 2))
    judged = judge({"m": empty}, {"0": "0", "1": "1"}, background=0)
    assert not judged.is_sound
    assert math.isnan(judged.means["m"]["dice"].value)
    assert judged.means["m"]["accuracy"].value == 1


def test_holm_of_his_own_example() -> None:
    corrected = correct_by_holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_corrected_values_keep_their_order_and_never_get_smaller(values: list[float]) -> None:
    corrected = correct_by_holm(values)
    assert all(1 >= new >= old for new, old in zip(corrected, values, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [corrected[i] for i in order] == sorted(corrected)
