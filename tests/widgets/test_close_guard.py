from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QCoreApplication
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QWidget

from pixelwise.widgets.close_guard import CloseGuard


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_new_guard_takes_over_what_it_can_know_of(qtbot: Any, is_alone: bool) -> None:
    """A widget that is still saving layers is asked about by itself; others are followed anew."""
    window, asked, replaced = QWidget(), [], []
    qtbot.addWidget(window)
    for name in ("old", "new"):
        guard = CloseGuard(
            QWidget(window), is_running=lambda: True, stop=lambda: None, is_alone=lambda: is_alone
        )
        guard.ask = lambda name=name: asked.append(name) or "keep"
        guard.replaced.connect(lambda name=name: replaced.append(name))
        guard.watch()
        guard.watch()  # once is enough
    QCoreApplication.sendEvent(window, QCloseEvent())
    assert sorted(asked) == (["new", "old"] if is_alone else ["new"])
    assert replaced == ([] if is_alone else ["old"])


@pytest.mark.parametrize(
    ("answer", "is_running", "closes", "stops"),
    [
        ("keep", True, True, 0),
        ("stop", True, True, 1),
        ("cancel", True, False, 0),
        ("cancel", False, True, 0),
    ],
)
def test_the_answer_decides(
    qtbot: Any, answer: str, is_running: bool, closes: bool, stops: int
) -> None:
    window, stopped = QWidget(), []
    qtbot.addWidget(window)
    guard = CloseGuard(
        QWidget(window), is_running=lambda: is_running, stop=lambda: stopped.append(1)
    )
    guard.ask = lambda: answer
    guard.watch()
    event = QCloseEvent()
    QCoreApplication.sendEvent(window, event)
    assert event.isAccepted() is closes
    assert len(stopped) == stops
