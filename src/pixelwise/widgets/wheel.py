"""The mouse wheel scrolls a page and changes none of its fields."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
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
    """Leaves the wheel over a field to what is around the field."""

    def eventFilter(self, _: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        """Hold back a wheel event, which Qt then gives to the field's parent."""
        if event.type() != QEvent.Type.Wheel:
            return False
        event.ignore()
        return True


_filter: list[_WheelFilter] = []  # one for all fields, made with the first


def calm_wheel(widget: QWidget) -> None:
    """Let the wheel scroll over a field, and over all fields within a widget."""
    if not _filter:
        _filter.append(_WheelFilter())
    for field in (widget, *(each for kind in _FIELDS for each in widget.findChildren(kind))):
        if isinstance(field, _FIELDS) and not isinstance(field, QScrollBar):
            field.installEventFilter(_filter[0])
