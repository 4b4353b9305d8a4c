"""Values that number objects, or may: what is said about them, and that it works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from pixelwise.datasets import Inspection
from tests.datasets.test_mask_files import Draw, fatal, inspect, label_with, shares
from tests.disks import SHARE, SIDE, number, write_set

Array = np.ndarray


def layers(seed: int, _: Array) -> Array:
    """Layers one upon the other, the last of which are missing in some masks."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    for value in range(1, 3 + seed % 4):
        drawn[10 * value : 10 * value + 10] = value
    return drawn


def from_1(_: int, mask: Array) -> Array:
    return (number(mask)[0] + 1).astype(np.uint8)


def squares(seed: int, count: int = 12) -> Array:
    """Squares from 2 on, on a background of 1."""
    drawn = np.ones((SIDE, SIDE), np.int16)
    for place in range(count):
        y, x = 24 * (place // 4) + 3 + seed, 24 * (place % 4) + 4
        drawn[y : y + 11, x : x + 9] = place + 2
    return drawn


def with_lines(seed: int, value: int) -> Array:
    drawn = squares(seed)
    lines = binary_dilation(drawn > 1) & (drawn == 1)
    return np.where(lines, value, drawn).astype(np.int16)


def read_options(message: str) -> list[str]:
    found = re.findall(r"--classes ('[^']*'|[^\s;()]+?)(?=[.,;]?(?:\s|$))", message)
    return [option.strip("'") for option in found]


def notes(found: Inspection) -> str:
    return "\n".join(str(p) for p in found.problems if p.kind == "values" and not p.fatal)


@pytest.mark.parametrize("count", [4, 8, 16])
def test_a_few_layers_are_not_taken_for_objects(tmp_path: Path, count: int) -> None:
    root = write_set(tmp_path, layers, count=count)
    message = fatal(inspect(root))
    instances, classes = read_options(message)
    assert shares(inspect(root, classes=instances)).keys() == {"background", "object"}
    assert len(inspect(root, classes=classes).classes) == 6


@pytest.mark.parametrize(
    "draw",
    [
        label_with(lambda _, n, rng: rng.choice(np.arange(1, 60), n, replace=False)),
        label_with(lambda _, n, rng: rng.integers(40, 255, (n, 3))),
    ],
    ids=["values", "colours"],
)
def test_a_few_values_read_as_objects_can_be_said_to_be_classes(tmp_path: Path, draw: Draw) -> None:
    root = write_set(tmp_path, draw)
    found = inspect(root)
    assert "instances" in found.mapping
    (option,) = read_options(notes(found))
    named = inspect(root, classes=option)
    assert named.sound
    assert len(named.classes) > 20
    assert sum(shares(named).values()) - shares(named)["background"] == pytest.approx(SHARE)


def test_many_numbers_leave_no_note(tmp_path: Path) -> None:
    def draw(seed: int, _: Array) -> Array:
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        for place in range(25 + seed):
            y, x = divmod(place, 8)
            drawn[12 * y : 12 * y + 9, 12 * x : 12 * x + 9] = place + 1
        return drawn

    found = inspect(write_set(tmp_path, draw))
    assert "instances" in found.mapping
    assert not notes(found)


@pytest.mark.parametrize(
    ("draw", "suffix", "option"),
    [
        (lambda seed, _: squares(seed).astype("u1"), ".png", "1=background,2-13=object"),
        (lambda seed, _: with_lines(seed, -1), ".tif", "1=background,2-13=object,-1=void"),
        (
            lambda seed, _: with_lines(seed, 0).astype("u1"),
            ".png",
            "0=background,1=background,2-13=object",
        ),
    ],
    ids=["from-1", "lines-of-minus-1", "lines-of-0"],
)
def test_a_background_of_1_is_named(tmp_path: Path, draw: Any, suffix: str, option: str) -> None:
    root = write_set(tmp_path, draw, suffix=suffix)
    assert read_options(notes(inspect(root))) == [option]
    found = inspect(root, classes=option)
    assert found.sound
    annotated = 1 - found.void_share
    assert shares(found)["object"] == pytest.approx(12 * 99 / SIDE**2 / annotated, rel=0.02)


def test_a_background_of_1_is_no_object(tmp_path: Path) -> None:
    root = write_set(tmp_path, lambda seed, _: squares(seed, 6 + seed).astype("u1"))
    message = fatal(inspect(root))
    assert "1, not 0, fills most" in message
    option, instances = read_options(message)
    assert inspect(root, classes=option).sound
    assert shares(inspect(root, classes=option))["object"] < 0.2
    assert instances == "instances"
    assert inspect(root, classes=instances).mapping
