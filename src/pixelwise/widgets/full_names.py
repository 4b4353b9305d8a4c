"""Names that a list or a table cuts are shown whole in a tooltip."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QHelpEvent, QPaintEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QWidget,
)


class _NameFilter(QObject):
    """Shows the chosen entry of a list above its tooltip, and the text of a cell that has none."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        """Answer a request for a tooltip, if a name is cut."""
        if event.type() != QEvent.Type.ToolTip or not isinstance(event, QHelpEvent):
            return False
        if isinstance(watched, QComboBox):
            text = _read_cut(watched)
            tip = "\n".join(filter(None, (text, watched.toolTip()))) if text else ""
        else:
            view = watched.parent()
            assert isinstance(view, QAbstractItemView)  # noqa: S101  see `show_full_names`
            index = view.indexAt(event.pos())
            tip = (
                index.data()
                if index.isValid() and not index.data(Qt.ItemDataRole.ToolTipRole)
                else ""
            )
        if not isinstance(tip, str) or not tip:
            return False
        QToolTip.showText(event.globalPos(), tip, watched)
        return True


_filter: list[_NameFilter] = []  # one for all widgets, made with the first


def show_full_names(widget: QWidget) -> None:
    """Let a list, and all lists and tables within a widget, show the names that they cut."""
    if not _filter:
        _filter.append(_NameFilter())
    for box in (widget, *widget.findChildren(QComboBox)):
        if isinstance(box, QComboBox):
            box.installEventFilter(_filter[0])
    for view in widget.findChildren(QAbstractItemView):
        view.viewport().installEventFilter(_filter[0])


class NameList(QComboBox):
    """A list that shortens its chosen entry, in its middle: names often differ at their ends."""

    cut = Qt.TextElideMode.ElideMiddle

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802  Qt's name
        """Paint the closed list; Qt would cut a long text within a letter."""
        option, painter = QStyleOptionComboBox(), QStylePainter(self)
        self.initStyleOption(option)
        painter.setPen(self.palette().text().color())
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, self.cut, _measure_room(self)
        )
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()


def _measure_room(box: QComboBox) -> int:
    """Pixels that a list has for the name of its chosen entry."""
    option = QStyleOptionComboBox()
    option.initFrom(box)
    part = QStyle.SubControl.SC_ComboBoxEditField
    room = box.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, box)
    return int(room.width()) - 8


def _read_cut(box: QComboBox) -> str:
    """Read the chosen entry of a list that is too narrow for it; else nothing."""
    text = str(box.currentText())
    return text if box.fontMetrics().horizontalAdvance(text) > _measure_room(box) else ""
