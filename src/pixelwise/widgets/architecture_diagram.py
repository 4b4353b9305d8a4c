"""A small diagram of each architecture: encoder, decoder and skip connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

_INK, _DOWN, _UP, _EXTRA = "#9aa4ad", "#56b4e9", "#e69f00", "#009e73"


@dataclass(frozen=True)
class Sketch:
    """What a diagram shows.

    Attributes
    ----------
    levels : int
        Resolutions, the finest at the top.
    skips : str
        Skip connections: feature maps, nested ("dense"), pooling indices or none.
    note : str
        What sets it apart, in a few words.
    middle : bool
        Whether the bottleneck is a special block.
    loops : bool
        Whether the blocks are recurrent.
    dilated : tuple of int
        Levels with dilated convolutions; 0 is the finest.
    """

    levels: int = 5
    skips: Literal["maps", "dense", "indices", "none"] = "maps"
    note: str = ""
    middle: bool = False
    loops: bool = False
    dilated: tuple[int, ...] = ()


SKETCHES = {
    "unet": Sketch(note="skip connections carry fine detail across"),
    "unetplusplus": Sketch(skips="dense", note="nested skip connections"),
    "segnet": Sketch(skips="indices", note="upsamples with pooling indices"),
    "deeplabv3": Sketch(4, "none", "parallel dilated convolutions (ASPP)", middle=True),
    "deeplabv3plus": Sketch(4, "maps", "ASPP and one skip connection", middle=True),
    "r2unet": Sketch(note="recurrent residual blocks", loops=True),
    "ddunet": Sketch(note="dilated blocks in the deep levels", dilated=(2, 3)),
}
_OTHER = Sketch(note="encoder and decoder of segmentation-models-pytorch")


class DiagramView(QWidget):
    """Paints the sketch of one architecture."""

    def __init__(self) -> None:
        super().__init__()
        self._sketch = _OTHER
        self.setMinimumHeight(120)
        self.setMaximumHeight(140)

    def show_architecture(self, name: str) -> None:
        """Show an architecture, by its name in the registry."""
        self._sketch = SKETCHES.get(name, _OTHER)
        self.setToolTip(self._sketch.note)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802  Qt's name
        """Paint encoder, decoder and skip connections, level by level."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        sketch, step = self._sketch, (self.height() - 22) / self._sketch.levels
        centre = self.width() / 2
        for level in range(sketch.levels):
            self._paint_level(painter, level, y=4 + level * step, height=step - 5, centre=centre)
        painter.setPen(QColor(_INK))
        text = QRectF(0, self.height() - 18, self.width(), 18)
        painter.drawText(text, Qt.AlignmentFlag.AlignCenter, sketch.note)
        painter.end()

    def _paint_level(
        self, painter: QPainter, level: int, *, y: float, height: float, centre: float
    ) -> None:
        sketch = self._sketch
        away = (sketch.levels - 1 - level) * min(26.0, centre / (sketch.levels + 1))
        width = 16.0 + 6 * level
        lowest = level == sketch.levels - 1
        if lowest:
            place = QRectF(centre - width / 2, y, width, height)
            self._block(painter, place, _EXTRA if sketch.middle else _DOWN)
            return
        left, right = centre - away - width, centre + away
        pen = QPen(QColor(_INK), 1.2)
        pen.setStyle(Qt.PenStyle.DashLine if sketch.skips == "indices" else Qt.PenStyle.SolidLine)
        painter.setPen(pen)
        middle = y + height / 2
        if sketch.skips != "none":
            painter.drawLine(QPointF(left + width, middle), QPointF(right, middle))
        if sketch.skips == "dense":
            painter.setBrush(QColor(_EXTRA))
            for k in range(1, sketch.levels - 1 - level):
                x = left + width + (right - left - width) * k / (sketch.levels - 1 - level)
                painter.drawEllipse(QPointF(x, middle), 4, 4)
        hue = _EXTRA if level in sketch.dilated else None
        self._block(painter, QRectF(left, y, width, height), hue or _DOWN)
        self._block(painter, QRectF(right, y, width, height), hue or _UP)

    def _block(self, painter: QPainter, place: QRectF, color: str) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(color))
        painter.drawRoundedRect(place, 2, 2)
        if self._sketch.loops:
            painter.setPen(QPen(QColor("#ffffff"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            loop = QRectF(place.center().x() - 4, place.center().y() - 4, 8, 8)
            painter.drawArc(loop, 40 * 16, 290 * 16)
