from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QCoreApplication
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QWidget

from pixelwise.widgets.closing import CloseGuard


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
