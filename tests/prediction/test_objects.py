from __future__ import annotations

import numpy as np

from pixelwise.prediction.objects import label_objects


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
