from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from pixelwise.comparison.compare import conclude
from pixelwise.comparison.trials import plan_trials, train_trial
from pixelwise.comparison_summary import ComparisonSummary, Estimate, PairedDifference
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.images import read_image
from pixelwise.scores import SCORE_NAMES
from pixelwise.widgets.comparison_view import describe_differences
from tests.training.conftest import discs, write_discs
from tests.widgets.conftest import LONG

__all__ = ["discs"]
pytestmark = [pytest.mark.display, pytest.mark.one_binding]
Open = Callable[..., Any]
TINY = {"base_channels": 4, "depth": 2}


@pytest.fixture(scope="module")
def compared(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks on eight test images."""
    folder = tmp_path_factory.mktemp("compared")
    config = ComparisonConfig.create(
        data={"path": discs, "test": write_discs(folder / "apart", images=8)},
        out=folder / "out",
        patches={"size": 64},
        models=[{"name": name, "options": TINY} for name in ("unet", "r2unet")],
        training={
            "epochs": 2, "epoch_steps": 4, "batch_size": 2, "device": "cpu", "previews": 0,
        },
    ).make_absolute()  # fmt: skip
    trials = plan_trials(config)
    for trial in trials:
        list(train_trial(trial))
    conclude(trials, config.out)
    return config.out


def open_comparison(open_widget: Open, folder: Path) -> Any:
    widget = open_widget("Evaluate")
    widget.tabs.setCurrentIndex(2)
    widget.compared.value = folder
    QTest.mouseClick(widget.button, Qt.MouseButton.LeftButton)
    widget.wait(LONG)
    return widget


def read_rows(table: Any) -> list[list[str]]:
    columns = range(table.columnCount())
    return [[table.item(row, i).text() for i in columns] for row in range(table.rowCount())]


def test_the_table_the_curves_and_the_images(open_widget: Open, compared: Path) -> None:
    widget = open_comparison(open_widget, compared)
    view, summary = widget.comparison, ComparisonSummary.load(compared)
    assert widget.button.text() == "Open"
    assert view.isVisibleTo(widget)
    assert "2 models, scored on the test images" in view.headline.text()
    rows = read_rows(view.models)
    assert [row[0] for row in rows] == list(summary.models)
    best = next(iter(summary.models.values()))
    dice = best.foreground["dice"]
    assert rows[0][1:3] == [dice.short, dice.interval]
    assert [run.rsplit("/", 1)[1] for run in view.curves.runs] == list(summary.models)
    assert all(curves["validation"].count == 2 for curves in view.curves.runs.values())
    means = [float(row[1]) for row in read_rows(view.images)]
    assert len(means) == 8
    assert means == sorted(means)
    widget.tabs.setCurrentIndex(0)
    assert not view.isVisibleTo(widget)
    assert widget.button.text() == "Evaluate"
    widget.tabs.setCurrentIndex(2)
    assert view.isVisibleTo(widget)


def test_a_click_shows_what_each_model_predicts(open_widget: Open, compared: Path) -> None:
    widget = open_comparison(open_widget, compared)
    view, viewer = widget.comparison, widget.viewer
    name = view.images.item(0, 0).text()
    mine = viewer.add_labels(np.ones((64, 64), np.uint8), name=f"{name} mask")
    place = view.images.visualItemRect(view.images.item(0, 0)).center()
    for _ in range(2):  # the second time, the layers take the place of the first
        QTest.mouseClick(
            view.images.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place
        )
        widget.wait(LONG)
    models = list(view.summary.models)
    assert mine in viewer.layers, "a layer of the user's, with such a name, stays"
    assert [layer.name for layer in viewer.layers] == [
        f"{name} mask", name, f"{name} mask [1]", *(f"{name} {model}" for model in models),
    ]  # fmt: skip
    for model in models:
        file = compared / "labels" / model / f"{name}_labels.tif"
        labels = viewer.layers[f"{name} {model}"].data
        np.testing.assert_array_equal(np.squeeze(labels), np.squeeze(read_image(file)[0]))


def test_results_that_come_late_do_not_show_on_another_tab(
    open_widget: Open, compared: Path
) -> None:
    widget = open_widget("Evaluate")
    widget.tabs.setCurrentIndex(2)
    widget.compared.value = compared
    widget.evaluate()
    widget.tabs.setCurrentIndex(0)
    widget.wait(LONG)
    assert not widget.comparison.isVisibleTo(widget)
    widget.tabs.setCurrentIndex(2)
    assert widget.comparison.isVisibleTo(widget)


@pytest.mark.parametrize("part", ["models", "image_dice", "foreground"])
def test_results_that_make_no_sense_are_refused(
    part: str, open_widget: Open, compared: Path, tmp_path: Path
) -> None:
    found = json.loads((compared / "comparison.json").read_text())
    if part == "models":
        found["models"] = {}
    elif part == "image_dice":
        next(iter(found["models"].values()))[part] = [0.5]
    else:
        next(iter(found["models"].values()))[part] = {}
    (tmp_path / "comparison.json").write_text(json.dumps(found))
    widget = open_comparison(open_widget, tmp_path)
    assert "cannot be read; it may come from another version" in widget.message
    assert widget.comparison.summary is None


def test_what_is_no_comparison_is_said(
    open_widget: Open, compared: Path, discs: Path, tmp_path: Path
) -> None:
    widget = open_widget("Evaluate")
    widget.tabs.setCurrentIndex(2)
    widget.evaluate()
    assert "Choose the folder of a comparison" in widget.message
    widget = open_comparison(open_widget, discs)
    assert "comparison.json" in widget.message
    assert not widget.comparison.isVisibleTo(widget)
    shutil.copytree(compared, tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "labels")
    widget.compared.value = tmp_path / "moved"
    widget.evaluate()
    widget.wait(LONG)
    widget.comparison.show_image(0)
    widget.wait(LONG)
    assert "the labels of" in widget.message


def test_differences_in_words() -> None:
    value = {"value": 0.1, "low": 0.05, "high": 0.2}
    score = Estimate(**value)
    models = {
        name: {
            "foreground": dict.fromkeys(SCORE_NAMES, score),
            "class_dice": {},
            "image_dice": (),
        }
        for name in ("a", "b", "c")
    }
    pairs = [
        PairedDifference(models=(one, other), p=p, clear=p < 0.05, **value)
        for one, other, p in (("a", "b", 0.001), ("a", "c", 0.01), ("b", "c", 0.6))
    ]

    def create(sources: int, found: list[PairedDifference]) -> ComparisonSummary:
        return ComparisonSummary(
            scored_on="x", images=(), sources=sources, background=0, models=models,
            differences=tuple(found),
        )  # fmt: skip

    assert describe_differences(create(8, pairs)) == (
        "Larger than chance explains: a over b, a over c."
    )
    assert describe_differences(create(8, pairs[2:])).startswith("No difference")
    assert "5 source images are too few" in describe_differences(create(5, []))
