from __future__ import annotations

from itertools import pairwise

import pytest
from pydantic import ValidationError

from pixelwise.classes import MAX_CLASSES, VOID, SegmentationClass, create_classes
from pixelwise.errors import ConfigError


def test_names_and_colours() -> None:
    classes = create_classes(["background", "cell"])
    assert [item.name for item in classes] == ["background", "cell"]
    assert classes[0].rgb == (0, 0, 0)
    assert classes[1].rgb == (0xE6, 0x9F, 0)


def test_given_colours() -> None:
    assert create_classes(["a", "b"], ["#010203", "#FFffFF"])[1].rgb == (255, 255, 255)


def test_neighbours_differ_even_with_many_classes() -> None:
    colors = [item.color for item in create_classes([str(i) for i in range(MAX_CLASSES)])]
    assert all(a != b for a, b in pairwise(colors))


@pytest.mark.parametrize("count", [0, 1, VOID + 1])
def test_too_few_or_too_many(count: int) -> None:
    with pytest.raises(ConfigError, match=f"2 to {MAX_CLASSES} classes, got {count}"):
        create_classes([str(i) for i in range(count)])


def test_a_name_twice() -> None:
    with pytest.raises(ConfigError, match="must differ"):
        create_classes(["cell", "cell"])


@pytest.mark.parametrize("color", ["red", "#12345", "#1234567", "123456", "#gggggg"])
def test_wrong_colours(color: str) -> None:
    with pytest.raises(ValidationError):
        SegmentationClass(name="a", color=color)


def test_config_base() -> None:
    item = SegmentationClass(name="a", color="#000000")
    with pytest.raises(ValidationError):
        item.name = "b"  # type: ignore[misc]
