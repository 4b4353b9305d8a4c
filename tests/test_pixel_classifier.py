from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pixelwise import pixel_classifier
from pixelwise.errors import DataError
from pixelwise.pixel_classifier import PixelClassifier, classify_pixels
from tests.conftest import LONG

SIZE = 96


def draw_textures() -> tuple[np.ndarray, np.ndarray]:
    """Image (1, Y, X) of two textures with the same mean intensity, and which is where."""
    rng = np.random.default_rng(0)
    truth = np.zeros((SIZE, SIZE), np.uint8)
    truth[:, SIZE // 2 :] = 1
    noise = rng.normal(100, 3, truth.shape)
    checks = np.indices(truth.shape).sum(0) // 3 % 2 * 60 + 70
    image = np.where(truth, checks, noise).clip(0, 255).astype(np.uint8)
    return image[None], truth


def draw_strokes() -> np.ndarray:
    """Draw one short stroke in each texture."""
    strokes = np.zeros((SIZE, SIZE), np.uint8)
    strokes[20:22, 10:40], strokes[70:72, 56:90] = 1, 2
    return strokes


def test_two_textures_are_told_apart_by_two_strokes() -> None:
    image, truth = draw_textures()
    labels = classify_pixels(image, draw_strokes())
    assert (labels.dtype, labels.shape) == (np.uint8, truth.shape)
    assert (labels == truth).mean() > 0.95
    np.testing.assert_array_equal(classify_pixels(image, draw_strokes()), labels)


@pytest.mark.parametrize("dtype", ["bool", "uint16", "int32", "float16", "float64"])
def test_any_numbers_and_channels_are_taken(dtype: str) -> None:
    image, truth = draw_textures()
    image = (image > 100).astype(dtype) if dtype == "bool" else image.astype(dtype)
    two = np.concatenate([np.zeros_like(image), image])
    assert (classify_pixels(two, draw_strokes()) == truth).mean() > 0.9


def test_classes_keep_their_values_if_one_is_not_drawn() -> None:
    image, truth = draw_textures()
    strokes = draw_strokes()
    strokes[strokes == 2] = 5
    labels = classify_pixels(image, strokes)
    assert set(np.unique(labels)) == {0, 4}
    assert ((labels == 4) == truth).mean() > 0.95


def test_features_are_kept_for_the_next_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    compute = pixel_classifier._compute_features

    def count(image: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        calls.append(image.shape)
        return compute(image)

    monkeypatch.setattr(pixel_classifier, "_compute_features", count)
    image, _ = draw_textures()
    classifier = PixelClassifier()
    classifier.classify(image, draw_strokes())
    more = draw_strokes()
    more[40:44, 5:40] = 1
    labels = classifier.classify(image.copy(), more)
    assert len(calls) == 1
    np.testing.assert_array_equal(labels, classify_pixels(image, more))
    changed = image.copy()
    changed[0, 0, 0] += 1
    classifier.classify(changed, more)
    classifier.classify(changed.astype(np.int8), more)
    assert len(calls) == 4, "another image, and another type of numbers"


def test_pixels_that_are_not_finite_are_filled_with_a_note() -> None:
    image, truth = draw_textures()
    image = image.astype(np.float32)
    image[0, 50:52, 3:5], image[0, 60, 70] = np.nan, np.inf
    classifier = PixelClassifier()
    assert (classifier.classify(image, draw_strokes()) == truth).mean() > 0.95
    assert "median" in classifier.notes[0]
    classifier.classify(np.nan_to_num(image, posinf=0), draw_strokes())
    assert classifier.notes == ()


IMAGE, _ = draw_textures()
ONE = (draw_strokes() == 1).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "strokes", "message"),
    [
        (IMAGE, ONE, "at least two classes"),
        (IMAGE, np.zeros_like(ONE), "at least two classes"),
        (IMAGE, draw_strokes()[:-1], "the same size"),
        (IMAGE[0], draw_strokes(), "channels, rows, columns"),
        (np.full(IMAGE.shape, np.nan), draw_strokes(), "no finite pixel"),
        (np.repeat(IMAGE, 9, axis=0), draw_strokes(), "at most 8"),
    ],
    ids=["one class", "no strokes", "shape", "axes", "nan", "channels"],
)
def test_what_cannot_be_learnt_from_is_refused(
    image: np.ndarray, strokes: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        classify_pixels(image, strokes)


def test_the_import_is_light() -> None:
    code = (
        "import pixelwise.pixel_classifier, sys\n"
        "print(*({'sklearn', 'skimage', 'scipy', 'torch'} & sys.modules.keys()))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG, check=True
    )
    assert child.stdout.split() == []
