"""From strokes to an improved network, in a real window, by mouse events: clicks and seconds.

    xvfb-run -s "-screen 0 1366x768x24" python benchmarks/window_session.py --shots /tmp/session

The images are the shipped samples; the strokes are short and follow their masks, as a person would
draw them. What a person reaches by a click is reached by a click here: no method of a widget is
called but to read what it shows. Menus and file dialogs are left out.

One line is printed for each step: clicks, strokes, seconds, and what came out.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QPushButton,
    QTabWidget,
    QWidget,
)

from pixelwise import improvement
from pixelwise.samples import load_samples

LONGEST = 1200.0  # seconds that a step may take


class Session:
    """A window of 1366 x 768 pixels, and a person at its mouse."""

    def __init__(self, shots: Path | None) -> None:
        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self.window.resize(1366, 768)
        self.window.move(0, 0)
        self.shots, self.clicks, self.strokes = shots, 0, 0
        self._step, self._started = "", 0.0
        self.segment: Any = None
        settle(0.5)

    def open_dock(self) -> None:
        """Open the dock with its pages, without the menu."""
        _, self.segment = self.viewer.window.add_plugin_dock_widget("napari-pixelwise", "Segment")
        settle(0.5)

    def click_menu(self, *titles: str) -> None:
        """Click through the menus, from the bar of the window on."""
        menu: Any = self.window.menuBar()
        for title in titles:
            actions = {action.text().replace("&", ""): action for action in menu.actions()}
            if title not in actions:
                raise SystemExit(f"{self._step}: no {title!r} among {', '.join(actions)}")
            self.click(menu, menu.actionGeometry(actions[title]).center())
            menu = actions[title].menu()

    def begin(self, step: str) -> None:
        """Start to count and to time a step."""
        self._step, self._started, self.clicks, self.strokes = step, time.perf_counter(), 0, 0

    def end(self, result: str = "") -> None:
        """Print what the step took, and keep a screenshot."""
        seconds = time.perf_counter() - self._started
        print(
            f"{self._step:28} {self.clicks:3d} clicks {self.strokes:3d} strokes {seconds:7.1f} s"
            f"  {result}",
            flush=True,
        )
        if self.shots is not None:
            self.shots.mkdir(parents=True, exist_ok=True)
            settle(0.3)
            self.window.grab().save(str(self.shots / f"{self._step.replace(' ', '_')}.png"))

    def click(self, widget: QWidget, place: QPoint | None = None) -> None:
        """Click a widget that is in sight, in its middle or at a place."""
        if not widget.isVisible() or not widget.isEnabled():
            raise SystemExit(f"{self._step}: {name(widget)} cannot be clicked: {self.said()}")
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=place or widget.rect().center())
        self.clicks += 1
        settle(0.2)

    def open_page(self, title: str) -> Any:
        """Click the tab of a page."""
        self.click_tab(self.segment.tabs, title)
        return self.segment.page(title)

    def click_tab(self, tabs: QTabWidget, title: str) -> None:
        """Click a tab by its title."""
        number = [tabs.tabText(i) for i in range(tabs.count())].index(title)
        self.click(tabs.tabBar(), tabs.tabBar().tabRect(number).center())

    def choose(self, box: QComboBox, text: str) -> None:
        """Choose an item of a list by the keyboard."""
        self.click(box)
        QTest.keyClick(box.view(), Qt.Key.Key_Home)
        for _ in range(box.findText(text)):
            QTest.keyClick(box.view(), Qt.Key.Key_Down)
        QTest.keyClick(box.view(), Qt.Key.Key_Return)
        settle(0.2)

    def draw(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """Draw a stroke between two points (row, column) of the image."""
        canvas = self.viewer.window._qt_viewer.canvas.native
        points = np.linspace(self._find(canvas, start), self._find(canvas, stop), 8)
        left = Qt.MouseButton.LeftButton
        QTest.mousePress(canvas, left, pos=QPoint(*points[0].astype(int)))
        for point in points[1:]:
            QTest.mouseMove(canvas, QPoint(*point.astype(int)))
            settle(0.01)
        QTest.mouseRelease(canvas, left, pos=QPoint(*points[-1].astype(int)))
        self.strokes += 1
        settle(0.05)

    def _find(self, canvas: QWidget, point: tuple[float, float]) -> np.ndarray:
        """Find a point of the image on the canvas."""
        camera = self.viewer.scene.camera
        middle = np.array([canvas.width(), canvas.height()]) / 2
        away = (np.asarray(point) - np.asarray(camera.center[-2:]))[::-1] * camera.zoom
        return middle + away

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait as a person does: the window goes on."""
        end = time.perf_counter() + LONGEST
        while not condition():
            if time.perf_counter() > end:
                raise SystemExit(f"{self._step} took more than {LONGEST:.0f} s: {self.said()}")
            settle(0.05)

    def said(self) -> str:
        """Message of the page in front."""
        title = self.segment.tabs.tabText(self.segment.tabs.currentIndex())
        return str(getattr(self.segment.page(title), "message", ""))


def settle(seconds: float) -> None:
    """Let the window work for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def name(widget: QWidget) -> str:
    """Text of a button, or its kind."""
    return str(getattr(widget, "text", lambda: "")() or type(widget).__name__)


def plan_strokes(
    mask: np.ndarray, count: int, *, lengths: tuple[int, int], seed: int
) -> dict[int, list[tuple[Any, Any]]]:
    """Plan short strokes inside each class, (row, column) to (row, column)."""
    rng = np.random.default_rng(seed)
    planned: dict[int, list[tuple[Any, Any]]] = {0: [], 1: []}
    for value, length in enumerate(lengths):
        for _ in range(20_000):
            row = int(rng.integers(4, mask.shape[0] - 4))
            column = int(rng.integers(4, mask.shape[1] - length - 4))
            around = mask[row - 2 : row + 3, column - 2 : column + length + 3]
            if (around == value).all() and len(planned[value]) < count:
                planned[value].append(((row, column), (row, column + length)))
    return planned


def dice(truth: np.ndarray, found: np.ndarray) -> float:
    """Dice of two masks."""
    return float(2 * ((truth == 1) & found).sum() / max(1, (truth == 1).sum() + found.sum()))


def paint(session: Session, page: Any, planned: dict[int, list[tuple[Any, Any]]]) -> None:
    """Draw strokes, class by class; a click on a class chooses its brush."""
    for value, strokes in planned.items():
        rect = page.table.visualItemRect(page.table.item(value, 0))
        session.click(page.table.viewport(), rect.center())
        for start, stop in strokes:
            session.draw(start, stop)


def start_training(session: Session, train: Any, *, fast: bool) -> str:
    """Click *Start*, and wait for the end of the training; return what the page says then."""
    if fast:
        train.training["epochs"].value = 1
        train.more["epoch_steps"].value = "2"
        improvement.EPOCHS, improvement.EPOCH_STEPS = 1, 2
    session.click(train.start_button)
    session.wait(lambda: train.is_running)
    session.wait(lambda: not train.is_running)
    return str(train.status.text.text().splitlines()[0])


def click_and_wait(session: Session, button: QWidget, predict: Any) -> None:
    """Click a button of the page Predict, and wait until the page is done."""
    session.click(button)
    session.wait(lambda: predict.is_running)
    session.wait(lambda: not predict.is_running)


def correct(session: Session, predict: Any, found: Any, truth: np.ndarray) -> int:
    """Click *Correct*, and paint where the prediction is wrong; return how many strokes."""
    session.click(predict.steps.correct_button)
    annotate = session.open_page("Annotate")
    planned = plan_strokes(
        np.where(np.asarray(found.data) != truth, truth, 9), 6, lengths=(2, 1), seed=2
    )
    if not any(planned.values()):  # nowhere wrong in one piece, as after a few steps
        planned = plan_strokes(truth, 6, lengths=(2, 1), seed=2)
    paint(session, annotate, planned)
    session.open_page("Predict")
    return sum(map(len, planned.values()))


def evaluate(session: Session, predict: Any, truth: str) -> str:
    """Score the prediction against a layer; return the headline."""
    session.click(predict.steps.evaluate_button)
    page = session.segment.page("Evaluate")
    session.choose(page.layers.truth.native, truth)
    session.click(page.button)
    session.wait(lambda: page.scores is not None and not page.is_running)
    return str(page.headline.score.text())


def save(session: Session, folder: Path) -> str:
    """Save the prediction into a new folder; return the names of the files."""
    predict = session.open_page("Predict")
    folder.mkdir()
    QFileDialog.getExistingDirectory = lambda *_: str(folder)  # a file dialog
    session.click(find_button(predict, "Save…"))
    session.wait(lambda: any(folder.glob("*.tif")))
    return ", ".join(path.name for path in folder.glob("*.tif"))


def main() -> None:
    """Do the whole work once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=Path, help="folder for screenshots")
    parser.add_argument("--fast", action="store_true", help="train a few steps only")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    arguments = parser.parse_args()
    os.environ["NAPARI_CONFIG"] = str(arguments.runs / "napari.yaml")  # settings are changed
    os.environ["XDG_DATA_HOME"] = str(arguments.runs)  # no strokes of another session are offered
    samples = load_samples()
    drawn, other, *_ = (
        sample
        for sample in samples
        if np.median(sample.image) < 60 and sample.mask.mean() > 0.1  # fluorescence, many nuclei
    )
    session = Session(arguments.shots)
    session.open_dock()
    viewer = session.viewer
    viewer.add_image(drawn.image, name="first")
    settle(0.5)

    session.begin("1 strokes")
    page = session.segment.page("Annotate")
    session.click(page.sparse, QPoint(8, page.sparse.height() // 2))
    session.click(find_button(page, "New labels"))
    paint(session, page, plan_strokes(drawn.mask, 8, lengths=(24, 5), seed=1))
    strokes = page.layer
    session.end(f"{np.count_nonzero(strokes.data) / strokes.data.size:.2%} of the pixels")

    session.begin("2 live")
    before = set(map(id, viewer.layers))
    session.click(page.live.button)
    session.wait(lambda: any(id(layer) not in before for layer in viewer.layers))
    live = next(layer for layer in viewer.layers if id(layer) not in before)
    session.wait(lambda: bool(np.asarray(live.data).any()))
    session.end(f"Dice {dice(drawn.mask, np.asarray(live.data) == 2):.3f}")
    session.click(page.live.button)

    session.begin("3 train")
    train = session.open_page("Train")
    train.place["folder"].value = arguments.runs  # a file dialog
    session.end(start_training(session, train, fast=arguments.fast))

    session.begin("4 predict another")
    viewer.add_image(other.image, name="second")
    session.click(train.predict_button)
    predict = session.segment.page("Predict")
    settle(0.5)
    predict.choose("second")
    click_and_wait(session, predict.predict_button, predict)
    (found,) = predict.results
    session.end(f"Dice {dice(other.mask, found.data == 1):.3f}")

    session.begin("5 correct")
    count = correct(session, predict, found, other.mask)
    session.end(f"{count} strokes where it is wrong")

    session.begin("6 improve")
    click_and_wait(session, predict.steps.improve_button, predict)
    session.end(f"Dice {dice(other.mask, found.data == 1):.3f}; {predict.message}")

    session.begin("7 evaluate")
    truth = viewer.add_labels(other.mask, name="second truth")
    truth.visible = False
    session.end(evaluate(session, predict, truth.name))

    session.begin("8 save")
    session.end(save(session, arguments.runs / "saved"))
    viewer.close()


def find_button(page: QWidget, text: str) -> QWidget:
    """Find a button by its text."""
    return next(button for button in page.findChildren(QPushButton) if button.text() == text)


if __name__ == "__main__":
    main()
