from __future__ import annotations

import shlex

import pytest

from pixelwise.classes import VOID
from pixelwise.config import DataConfig
from pixelwise.datasets.wording import spell_classes, spell_pairs


@pytest.mark.parametrize(
    "pairs",
    [
        {"0": "background", "1": "cell"},
        {"-1": "void", "0": "a", "1": "b c"},
        {"#000000": "background", "#ff0000": "it's"},
        {"0-127": "a", "128-255": "b"},
    ],
)
def test_what_is_written_is_read_back(pairs: dict[str, str]) -> None:
    option, value = shlex.split(spell_classes(pairs))
    assert option == "--classes"
    assert not value.startswith("-")
    assert DataConfig.create(path="a", classes=value).classes == pairs


def test_neighbours_of_one_class_are_a_range() -> None:
    table = [(v, int(v > 127)) for v in range(255)] + [(255, VOID), (300, 0), (301, 0)]
    assert spell_pairs(table, ("a", "b")) == {
        "0-127": "a", "128-254": "b", "255": "void", "300": "a", "301": "a",
    }  # fmt: skip
    assert spell_pairs([(0xFF, 0)], ("a",), colors=True) == {"#0000ff": "a"}
