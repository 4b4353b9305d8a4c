"""Models and runs of older versions: they load, predict the same and go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.checksums import Checksum, check_checksum
from pixelwise.events import RunEnded, RunStarted, Warned
from pixelwise.models.files import load_model
from pixelwise.prediction.predict import predict
from pixelwise.runs import RunFolder, iter_lines
from pixelwise.summaries import read_epochs, summarize_run
from pixelwise.training.fit import fit, resume
from tests.training.conftest import create_config

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs" / "format_1"


@pytest.fixture
def old(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    shutil.copytree(FIXTURES / "run", run.path)
    text = run.config.read_text().replace("DATA", str(FIXTURES / "data"))
    run.config.write_text(text.replace("RUN", str(run.path)))
    run.previews.mkdir()
    return run


def test_a_model_predicts_the_same_labels(old: RunFolder) -> None:
    assert check_checksum(old.model) is Checksum.MISSING
    labels = predict(load_model(old.model), FIXTURES / "data" / "images" / "0.png")
    wanted = np.asarray(Image.open(FIXTURES / "labels_0.png"))
    assert np.mean(labels == wanted) > 0.999  # another torch may add in another order


def test_a_run_is_summed_up_and_goes_on(old: RunFolder) -> None:
    assert all(event is not None for _, event in iter_lines(old))
    summary = summarize_run(old)
    assert (summary.state, summary.epoch, summary.epochs) == ("stopped", 3, 6)
    events = list(resume(old.path))
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunEnded)
    assert not [e for e in events if isinstance(e, Warned) and "config" in e.message]
    assert [event.epoch for event in read_epochs(old)] == [1, 2, 3, 4, 5, 6]
    last = read_epochs(old)[-1]
    assert last.validation_loss == pytest.approx(0.3573, rel=0.05)
    assert last.scores["dice"] == pytest.approx(0.94, abs=0.02)
    assert check_checksum(old.model) is Checksum.RIGHT


def test_a_training_starts_from_a_model(old: RunFolder, tmp_path: Path) -> None:
    config = create_config(FIXTURES / "data", tmp_path / "new", model={"start_from": old.model})
    list(fit(config))
    assert read_epochs(RunFolder(config.run))[0].scores["dice"] > 0.7  # type: ignore[operator]
