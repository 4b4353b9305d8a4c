from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import napari
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollBar,
    QTabBar,
    QWidget,
)

from tests.widgets.conftest import add_pairs

pytestmark = pytest.mark.display
Open = Callable[..., Any]
KINDS = (QComboBox, QAbstractSpinBox, QAbstractSlider, QTabBar)


def turn_wheel(widget: QWidget) -> bool:
    """Turn the wheel over a widget by one step towards the user; whether the widget took it."""
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place,
        widget.mapToGlobal(place),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def iter_fields(widget: QWidget) -> Iterator[Any]:
    for kind in KINDS:
        for field in widget.findChildren(kind):
            if not isinstance(field, QScrollBar):
                yield field


def read(field: Any) -> Any:
    if isinstance(field, QComboBox):
        return field.currentText()
    if isinstance(field, QTabBar):
        return field.currentIndex()
    return field.text() if isinstance(field, QAbstractSpinBox) else field.value()


@pytest.mark.parametrize("name", ["Segment", "Patches", "Models"])
def test_the_wheel_changes_no_field_that_nobody_has_clicked(name: str, open_widget: Open) -> None:
    widget = open_widget(name, show=True)
    add_pairs(napari.current_viewer())
    for _ in range(20):  # tables are filled, and make their fields, in the event loop
        QApplication.processEvents()
    if name == "Segment":
        for page in ("Annotate", "Train", "Predict", "Evaluate"):
            widget.open_page(page)
    fields = list(iter_fields(widget))
    assert len(fields) > 4
    before = [read(field) for field in fields]
    taken = [turn_wheel(field) for field in fields]
    assert [read(field) for field in fields] == before
    assert not any(taken)  # so Qt gives it to the page, which scrolls


def test_a_field_that_was_clicked_follows_the_wheel(open_widget: Open) -> None:
    widget = open_widget("Train", show=True)
    field = widget.training["epochs"].native
    widget.window().activateWindow()
    field.setFocus()
    for _ in range(20):
        QApplication.processEvents()
    if not field.hasFocus():
        pytest.skip("this screen gives no window the focus")
    turn_wheel(field)
    assert widget.training["epochs"].value == 49
