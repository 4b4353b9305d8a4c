from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.axes import NamedAxes
from pixelwise.classes import create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.mapping import ClassMap
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.readers import FileImage, FileMask, PlanesHeader
from pixelwise.datasets.sample import Sample
from pixelwise.errors import ConfigError, DataError

HEADER = PlanesHeader((1, 1, 8, 9), "uint8", NamedAxes("YX", "test"))


def sample(name: str, split: str | None = None, group: str | None = None) -> Sample:
    return Sample(
        name=name,
        group=group or name,
        split=split,  # type: ignore[arg-type]
        image=FileImage(Path(name)),
        mask=FileMask(Path(name)),
        header=HEADER,
        class_map=ClassMap(()),
        channels=1,
    )


def dataset(*samples: Sample) -> Dataset:
    return Dataset(
        root=Path("nuclei"),
        layout="pairs",
        reason="found images/ and masks/",
        samples=samples,
        classes=create_classes(["background", "cell"]),
        mapping="0 = background, 255 = cell",
        in_channels=1,
        dtypes=("uint8",),
    )


def names(data: Dataset) -> list[str]:
    return [item.name for item in data.samples]


@given(
    groups=st.integers(2, 40),
    each=st.integers(1, 4),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**32),
)
def test_split_by_group(groups: int, each: int, fraction: float, seed: int) -> None:
    data = dataset(*(sample(f"{g}-{i}", group=f"g{g}") for g in range(groups) for i in range(each)))
    train, validation = data.split(fraction, seed)
    assert not set(train.groups) & set(validation.groups)
    assert sorted(names(train) + names(validation)) == sorted(names(data))
    assert len(validation.groups) == min(max(round(groups * fraction), 1), groups - 1)
    assert data.split(fraction, seed) == (train, validation)


def test_the_draw_is_the_same_everywhere() -> None:
    data = dataset(*map(sample, "abcdefghij"))
    assert names(data.split(0.3, 7)[1]) == ["a", "h", "i"]
    reverse = dataset(*map(sample, "jihgfedcba"))
    assert sorted(names(reverse.split(0.3, 7)[1])) == ["a", "h", "i"]


@pytest.mark.parametrize(
    ("samples", "train", "validation"),
    [
        ([("a", "train"), ("b", "validation"), ("c", "test")], ["a"], ["b"]),
        ([("a", None), ("b", "validation")], ["a"], ["b"]),
        ([("a", "train"), ("b", "train"), ("t", "test")], ["a"], ["b"]),
        ([("a", "validation"), ("b", "validation")], ["a"], ["b"]),
        ([("a", "test"), ("b", "test")], ["a"], ["b"]),
    ],
    ids=["given", "folder", "no-validation", "only-validation", "only-test"],
)
def test_given_splits(
    samples: list[tuple[str, str | None]], train: list[str], validation: list[str]
) -> None:
    found = dataset(*(sample(name, split) for name, split in samples)).split(0.2, 3)
    assert (names(found[0]), names(found[1])) == (train, validation)


def test_one_image_is_refused_with_a_way_out() -> None:
    patches = dataset(*(sample(f"a-{i}", group="a") for i in range(9)))
    with pytest.raises(DataError, match=r"has one image .* patches may overlap.*--validation"):
        patches.split(0.2, 0)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, float("nan")])
def test_fractions_that_cannot_work(fraction: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        dataset(sample("a"), sample("b")).split(fraction)


def test_select() -> None:
    data = dataset(sample("a", "train"), sample("t", "test"))
    assert names(data.select("test")) == ["t"]
    assert data.select("validation").samples == ()


def test_summary() -> None:
    data = dataset(sample("a", "train"), sample("b"), sample("c", "train"))
    text = replace(data, problems=(Problem("note", "c", "has transparent pixels"),)).summary()
    assert "layout: pairs (found images/ and masks/)" in text
    assert "3 from 3 sources, 8 x 9 px, 1 channel, uint8" in text
    assert "classes: background, cell" in text
    assert "splits: 2 train, 1 not assigned" in text
    assert "note: c: has transparent pixels" in text


def test_summary_of_many_notes_is_short() -> None:
    notes = tuple(Problem("note", str(i), "odd") for i in range(30))
    text = replace(dataset(sample("a")), problems=notes).summary()
    assert "and 20 more notes" in text
    assert len(text.splitlines()) < 20


def test_fatal_problems_are_listed() -> None:
    data = dataset(sample("a"))
    assert data.require_sound() is data
    faults = tuple(Problem("shape", f"{i}.png", "wrong size", fatal=True) for i in range(7))
    with pytest.raises(DataError, match=r"(?s)inspect.*0\.png: wrong size.*and 2 more"):
        replace(data, problems=faults).require_sound()


def test_each_source_is_in_one_fold_and_test_images_in_none() -> None:
    samples = [sample(f"{group}{part}", group=group) for group in "abcdefg" for part in (1, 2)]
    data = dataset(*samples, sample("t", "test"), sample("v", "validation"))
    held_out = []
    for fold in (1, 2, 3):
        train, held = data.split_fold(fold, 3, seed=5)
        assert not set(train.groups) & set(held.groups)
        assert {s.name for s in (*train.samples, *held.samples)} == {
            s.name for s in data.samples
        } - {"t"}
        held_out += held.groups
    assert sorted(held_out) == [*"abcdefg", "v"]
    assert data.split_fold(1, 3, seed=6)[1].groups != data.split_fold(1, 3, seed=5)[1].groups


def test_folds_that_cannot_be_are_refused() -> None:
    data = dataset(sample("a"), sample("b"), sample("c", "test"))
    with pytest.raises(DataError, match="has 2 source images for 3 folds"):
        data.split_fold(1, 3)
    folds = DataConfig(path=Path("nuclei"), folds=2)
    with pytest.raises(ConfigError, match=r"2 folds: name .* as fold, .* 'pixelwise compare'"):
        data.split_by(folds)
    assert data.split_by(folds.model_copy(update={"fold": 2})) == data.split_fold(2, 2)
    for wrong in ({"fold": 1}, {"fold": 3, "folds": 2}, {"folds": 2, "validation": Path("v")}):
        with pytest.raises(ConfigError, match="fold"):
            DataConfig.create(path=Path("nuclei"), **wrong)
