from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from pixelwise.classes import create_classes
from pixelwise.errors import DataError
from pixelwise.images import write_tiff
from pixelwise.widgets.label_comparison import compare_labels
from pixelwise.widgets.layers import color_labels
from tests.widgets.conftest import LONG, draw_discs

pytestmark = pytest.mark.display
Open = Callable[..., Any]


def test_layers_are_compared(open_widget: Open) -> None:
    widget = open_widget("Evaluate")
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 3, (2, 40, 50)).astype(np.uint8), rng.integers(0, 3, (2, 40, 50))
    truth[0, :5] = 255
    classes = create_classes(["ground", "cell", "wall"])
    color_labels(widget.viewer.add_labels(truth, name="truth", scale=(3, 1, 1)), classes)
    widget.viewer.add_labels(found, name="found", scale=(3, 1, 1))
    widget.layers["truth"].value, widget.layers["prediction"].value = "truth", "found"
    widget.evaluate()
    widget.wait(LONG)
    counted = truth != 255
    expected = confusion_matrix(truth[counted], found[counted])
    np.testing.assert_array_equal(widget.scores.matrix, expected)
    dice = f1_score(truth[counted], found[counted], average=None)
    rows = [line.split(",") for line in widget.to_csv().splitlines()]
    assert [row[0] for row in rows[1:4]] == ["ground", "cell", "wall"]
    column = rows[0].index("dice")
    assert [float(row[column]) for row in rows[1:4]] == pytest.approx(dice.tolist(), abs=1e-4)
    assert widget.confusion.width() <= widget.width()
    assert "all pixels of both layers together, without 250 void" in (
        widget.headline.definition.text()
    )
    assert all(
        name in widget.legend.text() for name in ("missed", "false&nbsp;positive", "#d55e00")
    )
    errors = widget.viewer.layers["found errors"]
    np.testing.assert_allclose(errors.scale, (3, 1, 1))
    wrong = counted & (truth != found)
    np.testing.assert_array_equal(errors.data > 0, wrong)
    assert (errors.data[wrong & (found == 0)] == 1).all()
    assert (errors.data[wrong & (truth == 0)] == 2).all()
    widget.copy()
    from qtpy.QtGui import QGuiApplication

    assert QGuiApplication.clipboard().text().startswith("class\taccuracy")


@pytest.mark.one_binding
def test_a_model_is_scored_on_a_folder(
    open_widget: Open, write_model: Callable[..., Path], tmp_path: Path
) -> None:
    for part, arrays in zip(("images", "masks"), draw_discs(2), strict=True):
        (tmp_path / "data" / part).mkdir(parents=True)
        for number, array in enumerate(arrays):
            write_tiff(tmp_path / "data" / part / f"{number}.tif", array, axes="YX")
    widget = open_widget("Evaluate")
    widget.tabs.setCurrentIndex(1)
    widget.evaluate()
    assert "Choose a folder" in widget.message
    widget.data.fill({"path": str(tmp_path / "data")})
    widget.evaluate()
    assert "Choose a model" in widget.message
    widget.model.value = write_model(classes=2)
    widget.details.fill({"classes": {"0": "background", "1": "other"}})
    widget.evaluate()
    assert widget.is_running
    widget.evaluate()
    assert "is running" in widget.message
    widget.wait(LONG)
    assert "expected no class that the model lacks" in widget.message
    assert "“Classes”: 0=background,1=kind 1" in widget.message  # no option of the command line
    widget.details.fill({"classes": {"0": "background", "1": "kind 1"}})
    widget.evaluate()
    widget.wait(LONG)
    assert widget.message == ""
    assert widget.scores.pixels == 2 * 64 * 64
    assert widget.scores.names == ("background", "kind 1")
    assert "all annotated pixels of all 2 images together" in widget.headline.definition.text()


def test_bad_layers_end_with_a_message(open_widget: Open) -> None:
    widget = open_widget("Evaluate")
    widget.evaluate()
    assert "Choose two labels layers" in widget.message
    widget.viewer.add_labels(np.zeros((4, 5), int), name="a")
    widget.viewer.add_labels(np.zeros((4, 6), int), name="b")
    widget.layers["prediction"].value, widget.layers["truth"].value = "a", "b"
    widget.evaluate()
    assert "expected the same" in widget.message
    widget.viewer.layers["b"].data = np.arange(20).reshape(4, 5) * 50
    widget.evaluate()
    widget.wait(LONG)
    assert "numbered objects" in widget.message
    assert widget.button.isEnabled()


def test_instances_are_no_classes() -> None:
    with pytest.raises(DataError, match="go up to 300"):
        compare_labels(np.array([[300]]), np.array([[1]]))


def test_a_sparse_truth_counts_only_what_is_annotated() -> None:
    truth, found = np.array([[0, 1, 2, 2]]), np.array([[1, 0, 1, 0]])
    matrix, errors = compare_labels(found, truth, sparse=True)
    assert matrix.tolist() == [[1, 0], [1, 1]]
    assert errors.tolist() == [[0, 0, 0, 1]]


@pytest.mark.one_binding
def test_the_worst_image_is_shown_with_its_errors(
    open_widget: Open, write_model: Callable[..., Path], tmp_path: Path
) -> None:
    for part, arrays in zip(("images", "masks"), draw_discs(3), strict=True):
        (tmp_path / "data" / part).mkdir(parents=True)
        for number, array in enumerate(arrays):
            write_tiff(tmp_path / "data" / part / f"{number}.tif", array, axes="YX")
    widget = open_widget("Evaluate")
    widget.tabs.setCurrentIndex(1)
    widget.data.fill({"path": str(tmp_path / "data")})
    widget.details.fill({"classes": {"0": "background", "1": "kind 1"}})
    widget.settings.fill({"device": "cpu"})
    widget.model.value = write_model(classes=2)
    widget.evaluate()
    widget.wait(LONG)
    assert widget.message == ""
    table = widget.images.table
    scores = [float(table.item(row, 1).text()) for row in range(3)]
    assert scores == sorted(scores)
    name = table.item(0, 0).text()
    widget.images.show_errors()
    widget.wait(LONG)
    viewer = widget.viewer
    truth, found = viewer.layers[f"{name} mask"].data, viewer.layers[f"{name} prediction"].data
    np.testing.assert_array_equal(viewer.layers[f"{name} errors"].data > 0, truth != found)
    np.testing.assert_array_equal(truth, draw_discs(3)[1][int(name)])
    assert 2 * ((truth == 1) & (found == 1)).sum() / ((truth == 1).sum() + (found == 1).sum()) == (
        pytest.approx(scores[0], abs=1e-3)
    )
    table.cellClicked.emit(0, 0)
    assert widget.is_running, "a click shows an image"
    widget.wait(LONG)
    assert len(viewer.layers) == 4, "shown again, not twice"


@pytest.mark.one_binding
def test_a_killed_evaluation_says_so(
    open_widget: Open, write_model: Callable[..., Path], tmp_path: Path
) -> None:
    for part, arrays in zip(("images", "masks"), draw_discs(2), strict=True):
        (tmp_path / "data" / part).mkdir(parents=True)
        write_tiff(tmp_path / "data" / part / "a.tif", arrays[0], axes="YX")
    widget = open_widget("Evaluate")
    widget.tabs.setCurrentIndex(1)
    widget.data.fill({"path": str(tmp_path / "data")})
    widget.model.value = write_model(classes=2)
    widget.evaluate()
    widget._job.child.process.kill()
    widget.wait(LONG)
    assert "killed" in widget.message
    assert widget.button.isEnabled()


@pytest.mark.parametrize("full", ["found", "truth", "both"])
def test_masks_of_0_and_255_are_masks(full: str) -> None:
    truth, found = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 1, 1, 0]], np.uint8)
    factors = {"found": (255, 1), "truth": (1, 255), "both": (255, 255)}[full]
    matrix, errors = compare_labels(found * np.uint8(factors[0]), truth * np.uint8(factors[1]))
    assert matrix.tolist() == [[1, 1], [1, 1]]
    assert errors.tolist() == [[0, 2, 0, 1]]


def test_void_beside_classes_stays_void() -> None:
    matrix, errors = compare_labels(np.array([[1, 1, 0]]), np.array([[1, 255, 0]]))
    assert matrix.tolist() == [[1, 0], [0, 1]]
    assert errors.tolist() == [[0, 0, 0]]


def test_255_beside_nothing_is_void_where_classes_have_names() -> None:
    matrix, _ = compare_labels(np.array([[1, 0]]), np.array([[255, 0]]), named=True)
    assert matrix.tolist() == [[1, 0], [0, 0]]
