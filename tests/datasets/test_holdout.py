from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.datasets import Sample, load_dataset
from pixelwise.datasets.holdout import describe_part, hold_out_part
from pixelwise.errors import DataError
from tests.datasets.test_dataset import sample

VOID = 255


class Labels:
    """A mask that is there already."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels

    def read(self, _: object) -> np.ndarray:
        return self.labels


class AsStored:
    def apply(self, labels: np.ndarray) -> np.ndarray:
        return labels


def create_sample(labels: np.ndarray) -> Sample:
    shape = (len(labels), 1, *labels.shape[1:])
    found = sample("a")
    header = replace(found.header, shape=shape)
    known: Any = {"mask": Labels(labels), "class_map": AsStored(), "header": header}
    return replace(found, **known)


def covered(part: Sample, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels that a part takes."""
    assert part.part is not None
    taken = np.zeros(shape, bool)
    taken[tuple(slice(*ends) for ends in part.part.ranges)] = True
    return taken


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(20, 90), st.integers(20, 90)),
    fraction=st.floats(0.05, 0.6),
    seed=st.integers(0, 5),
    annotated=st.floats(0.001, 1),
)
def test_no_pixel_is_on_both_sides(
    shape: tuple[int, int, int], fraction: float, seed: int, annotated: float
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, shape).astype(np.uint8)
    labels[rng.random(shape) > annotated] = VOID
    parts = hold_out_part(create_sample(labels), fraction, seed=seed)
    if parts is None:
        assert shape[0] == 1 or annotated < 0.01
        assert max(shape[1:]) < 64 or annotated < 0.2
        return
    training, validation = parts
    assert not (covered(training, shape) & covered(validation, shape)).any()
    for part in parts:
        labels_of_part = part.read_mask()
        assert labels_of_part.shape == (part.shape[0], *part.shape[2:])
        assert (labels_of_part != VOID).any()
        assert shape[1:] != part.shape[2:] or part.shape[0] < shape[0]
        assert min(part.shape[2:]) >= min(32, *shape[1:])
    assert len(np.unique(training.read_mask()[training.read_mask() != VOID])) == 2


def test_a_fifth_of_the_planes_of_a_stack() -> None:
    labels = np.tile(np.arange(40, dtype=np.uint8) % 2, (10, 40, 1))
    ends = set()
    for seed in range(2):
        parts = hold_out_part(create_sample(labels), 0.2, seed=seed)
        assert parts is not None
        ends.add((describe_part(parts[0]), describe_part(parts[1])))
    assert ends == {
        ("planes 2 to 9", "planes 0 to 1"),
        ("planes 0 to 7", "planes 8 to 9"),
    }


@pytest.mark.parametrize(("shape", "words"), [((1, 200, 80), "rows"), ((1, 80, 200), "columns")])
def test_the_longer_side_of_a_plane_is_cut(shape: tuple[int, int, int], words: str) -> None:
    labels = (np.indices(shape).sum(0) % 2).astype(np.uint8)
    parts = hold_out_part(create_sample(labels), 0.2, seed=0)
    assert parts is not None
    assert describe_part(parts[1]) == f"{words} 0 to 39"


def test_both_parts_show_all_classes_where_one_end_allows_it() -> None:
    labels = np.zeros((1, 200, 64), np.uint8)
    labels[0, 150:, 10:30] = 1  # the upper end shows class 0 only
    for seed in range(4):
        parts = hold_out_part(create_sample(labels), 0.2, seed=seed)
        assert parts is not None
        assert all(set(np.unique(part.read_mask())) == {0, 1} for part in parts)


def test_strokes_on_two_of_many_planes_are_shared_out() -> None:
    labels = np.full((20, 40, 40), VOID, np.uint8)
    for plane in (3, 15):
        labels[plane, 5, 5:20] = 1
        labels[plane, 20, 5:20] = 0
    parts = hold_out_part(create_sample(labels), 0.2, seed=0)
    assert parts is not None
    assert all((part.read_mask() != VOID).sum() == 30 for part in parts)


@pytest.mark.parametrize(
    "labels",
    [
        (np.indices((1, 60, 60)).sum(0) % 2).astype(np.uint8),
        np.full((3, 90, 90), VOID, np.uint8),
    ],
    ids=["too small", "nothing annotated"],
)
def test_nothing_to_hold_out(labels: np.ndarray) -> None:
    assert hold_out_part(create_sample(labels), 0.2, seed=0) is None


@pytest.mark.parametrize("resize", [None, (50, 160)])
def test_image_and_mask_are_cut_alike(tmp_path: Path, resize: tuple[int, int] | None) -> None:
    mask = np.zeros((80, 120), np.uint8)
    mask[:, ::2] = 1
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", mask * (100 if folder == "images" else 1))
    data = load_dataset(tmp_path, resize=resize, classes={"0": "background", "1": "cell"})
    train, validation = data.split(0.25)
    whole = data.samples[0]
    for read in ("read_image", "read_mask"):
        ends = [getattr(part.samples[0], read)() for part in (train, validation)]
        assert [part.samples[0].shape[2:] for part in (train, validation)] == [
            end.shape[-2:] for end in ends
        ]
        ends = ends if describe_part(train.samples[0]).startswith("columns 0") else ends[::-1]
        np.testing.assert_array_equal(np.concatenate(ends, -1), getattr(whole, read)())


def test_the_split_of_a_small_image_is_refused(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", np.eye(40, dtype=np.uint8))
    with pytest.raises(DataError, match=r"one image .* too small.*--validation"):
        load_dataset(tmp_path).split(0.2)
