from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.classification as tm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pixelwise.classes import VOID
from pixelwise.errors import DataError
from pixelwise.scores import Scores, count_confusion, count_values, create_scores


def random_labels(classes: int, *, seed: int, void: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (3, 40, 41)).astype(np.uint8)
    wrong = rng.random(truth.shape) < 0.4
    prediction = np.where(wrong, rng.integers(0, classes, truth.shape), truth).astype(np.uint8)
    if void:
        truth[rng.random(truth.shape) < 0.1] = VOID
    return truth, prediction


CASES = {
    "two classes": random_labels(2, seed=0, void=False),
    "two classes, void": random_labels(2, seed=1, void=True),
    "seven classes, void": random_labels(7, seed=2, void=True),
    "a class never occurs in truth": (
        np.array([0, 0, 1, 1], np.uint8), np.array([0, 2, 1, 1], np.uint8)
    ),
    "a class occurs nowhere": (np.array([0, 1, 1], np.uint8), np.array([0, 0, 1], np.uint8)),
    "all background": (np.zeros(9, np.uint8), np.zeros(9, np.uint8)),
    "all wrong": (np.array([0, 1, 2], np.uint8), np.array([1, 2, 0], np.uint8)),
}  # fmt: skip


def scores_of(truth: np.ndarray, prediction: np.ndarray, classes: int) -> Scores:
    matrix = count_confusion(truth, prediction, classes)
    return create_scores(matrix, [str(i) for i in range(classes)])


def class_count(truth: np.ndarray, prediction: np.ndarray) -> int:
    return max(3, int(truth[truth != VOID].max()) + 1, int(prediction.max()) + 1)


@pytest.mark.parametrize(("truth", "prediction"), CASES.values(), ids=CASES)
def test_scores_equal_scikit_learn(truth: np.ndarray, prediction: np.ndarray) -> None:
    classes = class_count(truth, prediction)
    scores = scores_of(truth, prediction, classes)
    t, p = truth[truth != VOID], prediction[truth != VOID]
    labels = list(range(classes))
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
        t, p, labels=labels, zero_division=np.nan
    )
    rows = list(scores.per_class().values())
    np.testing.assert_allclose([row.precision for row in rows], precision)
    np.testing.assert_allclose([row.sensitivity for row in rows], recall)
    np.testing.assert_allclose([row.dice for row in rows], f1)
    np.testing.assert_array_equal(
        scores.matrix, sklearn.metrics.confusion_matrix(t, p, labels=labels)
    )
    assert scores.macro().accuracy == pytest.approx(sklearn.metrics.accuracy_score(t, p))
    jaccard = sklearn.metrics.jaccard_score(t, p, labels=labels, average=None, zero_division=0)
    np.testing.assert_allclose(np.nan_to_num([row.iou for row in rows]), jaccard)
    micro = sklearn.metrics.jaccard_score(t, p, labels=labels, average="micro", zero_division=0)
    assert scores.micro().iou == pytest.approx(micro)
    np.testing.assert_allclose(scores.macro().dice, np.nanmean(f1))


@pytest.mark.parametrize(("truth", "prediction"), CASES.values(), ids=CASES)
def test_scores_equal_torchmetrics(truth: np.ndarray, prediction: np.ndarray) -> None:
    classes = class_count(truth, prediction)
    rows = list(scores_of(truth, prediction, classes).per_class().values())
    p, t = torch.from_numpy(prediction).long(), torch.from_numpy(truth).long()
    common = {"num_classes": classes, "average": None, "ignore_index": VOID}
    oracles = {
        "specificity": tm.MulticlassSpecificity(**common),
        "sensitivity": tm.MulticlassRecall(**common),
        "precision": tm.MulticlassPrecision(**common),
        "dice": tm.MulticlassF1Score(**common),
        "iou": tm.MulticlassJaccardIndex(**common),
    }
    for name, oracle in oracles.items():
        expected = oracle(p.flatten(), t.flatten()).numpy()
        ours = np.nan_to_num([getattr(row, name) for row in rows])  # torchmetrics says 0
        np.testing.assert_allclose(ours, expected, atol=1e-6, err_msg=name)


def test_one_class_against_the_rest_accuracy_equals_binary_accuracy() -> None:
    truth, prediction = CASES["seven classes, void"]
    scores = scores_of(truth, prediction, 7)
    kept = truth != VOID
    for i, row in enumerate(scores.per_class().values()):
        expected = np.mean((truth[kept] == i) == (prediction[kept] == i))
        assert row.accuracy == pytest.approx(expected)


def test_foreground_leaves_class_0_out() -> None:
    truth, prediction = CASES["seven classes, void"]
    scores = scores_of(truth, prediction, 7)
    rows = list(scores.per_class().values())
    assert scores.macro(foreground=True).dice == pytest.approx(np.mean([r.dice for r in rows[1:]]))
    hits = np.diag(scores.matrix)[1:].sum()
    wrong = scores.matrix[:, 1:].sum() + scores.matrix[1:].sum() - 2 * hits
    assert scores.micro(foreground=True).dice == pytest.approx(2 * hits / (2 * hits + wrong))


def test_empty_background_does_not_raise_dice() -> None:
    scores = scores_of(*CASES["all background"], 2)
    assert np.isnan(scores.macro(foreground=True).dice)
    assert scores.summary() == {"accuracy": 1.0, "dice": None, "iou": None}


def test_scores_are_not_the_mean_of_parts() -> None:
    truth, prediction = CASES["two classes"]
    parts = [count_confusion(t, p, 2) for t, p in zip(truth, prediction, strict=True)]
    whole = count_confusion(truth, prediction, 2)
    np.testing.assert_array_equal(sum(parts), whole)


def test_json_holds_null_and_no_nan() -> None:
    scores = scores_of(*CASES["a class occurs nowhere"], 3)
    text = json.dumps(scores.to_dict(), allow_nan=False)
    assert json.loads(text)["classes"]["2"]["dice"] is None


@given(arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, VOID])), st.integers(0, 99))
def test_counts_add_up_to_annotated_pixels(truth: np.ndarray, seed: int) -> None:
    prediction = np.random.default_rng(seed).integers(0, 3, truth.shape).astype(np.uint8)
    matrix = count_confusion(truth, prediction, 3)
    assert matrix.sum() == (truth != VOID).sum()
    np.testing.assert_array_equal(matrix.sum(axis=1), np.bincount(truth.ravel(), minlength=256)[:3])


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), r"\(2, 2\) and prediction \(2, 3\)"),
        (np.array([5]), np.array([0]), "Truth has values 5 to 5"),
        (np.array([0]), np.array([2]), "Prediction has values 2 to 2"),
        (np.array([0]), np.array([VOID]), "Prediction has values 255"),
    ],
    ids=["shapes", "truth", "prediction", "void predicted"],
)
def test_refuses(truth: np.ndarray, prediction: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        count_confusion(truth, prediction, 2)


def test_large_masks_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    truth = rng.choice(np.array([0, 1, 2, VOID], np.uint8), (31, 17))[::2]
    found = rng.integers(0, 3, truth.shape).astype(np.uint8)
    wanted, values = count_confusion(truth, found, 3), count_values(truth)
    assert values.tolist() == np.bincount(truth.ravel(), minlength=256).tolist()
    monkeypatch.setattr("pixelwise.scores._PART", 10)
    assert np.array_equal(count_confusion(truth, found, 3), wanted)
    assert np.array_equal(count_values(truth), values)
    found[-1, -1], truth[-1, -1] = 3, 0
    with pytest.raises(DataError, match=r"values \d to 3"):
        count_confusion(truth, found, 3)


def test_counting_takes_little_memory() -> None:
    mask = np.zeros((4096, 4096), np.uint8)
    tracemalloc.start()
    count_values(mask)
    count_confusion(mask, mask, 2)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
