from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label, regionprops
from skimage.morphology import remove_small_holes, remove_small_objects

from pixelwise.prediction.objects import clean_plane, find_objects, measure_objects
from pixelwise.prediction.result_spool import ResultSpool, SpoolPlane

BLOCKS = (0, 1, 2, 3, 7)


def create_plane(labels: np.ndarray, block_rows: int = 0) -> SpoolPlane:
    """In memory, in blocks of so many rows; 0: in one."""
    plane = SpoolPlane(ResultSpool(labels[None]), 0)
    height, step = len(labels), block_rows or max(len(labels), 1)
    plane.blocks = [slice(start, min(start + step, height)) for start in range(0, height, step)]
    return plane


def number(labels: np.ndarray, background: int | None = 0, *, block_rows: int = 0) -> np.ndarray:
    plane = create_plane(labels, block_rows)
    objects = find_objects(plane, background)
    return np.concatenate([objects.read(rows) for rows in plane.blocks])


def clean(labels: np.ndarray, background: int = 0, **settings: Any) -> np.ndarray:
    """In one piece, after it was made sure that pieces give the same."""
    found = []
    for block_rows in BLOCKS:
        found.append(labels.copy())
        clean_plane(create_plane(found[-1], block_rows), background, **settings)
        np.testing.assert_array_equal(found[0], found[-1])
    return found[0]


@st.composite
def classes(draw: st.DrawFn) -> np.ndarray:
    """Labels of up to 4 classes, in areas of some size."""
    shape, zoom = draw(st.tuples(st.integers(1, 20), st.integers(1, 20))), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    coarse = rng.integers(1, 4, shape) * (rng.random(shape) < draw(st.floats(0.1, 0.9)))
    return np.kron(coarse, np.ones((zoom, zoom))).astype(np.uint8)


@settings(max_examples=60)
@given(labels=classes(), background=st.sampled_from([0, 2, None]))
def test_objects_across_blocks_are_numbered_as_by_scikit_image(
    labels: np.ndarray, background: int | None
) -> None:
    empty = -1 if background is None else background
    expected = label(labels.astype(int), background=empty, connectivity=2)
    for block_rows in BLOCKS:
        np.testing.assert_array_equal(number(labels, background, block_rows=block_rows), expected)


@settings(max_examples=40)
@given(labels=classes(), smallest=st.integers(0, 20), largest=st.integers(0, 20))
def test_pieces_are_cleaned_as_the_whole(labels: np.ndarray, smallest: int, largest: int) -> None:
    clean(labels, smallest_object=smallest, largest_hole=largest)


@settings(max_examples=40)
@given(labels=classes(), block_rows=st.sampled_from(BLOCKS))
def test_objects_are_measured_as_by_scikit_image(labels: np.ndarray, block_rows: int) -> None:
    plane = create_plane(labels, block_rows)
    found = list(measure_objects(plane, find_objects(plane)))
    numbers = label(labels.astype(int), background=0, connectivity=2)
    expected = regionprops(numbers, labels)
    assert [item.number for item in found] == [item.label for item in expected]
    for item, properties in zip(found, expected, strict=True):
        assert item.area_px == properties.area
        assert (item.top, item.left, item.bottom, item.right) == properties.bbox
        assert (item.centroid_y, item.centroid_x) == pytest.approx(properties.centroid)
        assert item.value == properties.intensity_max


def test_touching_areas_of_two_classes_are_two_objects() -> None:
    labels = np.array([[1, 1, 2, 0], [0, 0, 0, 1], [2, 0, 1, 0]], np.uint8)
    found = number(labels)
    assert (found == 0).tolist() == (labels == 0).tolist()
    assert len(np.unique(found)) - 1 == 4  # 1s on the left, the 2 beside them, diagonal 1s, last 2
    assert found[1, 3] == found[2, 2]  # 8-connected
    assert found[0, 1] != found[0, 2]


def test_without_background_every_class_has_objects() -> None:
    labels = np.array([[0, 0, 1], [0, 1, 1]], np.uint8)
    assert len(np.unique(number(labels, None))) == 2
    assert number(labels, None).min() == 1


RINGS = np.array([
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 1, 1, 1, 0, 2, 2, 2],
    [0, 1, 0, 1, 0, 2, 0, 0],
    [0, 1, 1, 1, 0, 2, 2, 2],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 2, 0, 1, 2],
], np.uint8)  # fmt: skip


def test_small_objects_go_and_holes_are_filled() -> None:
    cleaned = clean(RINGS, 0, smallest_object=2, largest_hole=1)
    assert cleaned.dtype == np.uint8
    assert cleaned[5].tolist() == [0] * 8  # four areas of one pixel
    assert cleaned[2].tolist() == [0, 1, 1, 1, 0, 2, 0, 0]  # open at the edge is no hole
    assert (cleaned[[0, 1, 3, 4]] == RINGS[[0, 1, 3, 4]]).all()


def test_an_object_in_a_hole_stays() -> None:
    labels = np.ones((7, 7), np.uint8)
    labels[1:6, 1:6] = 0
    labels[3, 3] = 2
    filled = clean(labels, 0, largest_hole=25)
    assert filled[3, 3] == 2
    assert (np.delete(filled.ravel(), 24) == 1).all()


def test_nothing_asked_for_changes_nothing() -> None:
    np.testing.assert_array_equal(clean(RINGS, 0), RINGS)


@pytest.mark.parametrize("size", [2, 5, 20])
def test_one_class_is_cleaned_as_by_scikit_image(size: int) -> None:
    labels = (np.random.default_rng(size).random((60, 60)) < 0.55).astype(np.uint8)
    labels[[0, -1]] = labels[:, [0, -1]] = 1  # no hole is open at the edge
    kept = remove_small_objects(labels > 0, max_size=size - 1, connectivity=2)
    np.testing.assert_array_equal(clean(labels, 0, smallest_object=size) > 0, kept)
    filled = remove_small_holes(labels > 0, max_size=size, connectivity=1)
    np.testing.assert_array_equal(clean(labels, 0, largest_hole=size) > 0, filled)
