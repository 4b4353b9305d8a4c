from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QObject

from pixelwise.config import PredictConfig
from pixelwise.errors import DataError
from pixelwise.events import JobEnded
from pixelwise.widgets import doubt as module
from pixelwise.widgets.doubt import DoubtQueue, measure_doubt
from tests.widgets.conftest import IdleServer


class Server(IdleServer):
    """Stands for the warm child: it ends jobs when the test says so."""

    def end(self, message: str = "") -> None:
        """End the last job, whose images are all equally unsure."""
        job = self.jobs[-1]
        np.save(job.output, np.full((1, 2, 4, 4), 0.5))
        status: Any = "failed" if message else "done"
        self.reported.emit(JobEnded(number=job.number, status=status, message=message))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, qapp: Any) -> Server:
    one = Server()
    monkeypatch.setattr(module, "get_server", lambda: one)
    monkeypatch.setattr(module, "run_in_thread", lambda work, *_, then, **__: then(work()))
    return one


def test_a_value_is_told_with_the_model_that_gave_it(server: Server) -> None:
    owner, told = QObject(), []
    queue = DoubtQueue(owner)
    queue.measured.connect(lambda *what: told.append(what))
    a, old, new = Path("a.tif"), Path("old"), Path("new")
    queue.start([a], old, PredictConfig())
    queue.start([a], new, PredictConfig())
    server.end()
    server.end()
    assert told == [(a, 0.5, old), (a, 0.5, new)]
    assert not queue.is_running


def test_an_image_that_cannot_be_read_is_left_out_and_told_at_the_end(server: Server) -> None:
    owner, told, ended = QObject(), [], []
    queue = DoubtQueue(owner)
    queue.measured.connect(lambda image, *_: told.append(image.name))
    queue.ended.connect(ended.append)
    queue.start([Path(name) for name in "abc"], Path("m"), PredictConfig())
    server.end("damaged")
    server.end()
    assert not ended
    server.end("damaged, too")
    assert told == ["b"]
    assert ended == ["a: damaged (the first of 2 images that could not be measured)"]
    queue.start([Path("b")], Path("m"), PredictConfig())
    server.end()
    assert ended[1:] == [""]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_value_is_one_minus_the_largest_probability(tmp_path: Path, dtype: type) -> None:
    sure, unsure = np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.5)
    sure[1] = 1
    scale = 255 if dtype is np.uint8 else 1
    np.save(tmp_path / "p.npy", (np.stack([sure, unsure]) * scale).astype(dtype))
    assert measure_doubt(tmp_path / "p.npy") == pytest.approx(0.25, abs=0.002)


def test_labels_are_no_probabilities(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros((1, 4, 4)))
    with pytest.raises(DataError, match="expected"):
        measure_doubt(tmp_path / "p.npy")
