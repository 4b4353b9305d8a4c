"""The mouse wheel over a field scrolls the page, unless somebody has clicked the field."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QScrollBar,
    QTabBar,
    QWidget,
)

_FIELDS = (QAbstractSpinBox, QComboBox, QAbstractSlider, QTabBar)


class _WheelFilter(QObject):
    """Leaves the wheel over a field without focus to what is around the field."""

    def eventFilter(self, field: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        """Hold back a wheel event, which Qt then gives to the field's parent."""
        is_typed_in = isinstance(field, QWidget) and field.hasFocus()
        if event.type() != QEvent.Type.Wheel or (is_typed_in and not isinstance(field, QTabBar)):
            return False
        event.ignore()
        return True


_filter: list[_WheelFilter] = []  # made with the first field: a QObject at import is one too early


def calm_wheel(*widgets: QWidget) -> None:
    """Let the wheel scroll over these fields, and over those within these widgets."""
    if not _filter:
        _filter.append(_WheelFilter())
    for widget in widgets:
        for field in (widget, *(each for kind in _FIELDS for each in widget.findChildren(kind))):
            if isinstance(field, _FIELDS) and not isinstance(field, QScrollBar):
                field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                field.installEventFilter(_filter[0])
