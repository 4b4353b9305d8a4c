from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QTableWidgetItem, QToolTip, QVBoxLayout, QWidget

from pixelwise.widgets.full_names import NameList, show_full_names
from pixelwise.widgets.panel import create_table

pytestmark = pytest.mark.display
LONG_NAME = "nuclei of the second plate, stained and measured twice"


def ask(widget: QWidget, place: QPoint) -> str:
    """Ask for the tooltip at a place."""
    QToolTip.hideText()
    event = QHelpEvent(QEvent.Type.ToolTip, place, widget.mapToGlobal(place))
    QApplication.sendEvent(widget, event)
    return QToolTip.text()


def test_names_that_are_cut_are_read_in_a_tooltip(qtbot: Any) -> None:
    page, box, table = QWidget(), QComboBox(), create_table(["name", "why"], height=60)
    qtbot.addWidget(page)
    layout = QVBoxLayout(page)
    layout.addWidget(box)
    layout.addWidget(table)
    policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    box.setSizeAdjustPolicy(policy)
    box.addItems([LONG_NAME, "short"])
    table.setRowCount(1)
    table.setItem(0, 0, QTableWidgetItem(LONG_NAME))
    page.setFixedWidth(200)
    page.show()
    qtbot.waitExposed(page)
    show_full_names(page)
    assert ask(box, box.rect().center()) == LONG_NAME
    box.setToolTip("which image")
    assert ask(box, box.rect().center()) == f"{LONG_NAME}\nwhich image"
    box.setCurrentText("short")
    assert LONG_NAME not in ask(box, box.rect().center())
    cell = table.visualItemRect(table.item(0, 0)).center()
    assert ask(table.viewport(), cell) == LONG_NAME


def test_names_are_cut_in_their_middle(qtbot: Any) -> None:
    box = NameList()
    qtbot.addWidget(box)
    names = [f"{LONG_NAME} {end}" for end in ("labels", "mask")]
    box.addItems(names)
    box.setFixedWidth(140)
    box.show()
    qtbot.waitExposed(box)
    pictures = []
    for name in names:
        box.setCurrentText(name)
        pictures.append(box.grab().toImage())
    assert pictures[0] != pictures[1]
    box.setCurrentText(names[0])
    assert box.grab().toImage() == pictures[0]
    assert ask(box, box.rect().center()) == ""  # the table's filter is not installed here
    show_full_names(box)
    assert ask(box, box.rect().center()) == names[0]
