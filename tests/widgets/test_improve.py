"""A round from a prediction to a better one, with a stand-in for the training."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pixelwise.config import TrainConfig
from pixelwise.datasets import load_dataset
from pixelwise.datasets.corrections import load_corrections
from pixelwise.images import write_tiff
from pixelwise.runs import RunFolder, create_run
from pixelwise.widgets import child_process
from pixelwise.widgets.layers import MODEL
from tests.widgets.conftest import LONG, draw_discs

pytestmark = [pytest.mark.display, pytest.mark.one_binding]
STAND_IN = str(Path(__file__).with_name("stand_in.py"))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `stand_in` be what the window starts in place of a training; predictions are real."""
    start = subprocess.Popen

    def start_it(command: list[str], **options: Any) -> Any:
        return start([command[0], STAND_IN] if "run" in command else command, **options)

    monkeypatch.setattr(child_process.subprocess, "Popen", start_it)


def create_run_with_model(folder: Path, model: Path, rate: float = 1e-3) -> Path:
    """A run in `folder` with its data; gives its model."""
    images, masks = draw_discs(2)
    for number in range(2):
        for part, pixels in (("images", images), ("masks", masks)):
            (folder / "data" / part).mkdir(parents=True, exist_ok=True)
            write_tiff(folder / "data" / part / f"{number}.tif", pixels[number], axes="YX")
    classes = {"0": "background", "1": "kind 1", "2": "kind 2"}
    config = TrainConfig.create(
        data={"path": folder / "data", "classes": classes},
        run=folder / "discs",
        training={"learning_rate": rate},
    )
    return Path(shutil.copy(model, create_run(config).model))


@pytest.fixture
def open_predicted(
    open_widget: Callable[..., Any], write_model: Callable[..., Path], tmp_path: Path
) -> Callable[..., Any]:
    """Open Predict with an image predicted by the model of a run."""

    def open_it(**options: float) -> Any:
        widget = open_widget("Predict")
        widget.viewer.add_image(draw_discs(1)[0][0], name="disc")
        widget.model.value = create_run_with_model(tmp_path, write_model(), **options)
        widget.settings.fill({"device": "cpu"})
        widget.choose("disc")
        widget.predict()
        widget.wait(LONG)
        return widget

    return open_it


def correct(widget: Any) -> None:
    widget.steps.correct_button.click()
    widget.viewer.layers["disc corrections"].data[:5] = 2


def test_a_round_predicts_again_in_place(
    open_predicted: Callable[..., Any], tmp_path: Path
) -> None:
    widget = open_predicted()
    (before,) = widget.results
    correct(widget)
    for number in (1, 2):
        before.data[:] = 7
        widget.steps.improve_button.click()
        widget.wait(LONG)
        run = RunFolder(tmp_path / "runs" / f"discs-improved-{number}")
        assert "The model is improved" in widget.message, widget.message
        assert widget.results == [before], "the same layer"
        assert before.data.max() < 7
        assert before.metadata[MODEL] == str(run.model) == str(widget.model.value)
        config = run.read_config()
        assert config.data.path == tmp_path / "data", "the older data stay"
        (sample,) = load_corrections(config.data, load_dataset(config.data))
        assert (sample.read_mask()[0, :5] == 1).all()
    assert [layer.name for layer in widget.viewer.layers].count("disc prediction") == 1
    assert widget.steps.isVisibleTo(widget)


def test_a_model_that_became_worse_is_not_taken(
    open_predicted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixelwise.improvement.RATE_SHARE", 1.0)
    widget = open_predicted(rate=10.0)
    correct(widget)
    before = widget.model.value
    widget.steps.improve_button.click()
    widget.wait(LONG)
    assert "it stays as it was" in widget.message
    assert widget.model.value == before
    assert widget.results[0].metadata[MODEL] == str(before)


def test_faults_are_told_and_leave_no_run(
    open_predicted: Callable[..., Any], tmp_path: Path
) -> None:
    widget = open_predicted()
    widget.settings.fill({"probabilities": True})
    widget.predict()
    widget.wait(LONG)
    assert not widget.steps.isVisibleTo(widget), "probabilities cannot be corrected"
    widget.settings.fill({"probabilities": False})
    widget.choose("disc")
    widget.predict()
    widget.wait(LONG)
    widget.steps.improve_button.click()
    assert "Nothing is corrected yet" in widget.message
    correct(widget)
    image = widget.viewer.layers["disc"]
    widget.viewer.layers.remove(image)
    widget.steps.improve_button.click()
    assert "The image disc of disc corrections is not open any more" in widget.message
    widget.viewer.add_layer(image)
    Path(widget.model.value).unlink()
    widget.steps.improve_button.click()
    assert "is gone: predict again with another one" in widget.message
    assert not widget.is_running
    assert not (tmp_path / "runs").exists()


def test_cancel_leaves_the_model(open_predicted: Callable[..., Any], tmp_path: Path) -> None:
    widget = open_predicted()
    correct(widget)
    widget.steps.improve_button.click()
    assert widget.is_running
    widget.cancel_button.click()
    widget.wait(LONG)
    assert widget.message == "Stopped. The model stays as it was."
    assert "improved" not in str(widget.model.value)
