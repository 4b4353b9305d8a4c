from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

from pixelwise.widgets.second_training import ask_second

pytestmark = pytest.mark.display


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Start after it", "after"), ("Run beside it", "beside"), ("Cancel", "cancel")],
)
def test_the_buttons(qtbot: Any, text: str, answer: str) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.show()

    def click() -> None:
        (box,) = (w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox))
        next(b for b in box.buttons() if b.text() == text).click()

    QTimer.singleShot(200, click)
    assert ask_second(parent) == answer


def test_a_script_is_not_asked(qtbot: Any) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    assert ask_second(parent) == "after"
