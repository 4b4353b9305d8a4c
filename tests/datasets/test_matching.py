from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets import Dataset, KnownClasses, load_dataset, match_classes
from pixelwise.errors import DataError
from tests.disks import disks, write_set

Array = np.ndarray


def fill(root: Path, *values: int, dtype: str = "u1") -> Path:
    """Masks whose upper rows hold these values, four rows each; below them 0."""

    def draw(_: int, mask: Array) -> Array:
        drawn = np.zeros(mask.shape, dtype)
        for place, value in enumerate(values):
            drawn[4 * place : 4 * place + 4, ::2] = value
            drawn[4 * place : 4 * place + 4, 1:40] = value
        return drawn

    return write_set(root, draw, count=2, suffix=".tif")


def know(data: Dataset, *, records: bool = True) -> KnownClasses:
    """Classes as the card of a model that was trained on these data has them."""
    values = data.samples[0].class_map.to_values() if records else None
    return KnownClasses(data.classes, data.background, values)


def match(train: Path, test: Path, *, records: bool = True, **fields: Any) -> Dataset:
    known = know(load_dataset(train), records=records)
    return match_classes(load_dataset(test, strict=False, **fields), known)


def rows(data: Dataset) -> list[int]:
    """Class of every fourth row, in the second column."""
    return data.samples[0].read_mask()[0, :20:4, 1].tolist()


@pytest.mark.parametrize("records", [True, False], ids=["recorded", "older card"])
@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ((128, 255), (255,), [2, 0, 0, 0, 0]),
        ((128, 255), (128,), [1, 0, 0, 0, 0]),
        ((128, 255), (255, 128), [2, 1, 0, 0, 0]),
        ((1, 2, 3), (1, 3), [1, 3, 0, 0, 0]),
        ((1, 2, 3), (2,), [2, 0, 0, 0, 0]),
        ((1, 2, 3), (1, 3, 255), [1, 3, 255, 0, 0]),
        ((1, 2, 3, 255), (1, 3), [1, 3, 0, 0, 0]),
        ((1, 2), (), [0, 0, 0, 0, 0]),
    ],
)
def test_a_class_that_the_folder_lacks_changes_no_other(
    tmp_path: Path, train: tuple, test: tuple, expected: list[int], records: bool
) -> None:
    fill(tmp_path / "train", *train)
    found = match(tmp_path / "train", fill(tmp_path / "test", *test), records=records)
    assert rows(found) == expected
    assert found.classes == load_dataset(tmp_path / "train").classes


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize(("train", "test"), [(255, 1), (1, 255), (255, 65535), (1, 1), (255, 255)])
def test_white_is_white(tmp_path: Path, train: int, test: int, records: bool) -> None:
    fill(tmp_path / "train", train)
    found = match(tmp_path / "train", fill(tmp_path / "test", test, dtype="u2"), records=records)
    assert rows(found) == [1, 0, 0, 0, 0]


def test_folders_of_one_value(tmp_path: Path) -> None:
    fill(tmp_path / "train", 128, 255)
    for value, index in ((255, 2), (128, 1), (0, 0)):
        full = write_set(
            tmp_path / str(value), lambda _, m, v=value: np.full(m.shape, v, "u1"), count=2
        )
        assert (match(tmp_path / "train", full).samples[0].read_mask() == index).all()


def test_names_in_another_order(tmp_path: Path) -> None:
    fill(tmp_path / "train", 1, 2)
    known = know(load_dataset(tmp_path / "train", classes="0=background,1=cell,2=Nucleus"))
    data = load_dataset(fill(tmp_path / "test", 7, 9), classes="9=cell,0=background,7=nucleus")
    found = match_classes(data, known)
    assert rows(found) == [2, 1, 0, 0, 0]
    assert found.background == 0


def test_values_go_before_names_that_nobody_gave(tmp_path: Path) -> None:
    fill(tmp_path / "train", 255)
    known = know(load_dataset(tmp_path / "train", classes="0=cell,255=background"))
    found = match_classes(load_dataset(fill(tmp_path / "test", 255)), known)
    assert rows(found) == [1, 0, 0, 0, 0]  # both say 'background', of different values
    with pytest.raises(DataError, match="expected no class"):
        match_classes(load_dataset(fill(tmp_path / "other", 1)), known)


def test_named_classes_read_unnamed_masks(tmp_path: Path) -> None:
    fill(tmp_path / "train", 100, 200)
    known = know(load_dataset(tmp_path / "train", classes="0=background,100=a,200=b"))
    assert rows(match_classes(load_dataset(fill(tmp_path / "x", 200)), known)) == [2, 0, 0, 0, 0]


def test_masks_that_do_not_show_what_they_mean_are_read_as_in_the_training(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "train", 100, 200, 255)
    known = know(load_dataset(tmp_path / "train", classes="0=bg,100=a,200=b,255=void"))
    data = load_dataset(tmp_path / "train", strict=False)
    assert data.unclear
    found = match_classes(data, known)
    assert rows(found) == [1, 2, 255, 0, 0]
    found.require_sound()


def test_what_is_not_understood_and_not_known_stays_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", 1, 2)
    found = match(tmp_path / "train", fill(tmp_path / "test", 100, 200, 255))
    with pytest.raises(DataError, match="two ways"):
        found.require_sound()


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((255,), (128, 255), "--classes 0=background,128=foreground,255=void"),
        ((1, 2), (1, 2, 3), "3=void"),
        ((255,), (128,), "0=background,128=foreground"),
        ((128, 255), (1,), "0=background,1=value 128"),
    ],
)
def test_a_class_that_the_model_lacks(
    tmp_path: Path, train: tuple, test: tuple, message: str
) -> None:
    fill(tmp_path / "train", *train)
    with pytest.raises(DataError, match="expected no class that the model lacks") as error:
        match(tmp_path / "train", fill(tmp_path / "test", *test))
    assert message in str(error.value)


def test_what_was_void_and_now_looks_like_a_class(tmp_path: Path) -> None:
    fill(tmp_path / "train", 1, 255)
    with pytest.raises(DataError, match=r"255 was void .*--classes 0=background,255=foreground"):
        match(tmp_path / "train", fill(tmp_path / "test", 255))


def test_void_and_sparse_that_are_said_hold(tmp_path: Path) -> None:
    fill(tmp_path / "train", 1, 2)
    assert rows(match(tmp_path / "train", fill(tmp_path / "a", 1, 2), void="2"))[:3] == [1, 255, 0]
    found = match(tmp_path / "train", fill(tmp_path / "b", 1, 2), sparse=True)
    assert rows(found)[:3] == [1, 2, 255]


def paint(root: Path, *colors: tuple[int, int, int]) -> Path:
    def draw(_: int, mask: Array) -> Array:
        drawn = np.zeros((*mask.shape, 3), np.uint8)
        for place, color in enumerate(colors):
            drawn[4 * place : 4 * place + 4, ::2] = color
            drawn[4 * place : 4 * place + 4, 1:40] = color
        return drawn

    return write_set(root, draw, count=2)


@pytest.mark.parametrize("records", [True, False])
def test_colours_are_matched_by_colour(tmp_path: Path, records: bool) -> None:
    red, green, white = (255, 0, 0), (0, 255, 0), (255, 255, 255)
    paint(tmp_path / "train", red, green, white)
    names = [item.name for item in load_dataset(tmp_path / "train").classes]
    for number, colors in enumerate([(green,), (red, green), (white,), (white, red)]):
        found = match(tmp_path / "train", paint(tmp_path / str(number), *colors), records=records)
        wanted = [names.index("#{:02x}{:02x}{:02x}".format(*color)) for color in colors]
        assert rows(found)[: len(colors)] == wanted


def test_advice_on_colours_names_colours(tmp_path: Path) -> None:
    paint(tmp_path / "train", (255, 0, 0))
    with pytest.raises(DataError, match="'#000000=background,#0000ff=foreground,#00ff00=void'"):
        match(tmp_path / "train", paint(tmp_path / "test", (0, 255, 0), (0, 0, 255)))


def test_a_cut_of_greys_is_no_reading_of_1(tmp_path: Path) -> None:
    write_set(tmp_path / "jpeg", lambda _, m: m.astype("u1") * 255, suffix=".jpg")
    assert rows(match(tmp_path / "jpeg", fill(tmp_path / "a", 1))) == [1, 0, 0, 0, 0]
    with pytest.raises(DataError, match="expected no class"):
        match(tmp_path / "jpeg", fill(tmp_path / "b", 128, 255))
    found = match(tmp_path / "jpeg", tmp_path / "jpeg")
    assert found.samples[0].read_mask()[0].mean() == pytest.approx(disks(0).mean(), abs=2e-3)


def test_objects_are_foreground(tmp_path: Path) -> None:
    from tests.disks import number

    write_set(tmp_path / "ids", lambda _, m: number(m)[0].astype("u1"))
    fill(tmp_path / "binary", 255)
    assert rows(match(tmp_path / "ids", tmp_path / "binary")) == [1, 0, 0, 0, 0]
    assert match(tmp_path / "binary", tmp_path / "ids").samples[0].read_mask().max() == 1
    assert rows(match(tmp_path / "ids", fill(tmp_path / "void", 1, 255))) == [1, 255, 0, 0, 0]
