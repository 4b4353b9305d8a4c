from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pixelwise.axes import NamedAxes
from pixelwise.classes import VOID
from pixelwise.datasets.inference import infer_scheme
from pixelwise.datasets.readers import PlanesHeader
from pixelwise.errors import DataError, ReadError

HEADER = PlanesHeader((1, 1, 32, 32), "uint8", NamedAxes("YX", "test"))
RNG = np.random.default_rng(11)


@dataclass(frozen=True)
class Held:
    """A mask that lies in memory."""

    raw: np.ndarray
    path: Path = Path("mask.png")

    def require_match(self, image: PlanesHeader) -> None: ...

    def read(self, image: PlanesHeader) -> np.ndarray:
        return self.raw


class Broken(Held):
    def read(self, image: PlanesHeader) -> np.ndarray:
        raise ReadError("mask.png is truncated")


def speckle(*values: int, dtype: str = "uint8") -> Held:
    """A mask whose values lie scattered, as classes do."""
    return Held(RNG.choice(np.array(values, dtype), (1, 1, 32, 32)))


def blobs(*values: int, dtype: str = "uint16") -> Held:
    """A mask in which each value is one square, as instances are."""
    mask = np.zeros((1, 1, 32, 32), dtype)
    for place, value in enumerate(values):
        y, x = divmod(place, 8)
        mask[0, 0, 4 * y : 4 * y + 3, 4 * x : 4 * x + 3] = value
    return Held(mask)


def colored(*colors: tuple[int, int, int]) -> Held:
    index = RNG.integers(0, len(colors), (1, 32, 32))
    return Held(np.array(colors, np.uint8)[index].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("masks", "names", "words"),
    [
        ([speckle(0, 1)], ["background", "foreground"], "mask values 0 and 1 read as binary"),
        ([speckle(0, 255)], ["background", "foreground"], "0 = background, 255 = foreground"),
        ([speckle(0)], ["background", "foreground"], "mask value 0 read as binary"),
        ([speckle(255)], ["background", "foreground"], "mask value 255 read as binary"),
        ([speckle(0, 128)], ["background", "foreground"], "2 mask values read as binary"),
        ([speckle(0, 1, 2)], ["background", "class 1", "class 2"], "read as class indices"),
        (
            [speckle(0, 128, 255)],
            ["background", "value 128", "value 255"],
            "3 mask values read as one class per value: 0 = background, 128, 255",
        ),
        ([speckle(1, 2, 3)], ["value 1", "value 2", "value 3"], "one class per value"),
        ([speckle(0, 1, 255)], ["background", "foreground"], "255 beside indices is void"),
        ([speckle(0, 1, 2, 255)], ["background", "class 1", "class 2"], "255 = void"),
        ([speckle(*range(70))], ["background"], "70 mask values read as class indices"),
        ([blobs(*range(1, 31))], ["background", "object"], "30 values that number connected"),
        ([blobs(*range(1, 8)), blobs(1, 2)], ["background", "object"], "read as instances"),
        ([blobs(4, 900), blobs(4, 17)], ["background", "object"], "read as instances"),
        ([blobs(1, 2, 3), blobs(1, 2, 3)], ["background", "class 1"], "class indices"),
        ([blobs(1, 3), blobs(1, 2, 3)], ["background", "class 1"], "class indices"),
        ([speckle(0, 1, 2, 3), speckle(0, 1, 2)], ["background", "class 1"], "class indices"),
        ([colored((0, 0, 0), (255, 0, 0))], ["background", "foreground"], "2 colours"),
        (
            [colored((0, 0, 0), (0, 255, 0)), colored((9, 9, 9), (0, 255, 0))],
            ["background", "#00ff00", "#090909"],
            "3 colours, one class each",
        ),
    ],
    ids=[
        *("0-1", "0-255", "all-0", "all-255", "0-128", "indices", "codes", "from-1", "void-binary"),
        *("void-indices", "many-classes", "many-objects", "counted", "beyond-255", "same-counts"),
        *("organs", "scattered", "two-colours", "three-colours"),
    ],
)
def test_kinds(masks: list[Held], names: list[str], words: str) -> None:
    scheme, problems = infer_scheme([(mask, HEADER) for mask in masks])
    assert [item.name for item in scheme.classes][: len(names)] == names
    assert words in scheme.words
    assert f"values of all {len(masks)} masks" in scheme.words
    assert not [problem for problem in problems if problem.fatal]
    for mask in masks:
        assert scheme.class_map.apply(mask.raw).shape == (1, 32, 32)


def test_given_void_is_not_a_class() -> None:
    scheme, _ = infer_scheme([(speckle(0, 1, 9), HEADER)], void=(9.0,))
    assert len(scheme.classes) == 2
    assert scheme.class_map.apply(np.full((1, 1, 1, 1), 9, np.uint8)).item() == VOID


def test_void_colour() -> None:
    mask = colored((0, 0, 0), (255, 0, 0), (255, 255, 255))
    scheme, _ = infer_scheme([(mask, HEADER)], void=(0xFFFFFF,))
    assert [item.name for item in scheme.classes] == ["background", "foreground"]
    assert set(np.unique(scheme.class_map.apply(mask.raw))) == {0, 1, VOID}


def test_sparse_classes_start_at_one() -> None:
    scheme, _ = infer_scheme([(speckle(0, 1, 2), HEADER)], sparse=True)
    assert [item.name for item in scheme.classes] == ["class 1", "class 2"]
    assert scheme.background is None
    assert scheme.class_map.apply(np.arange(3).reshape(1, 1, 1, 3)).tolist() == [[[VOID, 0, 1]]]


def test_sparse_with_255_as_void() -> None:
    scheme, _ = infer_scheme([(speckle(0, 1, 2, 255), HEADER)], sparse=True)
    assert len(scheme.classes) == 2


def test_sparse_with_one_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"only one class \(value 1"):
        infer_scheme([(speckle(0, 1), HEADER)], sparse=True)


def test_nothing_annotated() -> None:
    with pytest.raises(DataError, match="nothing is annotated"):
        infer_scheme([(speckle(0), HEADER)], sparse=True)


@pytest.mark.parametrize("mask", [speckle(7), colored((1, 2, 3), (1, 2, 3), (1, 2, 3), (9, 9, 8))])
def test_too_few_classes(mask: Held) -> None:
    with pytest.raises(DataError, match=r"do not show what the classes are.*got 1"):
        infer_scheme([(mask, HEADER)], void=(0x090908,))


def test_beside_empty_masks_either_foreground_may_come() -> None:
    scheme, _ = infer_scheme([(speckle(0), HEADER)])
    assert scheme.class_map.apply(np.array([0, 1, 255], np.uint8).reshape(1, 1, 1, 3)).tolist() == [
        [[0, 1, 1]]
    ]


def test_void_does_not_hide_instances() -> None:
    masks = [blobs(*range(1, 8)), blobs(1, 2)]
    for mask in masks:
        mask.raw[0, 0, ::2, 30:] = 200  # many pieces
    scheme, _ = infer_scheme([(mask, HEADER) for mask in masks], void=(200.0,))
    assert "read as instances" in scheme.words
    assert set(np.unique(scheme.class_map.apply(masks[0].raw))) == {0, 1, VOID}


@pytest.mark.parametrize("count", [2, 6, 12, 40])
def test_a_few_numbers_can_be_objects_or_classes(count: int) -> None:
    """Classes of which the last ones are missing here and there look like numbered objects."""
    masks = [blobs(*range(1, 2 + i % 3)) for i in range(count)]
    with pytest.raises(DataError, match=r"can number objects or name classes.*--classes instances"):
        infer_scheme([(mask, HEADER) for mask in [*masks, blobs(1, 2, 3)]])


def test_numbers_without_a_gap_in_many_masks_are_objects() -> None:
    masks = [blobs(*range(1, 2 + i % 7)) for i in range(12)]
    scheme, _ = infer_scheme([(mask, HEADER) for mask in masks])
    assert "read as instances" in scheme.words


def test_sparse_colours() -> None:
    mask = colored((0, 0, 0), (255, 0, 0), (0, 255, 0))
    scheme, _ = infer_scheme([(mask, HEADER)], sparse=True)
    assert {item.name for item in scheme.classes} == {"#ff0000", "#00ff00"}
    assert scheme.background is None


def test_broken_masks_are_problems_and_the_rest_decides() -> None:
    broken = Broken(np.zeros(1))
    scheme, problems = infer_scheme([(broken, HEADER), (speckle(0, 1), HEADER)])
    assert len(scheme.classes) == 2
    assert [(p.kind, p.fatal) for p in problems] == [("unreadable", True)]
    with pytest.raises(DataError, match="No mask could be read"):
        infer_scheme([(broken, HEADER)])


def test_grey_pictures_are_no_masks() -> None:
    with pytest.raises(DataError, match="neither class indices nor codes"):
        infer_scheme([(speckle(*range(0, 255, 2)), HEADER)])


def test_photographs_are_no_masks() -> None:
    photo = Held(RNG.integers(0, 256, (1, 3, 32, 32), np.uint8))
    with pytest.raises(DataError, match=r"RGB images with \d+ colours"):
        infer_scheme([(photo, HEADER)])


def test_large_sets_are_sampled_and_it_is_said() -> None:
    scheme, _ = infer_scheme([(speckle(0, 1), HEADER)] * 500)
    assert "values of 128 of 500 masks" in scheme.words
