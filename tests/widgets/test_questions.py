from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

from pixelwise.widgets.questions import ask_close, ask_restore, ask_second

pytestmark = pytest.mark.display


@pytest.mark.parametrize(
    ("ask", "text", "answer"),
    [
        (ask_second, "Start after it", "after"),
        (ask_second, "Run beside it", "beside"),
        (ask_second, "Cancel", "cancel"),
        (ask_close, "Continue without napari", "keep"),
        (ask_close, "Save and stop", "stop"),
        (ask_close, "Cancel", "cancel"),
        (lambda parent: ask_restore(parent, "cells", "noon"), "Discard", "discard"),
        (lambda parent: ask_restore(parent, "cells", "noon"), "Cancel", "later"),
    ],
)
def test_the_buttons(qtbot: Any, ask: Callable[[QWidget], str], text: str, answer: str) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.show()

    def click() -> None:
        boxes = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox)]
        shown = next(box for box in boxes if box.isVisible())
        next(b for b in shown.buttons() if b.text().replace("&", "") == text).click()

    QTimer.singleShot(200, click)
    assert ask(parent) == answer


def test_a_script_is_not_asked(qtbot: Any) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    assert (ask_second(parent), ask_close(parent), ask_close(None)) == ("beside", "stop", "stop")
