from __future__ import annotations

import numpy as np
import pytest
from skimage.morphology import remove_small_holes, remove_small_objects

from pixelwise.prediction.objects import clean_labels, label_objects


def test_touching_areas_of_two_classes_are_two_objects() -> None:
    labels = np.array([[1, 1, 2, 0], [0, 0, 0, 1], [2, 0, 1, 0]], np.uint8)
    found = label_objects(labels)
    assert found.dtype == np.uint32
    assert (found == 0).tolist() == (labels == 0).tolist()
    assert len(np.unique(found)) - 1 == 4  # 1s on the left, the 2 beside them, diagonal 1s, last 2
    assert found[1, 3] == found[2, 2]  # 8-connected
    assert found[0, 1] != found[0, 2]


def test_without_background_every_class_has_objects() -> None:
    labels = np.array([[0, 0, 1], [0, 1, 1]], np.uint8)
    assert len(np.unique(label_objects(labels, None))) == 2
    assert label_objects(labels, None).min() == 1


RINGS = np.array([
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 1, 1, 1, 0, 2, 2, 2],
    [0, 1, 0, 1, 0, 2, 0, 0],
    [0, 1, 1, 1, 0, 2, 2, 2],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 2, 0, 1, 2],
], np.uint8)  # fmt: skip


def test_small_objects_go_and_holes_are_filled() -> None:
    cleaned = clean_labels(RINGS, 0, smallest_object=2, largest_hole=1)
    assert cleaned.dtype == np.uint8
    assert cleaned[5].tolist() == [0] * 8  # four areas of one pixel
    assert cleaned[2].tolist() == [0, 1, 1, 1, 0, 2, 0, 0]  # open at the edge is no hole
    assert (cleaned[[0, 1, 3, 4]] == RINGS[[0, 1, 3, 4]]).all()
    assert (RINGS[2] == [0, 1, 0, 1, 0, 2, 0, 0]).all(), "what was given is left alone"


def test_an_object_in_a_hole_stays() -> None:
    labels = np.ones((7, 7), np.uint8)
    labels[1:6, 1:6] = 0
    labels[3, 3] = 2
    filled = clean_labels(labels, 0, largest_hole=25)
    assert filled[3, 3] == 2
    assert (np.delete(filled.ravel(), 24) == 1).all()


def test_nothing_asked_for_changes_nothing() -> None:
    np.testing.assert_array_equal(clean_labels(RINGS, 0), RINGS)


@pytest.mark.parametrize("size", [2, 5, 20])
def test_one_class_is_cleaned_as_by_scikit_image(size: int) -> None:
    labels = (np.random.default_rng(size).random((60, 60)) < 0.55).astype(np.uint8)
    labels[[0, -1]] = labels[:, [0, -1]] = 1  # no hole is open at the edge
    kept = remove_small_objects(labels > 0, max_size=size - 1, connectivity=2)
    np.testing.assert_array_equal(clean_labels(labels, 0, smallest_object=size) > 0, kept)
    filled = remove_small_holes(labels > 0, max_size=size, connectivity=1)
    np.testing.assert_array_equal(clean_labels(labels, 0, largest_hole=size) > 0, filled)
