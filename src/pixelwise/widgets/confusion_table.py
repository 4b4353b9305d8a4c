"""The confusion matrix in a window: painted in the window's own colours, as wide as there is room.

Each cell is the share of a true class (row) that was predicted as a class (column).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QPoint, QRect, QSize, Qt
from qtpy.QtGui import QColor, QFontMetrics, QHelpEvent, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QToolTip, QWidget

from pixelwise.widgets.panel import write_tip

_FULL = QColor("#3d8fc6")  # of a cell with all pixels of its row; one with none has the window's
_MOST_HEIGHT_PX = 380
_SMALLEST_PX, _LARGEST_PX = 15, 72  # sides of a cell
_TALLEST_PX = 34
_NAME_PX = 80  # room for a class name, at most
_NAMES_SHARE = 0.24  # of the width
_GAP_PX = 4
_EDGE_PX = 2  # what a theme may leave free around the cells
_BARS = {
    True: Qt.ScrollBarPolicy.ScrollBarAlwaysOn,
    False: Qt.ScrollBarPolicy.ScrollBarAlwaysOff,
}
_SMALLEST_FONT_PX, _LARGEST_FONT_PX = 8, 12


class ConfusionTable(QScrollArea):
    """A confusion matrix that fits into its column; hidden while there is none.

    With many classes the cells become smaller, then the matrix scrolls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.grid = ConfusionGrid()
        self.setWidget(self.grid)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.hide()

    def show_matrix(self, matrix: npt.NDArray[np.int64], names: Sequence[str]) -> None:
        """Show a matrix (C, C), its rows the truth, with one class name per row."""
        self.grid.set_matrix(matrix, names)
        self._fit()
        self.show()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  Qt's name
        """Use the width that there is."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Lay the cells out; bars to scroll by are there only where they are needed."""
        bar, width = self.verticalScrollBar().sizeHint().width(), self.width() - 2 * _EDGE_PX
        self.grid.fit(width)
        is_tall = self.grid.height() > _MOST_HEIGHT_PX
        if is_tall:
            width -= bar
            self.grid.fit(width)
        is_wide = self.grid.width() > width
        self.setVerticalScrollBarPolicy(_BARS[is_tall])
        self.setHorizontalScrollBarPolicy(_BARS[is_wide])
        height = self.grid.height() + 2 * _EDGE_PX + is_wide * bar
        self.setFixedHeight(min(height, _MOST_HEIGHT_PX))


class ConfusionGrid(QWidget):
    """Paints the cells of a matrix and the names of its classes."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = np.zeros((0, 0), np.int64)
        self._names: tuple[str, ...] = ()
        self._corner = QSize()  # room for the names: of the rows, and of the columns
        self._cell = QSize(_LARGEST_PX, _TALLEST_PX)

    def set_matrix(self, matrix: npt.NDArray[np.int64], names: Sequence[str]) -> None:
        """Take a matrix (C, C) and its class names; `fit` gives them their place."""
        self._counts, self._names = matrix, tuple(names)
        self.update()

    def fit(self, width: int) -> None:
        """Take the size that shows all classes in a width, in cells that are not too small."""
        count, letters = max(len(self._names), 1), self.fontMetrics()
        longest = max((letters.horizontalAdvance(name) for name in self._names), default=0) + 6
        left = letters.height() + min(longest, _NAME_PX, round(_NAMES_SHARE * width))
        side = min(max((width - left) // count, _SMALLEST_PX), _LARGEST_PX)
        upright = longest > side
        names = min(longest, _NAME_PX) if upright else letters.height()
        self._corner = QSize(left + _GAP_PX, letters.height() + names + _GAP_PX)
        side = min(max((width - self._corner.width()) // count, _SMALLEST_PX), _LARGEST_PX)
        height = (_MOST_HEIGHT_PX - 2 * _EDGE_PX - self._corner.height()) // count
        self._cell = QSize(side, min(side, max(height, _SMALLEST_PX), _TALLEST_PX))
        self.setFixedSize(
            self._corner.width() + count * side,
            self._corner.height() + count * self._cell.height(),
        )

    def describe(self, point: QPoint) -> str:
        """Say what is at a point: class names in full, the share and the pixels; empty if none."""
        place, cell = point - QPoint(self._corner.width(), self._corner.height()), self._cell
        row, column = place.y() // cell.height(), place.x() // cell.width()
        count = len(self._names)
        if row >= count or column >= count or (row < 0 and column < 0):
            return ""
        if row < 0 or column < 0:
            return str(self._names[max(row, column)])
        pixels, total = int(self._counts[row, column]), int(self._counts[row].sum())
        share = f"{pixels / total:.2%}" if total else "no share"
        return (
            f"truth: {self._names[row]}\nprediction: {self._names[column]}\n"
            f"{share}: {pixels:,} of {total:,} pixel{'s' * (total != 1)}"
        )

    def event(self, event: QEvent) -> bool:
        """Show a tool tip on the cell or the name below the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            text = self.describe(event.pos())
            QToolTip.showText(event.globalPos(), write_tip(text) if text else "", self)
            return True
        return bool(super().event(event))

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802  Qt's name
        """Paint names and cells in the colours of the theme."""
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        self._paint_names(painter)
        font = self.font()
        size = min(max(round(0.55 * self._cell.height()), _SMALLEST_FONT_PX), _LARGEST_FONT_PX)
        font.setPixelSize(size)
        painter.setFont(font)
        totals = self._counts.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            shares = np.where(totals > 0, self._counts / totals, np.nan)
        for (row, column), share in np.ndenumerate(shares):
            self._paint_cell(painter, self._place(row, column), float(share))
        painter.end()

    def _place(self, row: int, column: int) -> QRect:
        left = self._corner.width() + column * self._cell.width()
        return QRect(QPoint(left, self._corner.height() + row * self._cell.height()), self._cell)

    def _paint_cell(self, painter: QPainter, place: QRect, share: float) -> None:
        """Colour a cell by its share; a class without pixels has none."""
        paper = self.palette().base().color()
        color = _mix(paper, _FULL, share if isfinite(share) else 0.0)
        painter.fillRect(place.adjusted(0, 0, -1, -1), color)
        painter.setPen(QColor("black" if _lightness(color) > 0.5 else "white"))
        text = _write_share(share, painter.fontMetrics(), place.width() - 2)
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_names(self, painter: QPainter) -> None:
        """Write the names beside the rows, and above the columns: upright where they are long."""
        letters, side = painter.fontMetrics(), self._cell.width()
        line, left, top = letters.height(), self._corner.width(), self._corner.height()
        centre = Qt.AlignmentFlag.AlignCenter
        painter.drawText(QRect(left, 0, self.width() - left, line), centre, "prediction")
        self._paint_upright(painter, QRect(0, top, line, self.height() - top), "truth")
        upright = top - line - _GAP_PX > line
        for number, name in enumerate(self._names):
            row = QRect(
                line, self._place(number, 0).y(), left - line - _GAP_PX, self._cell.height()
            )
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(row, right, _elide(letters, name, row.width()))
            column = QRect(left + number * side, line, side, top - line - _GAP_PX)
            if upright:
                self._paint_upright(painter, column, name, align=Qt.AlignmentFlag.AlignLeft)
            else:
                painter.drawText(column, centre, name)

    def _paint_upright(
        self,
        painter: QPainter,
        place: QRect,
        text: str,
        *,
        align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignHCenter,
    ) -> None:
        """Write a text from the lower end of a place to the upper one."""
        painter.save()
        painter.translate(place.left(), place.top() + place.height())
        painter.rotate(-90)
        text = _elide(painter.fontMetrics(), text, place.height())
        inside = QRect(0, 0, place.height(), place.width())
        painter.drawText(inside, align | Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()


def _elide(letters: QFontMetrics, text: str, width: int) -> str:
    return str(letters.elidedText(text, Qt.TextElideMode.ElideRight, width))


def _write_share(share: float, letters: QFontMetrics, width: int) -> str:
    """Write a share as wide as there is room: 97.3 %, 97, or nothing."""
    texts = [f"{share:.1%}", f"{100 * share:.0f}"] if isfinite(share) else ["-"]
    return next((text for text in texts if letters.horizontalAdvance(text) <= width), "")


def _mix(low: QColor, high: QColor, share: float) -> QColor:
    """Colour between two others."""
    pairs = zip(low.getRgb()[:3], high.getRgb()[:3], strict=True)
    return QColor(*(round(a + (b - a) * share) for a, b in pairs))


def _lightness(color: QColor) -> float:
    """How light a colour looks, 0 to 1."""
    red, green, blue = (part / 255 for part in color.getRgb()[:3])
    return float(0.299 * red + 0.587 * green + 0.114 * blue)
