"""Live training curves of one or more runs, exported as PNG and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from napari.utils.notifications import show_error
from pyqtgraph.exporters import ImageExporter
from qtpy.QtCore import QCoreApplication, QEvent, Qt, QTimer
from qtpy.QtGui import QShowEvent, QWheelEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QWidget,
)

from pixelwise.atomic import replacing, write_text
from pixelwise.errors import PixelwiseError
from pixelwise.events import EpochEnded, Event, StepsDone
from pixelwise.scores import SHOWN
from pixelwise.widgets.panel import create_button, create_row, fill_column
from pixelwise.widgets.wording import for_window

REPAINT_MS = 100
_AXIS_PX = 48  # as wide for both plots, so that their epochs lie one above the other
# Okabe & Ito's colour-blind safe set; runs take them in turn.
_COLORS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2", "#999999")
_STYLES = {
    "training": Qt.PenStyle.DotLine,
    "validation": Qt.PenStyle.SolidLine,
    "score": Qt.PenStyle.SolidLine,
}


@dataclass
class Series:
    """Points of one curve, in arrays that grow by doubling."""

    count: int = 0
    points: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 64)))

    def append(self, x: float, y: float) -> None:
        """Add a point; later ones, which a rollback has repeated, are dropped."""
        while self.count and self.points[0, self.count - 1] >= x:
            self.count -= 1
        if self.count == self.points.shape[1]:
            self.points = np.concatenate([self.points, np.empty_like(self.points)], axis=1)
        self.points[:, self.count] = x, y
        self.count += 1

    @property
    def x(self) -> npt.NDArray[np.float64]:
        """Epochs; fractions are within an epoch."""
        return self.points[0, : self.count]

    @property
    def y(self) -> npt.NDArray[np.float64]:
        """Values; NaN where there is none."""
        return self.points[1, : self.count]


class _Plot(pg.PlotWidget):
    """A plot that zooms with Ctrl and the wheel; without Ctrl, the wheel scrolls what is around."""

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802  Qt's name
        """Zoom if Ctrl is held."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().wheelEvent(event)
        else:
            event.ignore()


class CurvePlot(QWidget):
    """Training and validation loss above, one chosen score below; repainted ten times a second.

    Ctrl and the wheel zoom, drag to pan, right-click for more; the A in the corner shows all.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.repaints = 0
        self._runs: dict[str, dict[str, Series]] = {}
        self._curves: dict[tuple[str, str], pg.PlotDataItem] = {}
        self._colors: dict[str, str] = {}
        self._stale: set[tuple[str, str]] = set()
        self._build()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)  # others may come 5 % early
        self._timer.setInterval(REPAINT_MS)
        self._timer.timeout.connect(self.repaint_curves)

    def _build(self) -> None:
        self.losses, self.scores = (_Plot(self, background=None) for _ in range(2))
        for plot, name in ((self.losses, "loss"), (self.scores, "dice")):
            plot.setLabel("left", name)
            plot.showGrid(x=True, y=True, alpha=0.2)
            plot.setMinimumHeight(120)
            plot.setToolTip("Ctrl and the wheel zoom, drag to pan, right-click for more")
            plot.getAxis("left").setWidth(_AXIS_PX)
            for side in ("left", "bottom"):  # an axis that grows while it paints is painted twice
                plot.getAxis(side).setStyle(autoExpandTextSpace=False)
                plot.getAxis(side).enableAutoSIPrefix(False)
        self._names = self.losses.addLegend(offset=(-5, 5), labelTextSize="8pt")
        self._names.hide()  # it would cover the curves; a PNG needs it
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.scores.setLabel("bottom", "epoch")
        self.scores.setXLink(self.losses)
        self.score = QComboBox(self)
        self.score.addItems(SHOWN)
        self.score.setToolTip("Validation score to plot")
        self.score.currentTextChanged.connect(self._show_score)
        self.logarithmic = QCheckBox("log", self)
        self.logarithmic.setToolTip("Logarithmic axis for the loss")
        self.logarithmic.toggled.connect(lambda on: self.losses.setLogMode(y=on))
        row = create_row(self.score, self.logarithmic)
        row.addStretch()
        for kind, export in (("PNG", self.export_png), ("CSV", self.export_csv)):
            ask = partial(self._ask, kind.lower(), export)
            row.addWidget(create_button(f"{kind}…", f"Save the curves as {kind}", ask))
        fill_column(self, self.legend, self.losses, self.scores, row)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802  Qt's name
        """Draw what came while nothing was shown."""
        super().showEvent(event)
        self._repaint_soon()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802  Qt's name
        """Draw axes and words in the colours of the theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._color_axes()

    def _color_axes(self) -> None:
        color = self.palette().color(self.foregroundRole())
        for plot in (self.losses, self.scores):
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(color)
                plot.getAxis(side).setTextPen(color)

    @property
    def runs(self) -> Mapping[str, Mapping[str, Series]]:
        """Curves by run: training, validation, and each score."""
        return self._runs

    def add_run(self, run: str) -> None:
        """Add an empty run; one that is already shown starts over."""
        self.remove_run(run)
        free = [color for color in _COLORS if color not in self._colors.values()]
        color = free[0] if free else _COLORS[len(self._runs) % len(_COLORS)]
        self._colors[run] = color
        self._runs[run] = {name: Series() for name in ("training", "validation", *SHOWN)}
        for name in ("training", "validation", "score"):
            plot = self.scores if name == "score" else self.losses
            pen = pg.mkPen(color, width=2, style=_STYLES[name])
            dots = {"symbol": "o", "symbolSize": 4, "symbolBrush": color, "symbolPen": None}
            label = f"{Path(run).name} {name}"
            marks = {} if name == "training" else dots
            curve = pg.PlotDataItem(pen=pen, name=label, connect="finite", **marks)
            curve.setDownsampling(auto=True, method="peak")
            curve.setClipToView(True)
            plot.addItem(curve)
            self._curves[run, name] = curve
        self._write_legend()

    def remove_run(self, run: str) -> None:
        """Remove a run's curves."""
        self._runs.pop(run, None)
        self._colors.pop(run, None)
        for name in ("training", "validation", "score"):
            curve = self._curves.pop((run, name), None)
            if curve is not None:
                (self.scores if name == "score" else self.losses).removeItem(curve)
        self._stale = {key for key in self._stale if key[0] != run}
        self._write_legend()

    def _write_legend(self) -> None:
        """Write which colour is which run."""
        names = [
            f"<span style='color: {color}'>■</span>&nbsp;{escape(Path(run).name)}"
            for run, color in self._colors.items()
        ]
        lines = ["loss: dotted in training, solid in validation"] if names else []
        self.legend.setText("<br>".join([*names, *lines]))

    def add_events(self, run: str, events: Iterable[Event]) -> None:
        """Add a run's events, and show them unless the last repaint was a moment ago.

        What else these events change is painted in the same turn: each time, a window with a canvas
        is put together as a whole, which takes 15 ms without a graphics card.
        """
        if run not in self._runs:
            self.add_run(run)
        for event in events:
            if isinstance(event, StepsDone):
                place = event.epoch - 1 + event.step / event.steps
                self._add(run, "training", (place, event.train_loss))
            elif isinstance(event, EpochEnded):
                self._add(run, "training", (event.epoch, event.train_loss))
                self._add(run, "validation", (event.epoch, event.validation_loss))
                for name in SHOWN:
                    self._add(run, name, (event.epoch, event.scores.get(name)))
        self._repaint_soon()

    def _add(self, run: str, name: str, point: tuple[float, float | None]) -> None:
        x, y = point
        self._runs[run][name].append(x, np.nan if y is None else y)
        self._stale.add((run, "score" if name in SHOWN else name))

    def _show_score(self, name: str) -> None:
        self.scores.setLabel("left", name)
        self._stale |= {(run, "score") for run in self._runs}
        self._repaint_soon()

    def _repaint_soon(self) -> None:
        """Draw now, or when a tenth of a second is over since the last time."""
        if not self._timer.isActive():
            self.repaint_curves()

    def repaint_curves(self) -> None:
        """Draw the curves that have new points, and not again for a tenth of a second."""
        if not self._stale or not self.isVisible():
            return
        with _painted_together(self.losses, self.scores):
            for run, name in self._stale:
                series = self._runs[run][self.score.currentText() if name == "score" else name]
                shown = slice(None if np.isfinite(series.y).any() else 0)  # pyqtgraph needs a value
                self._curves[run, name].setData(series.x[shown], series.y[shown])
        self._stale.clear()
        self.repaints += 1
        self._timer.start()

    def to_csv(self) -> str:
        """All points as CSV: run, curve, epoch, value."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["run", "curve", "epoch", "value"])
        for run, curves in self._runs.items():
            for name, series in curves.items():
                for x, y in zip(series.x.tolist(), series.y.tolist(), strict=True):
                    rows.writerow([run, name, f"{x:g}", f"{y:.6g}"])
        return text.getvalue()

    def export_csv(self, path: Path) -> None:
        """Write all points as CSV.

        Raises
        ------
        WriteError
            The file cannot be written.
        """
        write_text(path, self.to_csv())

    def export_png(self, path: Path) -> None:
        """Write both plots as one PNG, at twice their size on screen.

        Raises
        ------
        WriteError
            The file cannot be written.
        """
        self.repaint_curves()
        images = []
        self._names.setLabelTextColor(self.palette().color(self.foregroundRole()))
        self._names.show()
        for plot in (self.losses, self.scores):
            exporter = ImageExporter(plot.plotItem)
            exporter.parameters()["width"] = 2 * max(plot.width(), 300)
            exporter.parameters()["background"] = self.palette().color(self.backgroundRole())
            images.append(_to_array(exporter.export(toBytes=True)))
        self._names.hide()
        width = max(image.shape[1] for image in images)
        padded = [np.pad(i, ((0, 0), (0, width - i.shape[1]), (0, 0))) for i in images]
        from PIL import Image

        with replacing(path) as temp:
            Image.fromarray(np.vstack(padded)).save(temp, format="PNG")

    def _ask(self, kind: str, export: Callable[[Path], None]) -> None:
        """Ask for a file and export, or show the error."""
        name = f"loss.{kind}"
        if path := QFileDialog.getSaveFileName(self, "Save the curves", name, f"*.{kind}")[0]:
            try:
                export(Path(path))
            except (PixelwiseError, OSError) as error:
                show_error(for_window(str(error)))


@contextmanager
def _painted_together(*plots: pg.PlotWidget) -> Iterator[None]:
    """Paint plots once, in one turn; left to themselves, each paints the window several times.

    A changed item paints its scene at once, a range that follows while it is painted does so again.
    """
    for plot in plots:
        plot.setUpdatesEnabled(False)
    try:
        yield
        for plot in plots * 2:  # the range of one moves that of the other
            plot.scene().prepareForPaint()
        for plot in plots:
            QCoreApplication.sendPostedEvents(plot.scene(), QEvent.Type.MetaCall.value)
    finally:
        for plot in plots:
            plot.setUpdatesEnabled(True)


def _to_array(image: pg.QtGui.QImage) -> npt.NDArray[np.uint8]:
    """Pixels (Y, X, 3) of a Qt image."""
    rgb = pg.functions.ndarray_from_qimage(
        image.convertToFormat(pg.QtGui.QImage.Format.Format_RGBA8888)
    )
    found: npt.NDArray[np.uint8] = np.ascontiguousarray(rgb[..., :3])
    return found
