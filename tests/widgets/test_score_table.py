from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pixelwise.scores import create_scores
from pixelwise.widgets.score_table import ScoreTable, describe_headline

pytestmark = pytest.mark.display
MATRIX = np.array([[80, 5, 0], [5, 90, 5], [0, 0, 20]])


def test_two_classes_have_one_dice() -> None:
    scores = create_scores(MATRIX[:2, :2], ["background", "cell"])
    title, sentence = describe_headline(scores, "all pixels of both layers together")
    assert title == "Dice of the foreground 0.947"
    assert sentence == (
        "2·TP / (2·TP + FP + FN) of cell, without the background; "
        "all pixels of both layers together."
    )


def test_the_headline_says_which_class_is_background() -> None:
    named = create_scores(MATRIX, ["ground", "cell", "wall"])
    title, sentence = describe_headline(named, "on annotated pixels only")
    assert title == f"Mean Dice of the foreground {named.macro(foreground=True).dice:.3f}"
    assert "over 2 classes, without the background (ground); on annotated pixels only." in sentence
    streets = create_scores(MATRIX, ["road", "car", "sky"], background=None)
    title, sentence = describe_headline(streets, "all pixels")
    assert title.startswith("Mean Dice of all classes")
    assert "over 3 classes, no class is background" in sentence


def test_classes_that_do_not_occur_are_said() -> None:
    matrix = np.pad(MATRIX, ((0, 1), (0, 1)))
    scores = create_scores(matrix, ["background", "a", "b", "c"])
    assert "over 3 classes (2 of them occur)" in describe_headline(scores, "all pixels")[1]
    empty = create_scores(np.diag([5, 0]), ["background", "a"])
    assert describe_headline(empty, "all")[0] == "Dice of the foreground: not defined"


@pytest.mark.parametrize("width", [300, 420])
def test_the_table_fits_into_its_column(qtbot: Any, width: int) -> None:
    table = ScoreTable()
    qtbot.addWidget(table)
    table.resize(width, 300)
    names = [f"a class with a long name {i}" for i in range(3)]
    table.show_scores(create_scores(MATRIX, names))
    total = sum(table.columnWidth(column) for column in range(table.columnCount()))
    assert total <= table.viewport().width()
    assert table.columnWidth(0) >= 50
    assert names[0] in table.item(0, 0).toolTip()
    assert "sensitivity" in table.horizontalHeaderItem(2).toolTip()
