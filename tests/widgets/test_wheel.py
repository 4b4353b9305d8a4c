from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

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


def turn_wheel(widget: QWidget, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Turn the wheel over a widget by one step towards the user."""
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place,
        widget.mapToGlobal(place),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        keys,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


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


@pytest.mark.parametrize("name", ["Annotate", "Train", "Predict", "Evaluate", "Patches", "Models"])
def test_the_wheel_changes_no_field(name: str, open_widget: Open) -> None:
    widget = open_widget(name, show=True)
    add_pairs(widget.viewer)
    for _ in range(20):  # fields that were replaced meanwhile go
        QApplication.processEvents()
    fields = [field for field in iter_fields(widget) if field.isVisible()]
    assert fields
    before = [read(field) for field in fields]
    for field in fields:
        turn_wheel(field)
    assert [read(field) for field in fields] == before
