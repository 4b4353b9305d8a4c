from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from pixelwise.cli import run
from pixelwise.config import DataConfig
from pixelwise.datasets import load_dataset
from pixelwise.datasets.layouts.choices import list_choices
from pixelwise.errors import DataError
from pixelwise.images import write_picture

RNG = np.random.default_rng(6)


def fill(root: Path, images: str, masks: str) -> None:
    for names, flat in ((images, False), (masks, True)):
        for name in names.split():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            disk = np.repeat(RNG.integers(0, 2, (16, 1), np.uint8), 16, axis=1)
            write_picture(path, disk * 255 if flat else RNG.integers(0, 256, (16, 16), np.uint8))


CASES = {
    "two kinds": ("images/1.png images/2.png", "masks/1.png masks/2.png gt/1.png gt/2.png"),
    "two raters": ("1.png 2.png", "1_red.png 2_red.png 1_blue.png 2_blue.png"),
    "no words": ("ab/1.png", "cd/1.png"),
    "many scenes": ("p/vv/1.png q/vv/1.png", "p/flood/1.png q/flood/1.png"),
    "an odd suffix": ("1.png 2.png", "1_anno.png 2_anno.png"),
    "mirrored trees": ("s1/x.png s2/y.png", "d/s1/x_axon.png d/s2/y_axon.png"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_command_of_a_refusal_works(case: tuple[str, str], tmp_path: Path) -> None:
    root = tmp_path / "with space"
    fill(root, *case)
    with pytest.raises(DataError) as caught:
        load_dataset(root)
    lines = str(caught.value).splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("  pixelwise ")]
    assert commands
    for _, *arguments in commands:
        assert run(arguments) == 0


def test_the_choice_with_the_most_pairs_comes_first(tmp_path: Path) -> None:
    fill(tmp_path, "1.png 2.png 3.png", "1_a.png 2_a.png 3_a.png 1_b.png")
    first, *_ = list_choices(DataConfig(path=tmp_path))
    assert first.endswith("--mask-suffix _a")


def test_many_scenes_are_one_choice(tmp_path: Path) -> None:
    fill(tmp_path, *CASES["many scenes"])
    assert list_choices(DataConfig(path=tmp_path))[0].endswith("--images '*/vv' --masks '*/flood'")


def test_choices_keep_what_was_given(tmp_path: Path) -> None:
    fill(tmp_path, "vv/1.png vv/2.png vh/1.png vh/2.png", "gt/1.png gt/2.png old/1.png old/2.png")
    choices = list_choices(DataConfig(path=tmp_path, masks="old"))
    assert [choice.partition(" --")[2] for choice in choices] == [
        "images vh --masks old",
        "images vv --masks old",
    ]


def test_one_object_of_many_is_no_choice(tmp_path: Path) -> None:
    fill(tmp_path, "p0.png q0.png", "p0_1.png p0_2.png q0_1.png q0_2.png")
    assert list_choices(DataConfig(path=tmp_path)) == []
