from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtTest import QTest

from tests.widgets.conftest import LONG, add_pairs

pytestmark = pytest.mark.display
Open = Callable[..., Any]


def test_the_pages_are_in_the_order_of_the_work(open_widget: Open) -> None:
    widget = open_widget("Segment")
    tabs = widget.tabs
    assert [tabs.tabText(i) for i in range(4)] == ["Annotate", "Train", "Predict", "Evaluate"]
    assert list(widget._pages) == ["Annotate"]  # the others take time only when they are shown
    tabs.setCurrentIndex(1)
    assert widget.page("Train") is widget.page("Train")


def test_from_a_prediction_to_corrections_that_train(
    open_widget: Open, write_model: Callable[..., Path]
) -> None:
    segment = open_widget("Segment")
    viewer = segment._viewer
    add_pairs(viewer, 2)
    for layer in viewer.layers:
        layer.visible = layer.name.startswith("disc 1")
    predict = segment.open_page("Predict")
    predict.model.value = write_model()
    predict.choose("disc 0")
    predict.predict()
    predict.wait(LONG)
    (result,) = predict.results
    seen = [layer.name for layer in viewer.layers if layer.visible]
    assert seen == ["disc 0", result.name]  # it was hidden, and another image shown
    data = segment.page("Train").data
    box = data.table.cellWidget(0, 1)
    offered = [box.itemText(i) for i in range(box.count())]
    assert offered[1:] == ["disc 0 mask", "disc 1 mask"]
    assert result.name not in offered  # nobody has said that it is right
    predict.steps.correct()
    corrections = viewer.layers["disc 0 corrections"]
    assert viewer.layers.selection.active == corrections
    assert corrections.mode == "paint"
    assert list(corrections.features["class"]) == ["background", "kind 1", "kind 2"]
    assert list(corrections.features["index"]) == [1, 2, 3]
    assert corrections.data.max() == 0
    data.choose_pairs({"disc 0": "disc 0 corrections"})
    assert [labels.name for _, labels in data.pairs] == ["disc 0 corrections"]
    predict.steps.accept()
    assert result.name == "disc 0 labels"
    data.choose_pairs({"disc 0": "disc 0 labels"})
    assert [labels.name for _, labels in data.pairs] == ["disc 0 labels"]
    assert predict.steps.predictions == []


def test_evaluate_opens_with_the_prediction(
    open_widget: Open, write_model: Callable[..., Path]
) -> None:
    segment = open_widget("Segment")
    add_pairs(segment._viewer, 1)
    predict = segment.open_page("Predict")
    predict.model.value = write_model()
    predict.predict()
    predict.wait(LONG)
    predict.steps.evaluate()
    assert segment.tabs.tabText(segment.tabs.currentIndex()) == "Evaluate"
    assert segment.page("Evaluate").layers.prediction.value == predict.results[0].name


@pytest.mark.parametrize("name", ["Annotate", "Train", "Predict", "Evaluate"])
def test_no_page_is_wider_than_the_dock(name: str, open_widget: Open) -> None:
    page = open_widget("Segment").open_page(name)
    column = page.column.parentWidget()
    assert column.minimumSizeHint().width() <= page.minimumWidth(), "its fields would be cut"


@pytest.mark.parametrize("name", ["Annotate", "Train", "Predict", "Evaluate"])
def test_a_long_message_hides_no_button(name: str, open_widget: Open) -> None:
    segment = open_widget("Segment")
    segment.resize(340, 600)
    page = segment.open_page(name)
    QTest.qWait(100)
    before = page.minimumSizeHint().height()
    page.complain("\n".join(f"line {number} of what is wrong" for number in range(20)))
    QTest.qWait(100)
    assert page.message.endswith("line 19 of what is wrong")
    assert page.minimumSizeHint().height() - before < 200
    assert page._note.height() > 60


@pytest.mark.parametrize("times", [1, 2])
def test_a_dock_that_was_closed_comes_back_as_it_was(times: int, make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((40, 50)), name="one")

    def open_segment() -> tuple[Any, Any]:
        return viewer.window.add_plugin_dock_widget("napari-pixelwise", "Segment")

    dock, segment = open_segment()
    segment.page("Annotate").live.button.setChecked(True)
    train = segment.open_page("Train")
    train.training["epochs"].value = 77
    train.plot.add_run("somewhere/a run")
    for _ in range(times):
        dock.destroyOnClose()  # the cross in its title
        del segment
        gc.collect()
        QTest.qWait(100)
        dock, segment = open_segment()
    assert segment.tabs.tabText(segment.tabs.currentIndex()) == "Train"
    assert segment.page("Train") is train
    assert train.training["epochs"].value == 77
    assert list(train.plot.runs) == ["somewhere/a run"]
    assert not segment.page("Annotate").live.is_on, "nothing goes on out of sight"
    assert segment.open_page("Predict").open_page == segment.open_page
