"""The plot keeps up with long runs, and repaints at most ten times a second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyqtgraph import PlotWidget
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QApplication, QWidget

from pixelwise.events import EpochEnded, StepsDone
from pixelwise.images import read_image
from pixelwise.widgets.curve_plot import CurvePlot
from tests.widgets.conftest import wait_until
from tests.widgets.test_wheel import turn_wheel


def steps(first: int, count: int, per_epoch: int = 100) -> list[StepsDone]:
    return [
        StepsDone(
            epoch=1 + i // per_epoch, step=i % per_epoch, steps=per_epoch,
            train_loss=1 / (1 + i), learning_rate=1e-3, patches_per_second=1, seconds_left=None,
        )
        for i in range(first, first + count)
    ]  # fmt: skip


def epoch(number: int, dice: float | None = 0.5) -> EpochEnded:
    return EpochEnded(
        epoch=number, epochs=9, train_loss=0.5, validation_loss=0.25,
        scores={"dice": dice, "iou": 0.4, "accuracy": 0.9}, class_dice={}, learning_rate=1e-3,
        seconds=1, patches_per_second=1, best=True,
    )  # fmt: skip


@pytest.fixture
def plot(qtbot: Any) -> CurvePlot:
    widget = CurvePlot()
    qtbot.addWidget(widget)
    widget.resize(400, 400)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


@pytest.mark.display
def test_a_hundred_thousand_points_at_ten_repaints_a_second(plot: CurvePlot, qtbot: Any) -> None:
    events = steps(0, 100_000)
    before, started = plot.repaints, time.perf_counter()
    worst = 0.0
    for first in range(0, len(events), 500):
        asked = time.process_time()  # a busy machine does not matter
        plot.add_events("run", events[first : first + 500])
        qtbot.wait(5)
        worst = max(worst, time.process_time() - asked)
    wait_until(lambda: not plot._stale)
    elapsed = time.perf_counter() - started
    assert plot.runs["run"]["training"].count == 100_000
    assert 2 <= plot.repaints - before <= elapsed * 10 + 1
    assert worst < 1.0, f"a repaint held the window up for {worst:.2f} s"


class _Paints(QObject):
    """Counts how often a window is painted, and which plots were."""

    def __init__(self, window: QWidget) -> None:
        super().__init__()
        self._window = window
        self.times, self.plots = 0, []
        QApplication.instance().installEventFilter(self)

    def eventFilter(self, who: QObject, event: QEvent) -> bool:
        if who is self._window and event.type() == QEvent.Type.UpdateRequest:
            self.times += 1
        if event.type() == QEvent.Type.Paint and isinstance(who.parent(), PlotWidget):
            self.plots.append(who.parent())
        return False


@pytest.mark.display
def test_new_points_paint_the_window_once(plot: CurvePlot, qtbot: Any) -> None:
    for number in range(1, 4):  # until axes and legend have found their places
        plot.add_events("run", [*steps(100 * number, 100), epoch(number)])
        qtbot.wait(150)
    paints = _Paints(plot)
    plot.add_events("run", [*steps(400, 90), epoch(4, dice=0.6)])
    qtbot.wait(150)
    QApplication.instance().removeEventFilter(paints)
    assert set(paints.plots) == {plot.losses, plot.scores}
    assert paints.times == 1


@pytest.mark.display
def test_points_that_came_while_nothing_was_shown_are_drawn(plot: CurvePlot, qtbot: Any) -> None:
    plot.hide()
    plot.add_events("run", [epoch(1), epoch(2)])
    qtbot.wait(150)
    assert plot.repaints == 0
    plot.show()
    assert plot.repaints == 1
    plot.add_events("run", [epoch(3)])  # within a tenth of a second: not yet
    assert plot.repaints == 1
    wait_until(lambda: plot.repaints == 2)


@pytest.mark.display
def test_curves_show_what_the_run_reported(plot: CurvePlot) -> None:
    plot.add_events("a/first", [*steps(0, 3), epoch(1), epoch(2, dice=None)])
    plot.add_run("b/second")
    plot.repaint_curves()
    validation = plot.runs["a/first"]["validation"]
    assert validation.x.tolist() == [1, 2]
    assert validation.y.tolist() == [0.25, 0.25]
    dice = plot._curves["a/first", "score"].getOriginalDataset()[1]
    np.testing.assert_array_equal(dice, [0.5, np.nan])
    plot.score.setCurrentText("iou")
    plot.repaint_curves()
    assert plot._curves["a/first", "score"].getOriginalDataset()[1].tolist() == [0.4, 0.4]
    plot.remove_run("a/first")
    assert list(plot.runs) == ["b/second"]
    assert ("a/first", "training") not in plot._curves


@pytest.mark.display
def test_log_axis_and_exports(plot: CurvePlot, tmp_path: Path) -> None:
    plot.add_events("a/first", [*steps(0, 50), epoch(1), epoch(2, dice=0.75)])
    plot.logarithmic.setChecked(True)
    assert plot.losses.plotItem.ctrl.logYCheck.isChecked()
    plot.export_png(tmp_path / "loss.png")
    picture, _ = read_image(tmp_path / "loss.png")
    assert min(picture.shape[:2]) > 200
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    plot.export_csv(tmp_path / "loss.csv")
    lines = (tmp_path / "loss.csv").read_text().splitlines()
    assert lines[0] == "run,curve,epoch,value"
    assert "a/first,dice,2,0.75" in lines
    assert sum(",training," in line for line in lines) == 52


def test_a_run_takes_a_colour_that_is_free(qtbot: Any) -> None:
    plot = CurvePlot()
    qtbot.addWidget(plot)
    for run in ("a", "b"):
        plot.add_run(run)
    plot.remove_run("a")
    plot.add_run("c")
    assert plot._colors["b"] != plot._colors["c"]


@pytest.mark.display
def test_the_wheel_zooms_with_ctrl_only(plot: CurvePlot) -> None:
    plot.add_events("a/first", [*steps(0, 50), epoch(1)])
    plot.repaint_curves()
    before = plot.losses.viewRange()
    turn_wheel(plot.losses.viewport())
    assert plot.losses.viewRange() == before
    turn_wheel(plot.losses.viewport(), Qt.KeyboardModifier.ControlModifier)
    assert plot.losses.viewRange() != before


@pytest.mark.display
def test_the_epochs_of_both_plots_lie_one_above_the_other(plot: CurvePlot, qtbot: Any) -> None:
    plot.add_events("a/first", [*steps(0, 50), *(epoch(n) for n in range(1, 5))])
    plot.repaint_curves()
    qtbot.wait(50)
    upper, lower = (view.plotItem.vb for view in (plot.losses, plot.scores))
    assert upper.viewRange()[0] == lower.viewRange()[0]
    sides = [view.mapRectToScene(view.boundingRect()) for view in (upper, lower)]
    assert (sides[0].left(), sides[0].right()) == (sides[1].left(), sides[1].right())
    least, greatest = lower.viewRange()[0]
    assert least <= 0 <= 4 <= greatest < 5, "the axis fits what is there"
