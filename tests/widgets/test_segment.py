from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
