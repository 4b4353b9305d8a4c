"""How soon *Live* labels strokes, and how smooth the window stays: alone, and beside a training.

    xvfb-run -s "-screen 0 1366x768x24" python benchmarks/live_latency.py

In a window of 1366 x 768 pixels with an image of 1024 x 1024, strokes are drawn by mouse events,
one after another: without *Live*, with it, and with it while the page Train trains on the shipped
samples. Measured are the seconds from the end of each stroke until its labels are shown, and the
time between two ticks of a timer of 10 ms. The first strokes, whose features are computed, are not
counted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtWidgets import QPushButton
from window_session import Session, plan_strokes, settle

from pixelwise.samples import load_samples, samples_path
from pixelwise.widgets.jobs import wait_until

SIDE = 1024
Planned = dict[int, list[tuple[Any, Any]]]
LONGEST = 60.0  # seconds until a stroke is labelled


def main() -> None:
    """Measure both ways in one window."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strokes", type=int, default=20, help="counted in each way")
    count = parser.parse_args().strokes
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = f"{folder}/napari.yaml"
        os.environ["XDG_DATA_HOME"] = folder
        session = Session(None)
        session.open_dock()
        page, mask = prepare(session)
        planned = plan_strokes(mask, 2 * count, lengths=(24, 5), seed=1)
        print(f"{'':18}{'strokes':>8}{'median':>9}{'95 %':>9}   gaps: 99 %, longest, share < 33 ms")
        measure("without Live", session, page, shown=None, planned=planned, count=count)
        session.click(page.live.button)
        for value in (0, 1):
            draw(session, page, planned[value].pop(), value=value)
        shown = Shown(session)
        wait_until(lambda: not page.live.is_running, LONGEST)
        given = {"shown": shown, "planned": planned, "count": count}
        measure("alone", session, page, **given)
        train = start_training(session, Path(folder))
        session.open_page("Annotate")
        measure("beside a training", session, page, **given)
        if not train.is_running:
            raise SystemExit("the training ended before the measurement")
        train.stop()
        train.wait(60)
        session.viewer.close()


def prepare(session: Session) -> tuple[Any, np.ndarray]:
    """Show an image, and make sparse labels for it."""
    sample = next(sample for sample in load_samples() if sample.mask.mean() > 0)
    image, mask = (
        np.tile(array, [-(-SIDE // n) for n in array.shape[:2]] + [1] * (array.ndim - 2))
        for array in (sample.image, sample.mask)
    )
    session.viewer.add_image(image[:SIDE, :SIDE], name="image")
    page = session.open_page("Annotate")
    session.click(page.sparse, QPoint(8, page.sparse.height() // 2))
    button = next(b for b in page.findChildren(QPushButton) if b.text() == "New labels")
    session.click(button)
    return page, mask[:SIDE, :SIDE]


def start_training(session: Session, folder: Path) -> Any:
    """Start a long training on the page Train."""
    train = session.open_page("Train")
    train.data.choose_folder(samples_path(), classes={"0": "background", "255": "nucleus"})
    train.place["folder"].value = folder  # a file dialog
    train.training.fill({"epochs": 1000})
    session.click(train.start_button)
    wait_until(lambda: bool(train.status.understood.text()), 120)
    return train


class Shown:
    """Counts how often labels of *Live* have been shown."""

    def __init__(self, session: Session) -> None:
        self.times = 0
        wait_until(lambda: "image live" in session.viewer.layers, LONGEST)
        session.viewer.layers["image live"].events.set_data.connect(self._count)

    def _count(self, *_: object) -> None:
        self.times += 1


def draw(session: Session, page: Any, stroke: tuple[Any, Any], *, value: int) -> float:
    """Draw a stroke of a class; return the moment of its end."""
    place = page.table.visualItemRect(page.table.item(value, 0)).center()
    session.click(page.table.viewport(), place)
    session.draw(*stroke)
    return time.perf_counter() - 0.05  # for so long the window works after a stroke


def measure(
    way: str, session: Session, page: Any, *, shown: Shown | None, planned: Planned, count: int
) -> None:
    """Draw strokes while a timer ticks, and print one line."""
    ticks: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(10)
    seconds = []
    for number in range(count):
        before, value = 0 if shown is None else shown.times, number % 2
        ended = draw(session, page, planned[value].pop(), value=value)
        if shown is not None:
            wait_until(lambda before=before: shown.times > before, LONGEST)
            seconds.append(time.perf_counter() - ended)
            wait_until(lambda: not page.live.is_running, LONGEST)
    timer.stop()
    gaps = np.diff(ticks) * 1000
    shares = [f"{x:.2f} s" for x in np.percentile(seconds, [50, 95])] if seconds else ["-", "-"]
    print(
        f"{way:18}{count:8d}{shares[0]:>9}{shares[1]:>9}"
        f"   {np.percentile(gaps, 99):.0f} ms, {gaps.max():.0f} ms, {np.mean(gaps < 33):.2%}",
        flush=True,
    )
    settle(0.5)


if __name__ == "__main__":
    main()
