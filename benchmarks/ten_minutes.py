"""The ten minutes of docs/ten_minutes.md, step by step, in a real window by mouse events.

    xvfb-run -s "-screen 0 1366x768x24" python benchmarks/ten_minutes.py --runs /tmp/ten

Every step of the page is done as it says, from napari's menus on; only file dialogs are left out.
One line is printed for each step: clicks, strokes, seconds, and what came out.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QStyle, QStyleOptionViewItem
from window_session import (
    Session,
    click_and_wait,
    correct,
    dice,
    evaluate,
    find_button,
    paint,
    plan_strokes,
    save,
    settle,
    start_training,
)

SAMPLE = ("File", "Open Sample", "Pixelwise", "Nuclei with masks")


def main() -> None:
    """Do what the page says once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=Path, help="folder for screenshots")
    parser.add_argument("--fast", action="store_true", help="train a few steps only")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs")
    arguments = parser.parse_args()
    os.environ["NAPARI_CONFIG"] = str(arguments.runs / "napari.yaml")  # settings are changed
    os.environ["XDG_DATA_HOME"] = str(arguments.runs)  # no strokes of another session are offered
    session = Session(arguments.shots)
    viewer = session.viewer

    session.begin("1 open a sample")
    session.click_menu(*SAMPLE)
    session.wait(lambda: len(viewer.layers) == 8)
    first, truth, second, second_truth = viewer.layers[:4]
    click_eye(session, truth)
    session.end(", ".join(layer.name for layer in viewer.layers if layer.visible))

    session.begin("2 open the dock")
    session.click_menu("Plugins", "Pixelwise", "Segment (Pixelwise)")
    session.segment = find_segment(session)
    session.end(session.segment.tabs.tabText(session.segment.tabs.currentIndex()))

    session.begin("3 annotate")
    page = session.open_page("Annotate")
    session.click(page.sparse, QPoint(8, page.sparse.height() // 2))
    session.click(find_button(page, "New labels"))
    paint(session, page, plan_strokes(truth.data, 8, lengths=(24, 5), seed=1))
    strokes = page.layer
    session.end(f"{np.count_nonzero(strokes.data) / strokes.data.size:.2%} of {first.name}")

    session.begin("4 live")
    session.click(page.live.button)
    live = wait_for_layer(session, f"{first.name} live")
    session.wait(lambda: bool(np.asarray(live.data).any()))
    session.end(f"Dice {dice(truth.data, np.asarray(live.data) == 2):.3f}")
    session.click(page.live.button)

    session.begin("5 train")
    train = session.open_page("Train")
    for row in range(train.data.table.rowCount()):
        if train.data.table.item(row, 0).text() != first.name:
            click_tick(session, train.data.table, row)
    (pair,) = train.data.pairs
    if pair[1].name != strokes.name:
        raise SystemExit(f"5 train: {pair[1].name} is chosen and not what was drawn")
    train.place["folder"].value = arguments.runs  # a file dialog
    session.end(start_training(session, train, fast=arguments.fast))

    session.begin("6 predict")
    session.click(train.predict_button)
    predict = session.segment.page("Predict")
    for layer in (second, strokes, live):
        click_eye(session, layer)
    tick_only(session, predict.layers, second.name)
    click_and_wait(session, predict.predict_button, predict)
    (found,) = predict.results
    session.end(f"Dice {dice(second_truth.data, found.data == 1):.3f}")

    session.begin("7 correct and improve")
    correct(session, predict, found, second_truth.data)
    click_and_wait(session, predict.steps.improve_button, predict)
    session.end(f"Dice {dice(second_truth.data, found.data == 1):.3f}; {predict.message}")

    session.begin("8 evaluate")
    session.end(evaluate(session, predict, second_truth.name))

    session.begin("9 save")
    session.end(save(session, arguments.runs / "saved"))
    viewer.close()


def find_segment(session: Session) -> Any:
    """Find the dock that the menu has opened."""
    docks: Any = session.viewer.window.dock_widgets
    session.wait(lambda: any("Segment" in name for name in docks))
    return next(widget for name, widget in docks.items() if "Segment" in name)


def wait_for_layer(session: Session, name: str) -> Any:
    """Wait for a layer of a name."""
    session.wait(lambda: name in session.viewer.layers)
    return session.viewer.layers[name]


def click_eye(session: Session, layer: Any) -> None:
    """Click the eye of a layer in napari's list."""
    view = session.viewer.window._qt_viewer.layers
    row = len(session.viewer.layers) - 1 - session.viewer.layers.index(layer)
    index = view.model().index(row, 0)
    view.scrollTo(index)
    settle(0.1)
    before = layer.visible
    session.click(view.viewport(), find_check(view, index))
    if layer.visible == before:
        raise SystemExit(f"the eye of {layer.name} did not change it")


def find_check(view: Any, index: Any) -> QPoint:
    """Middle of the box, or the eye, of an item of a list or a table."""
    option = QStyleOptionViewItem()
    view.initViewItemOption(option)
    view.itemDelegate().initStyleOption(option, index)
    option.rect = view.visualRect(index)
    part = QStyle.SubElement.SE_ItemViewItemCheckIndicator
    return view.style().subElementRect(part, option, view).center()


def click_tick(session: Session, view: Any, row: int) -> None:
    """Click the box of a row."""
    index = view.model().index(row, 0)
    view.scrollTo(index)
    settle(0.1)
    session.click(view.viewport(), find_check(view, index))


def tick_only(session: Session, listed: Any, name: str) -> None:
    """Tick one item of a list, and no other."""
    for row in range(listed.count()):
        item = listed.item(row)
        if (item.checkState().name == "Checked") != (item.text() == name):
            click_tick(session, listed, row)


if __name__ == "__main__":
    main()
