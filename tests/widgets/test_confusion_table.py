from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QSize
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QVBoxLayout, QWidget

from pixelwise.widgets.confusion_table import ConfusionTable

pytestmark = pytest.mark.display


@pytest.fixture
def table(qtbot: Any) -> ConfusionTable:
    """Give a table in a column of a dock's width."""
    dock = QWidget()
    column, made = QVBoxLayout(dock), ConfusionTable()
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(made)
    qtbot.addWidget(dock)
    made.dock = dock  # keeps it alive
    return made


def show(table: ConfusionTable, count: int, width: int, name: str = "class") -> None:
    matrix = np.full((count, count), 10, np.int64) + 90 * np.eye(count, dtype=np.int64)
    table.dock.resize(width, 600)
    table.dock.show()
    table.show_matrix(matrix, [f"{name} {i}" for i in range(count)])
    table.dock.layout().activate()


@pytest.mark.parametrize(("count", "width"), [*product((2, 3, 12), (300, 420))])
def test_it_fits_into_its_column(table: ConfusionTable, count: int, width: int) -> None:
    show(table, count, width, "endoplasmic reticulum of the cell")
    assert table.width() == table.dock.width() == width
    assert table.grid.width() <= table.viewport().width()
    assert table.grid.height() <= table.viewport().height()


def test_many_classes_scroll(table: ConfusionTable) -> None:
    show(table, 60, 300)
    assert table.width() == 300
    assert table.horizontalScrollBar().maximum() > 0
    assert table.verticalScrollBar().maximum() > 0
    assert table.height() < 400


def test_tool_tips_give_names_in_full_and_pixels(table: ConfusionTable) -> None:
    names = ["background", "a very long name of a class that nobody can read in a small dock"]
    table.resize(300, 300)
    table.show_matrix(np.array([[75, 25], [0, 0]]), names)
    grid = table.grid
    cell = QSize(grid._cell)
    centre = QPoint(grid._corner.width() + cell.width() // 2, grid._corner.height() + 5)
    right = centre + QPoint(cell.width(), 0)
    text = grid.describe(right)
    assert "truth: background\n" in text
    assert f"prediction: {names[1]}\n" in text
    assert "25.00%: 25 of 100 pixels" in text
    assert grid.describe(QPoint(right.x(), 5)) == names[1]
    assert "no share: 0 of 0" in grid.describe(centre + QPoint(0, cell.height()))
    assert grid.describe(QPoint(2, 2)) == ""
    assert grid.describe(QPoint(5000, 5000)) == ""


@pytest.mark.parametrize("paper", ["#262930", "#efebe9"], ids=["dark", "light"])
def test_it_has_the_colours_of_the_theme(table: ConfusionTable, paper: str) -> None:
    palette = QPalette()
    for role in (QPalette.ColorRole.Window, QPalette.ColorRole.Base):
        palette.setColor(role, QColor(paper))
    table.dock.setPalette(palette)
    table.dock.resize(300, 300)
    table.dock.show()
    table.show_matrix(np.diag([50, 50]), ["a", "b"])
    grid = table.grid
    picture = grid.grab().toImage()

    def color(row: int, column: int) -> QColor:
        place = grid._place(row, column)
        return QColor(picture.pixelColor(place.left() + 3, place.top() + 3))

    assert color(0, 1).name() == paper, "nothing of a row is the paper"
    assert color(0, 0) == color(1, 1) != color(0, 1)
    assert picture.pixelColor(1, 1).name() == paper
