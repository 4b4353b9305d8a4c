"""Events of the warm child are credited to the layers that they are about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject

from pixelwise.atomic import create_array
from pixelwise.classes import VOID
from pixelwise.config import PredictConfig
from pixelwise.events import JobEnded, PredictionStarted, RowsPredicted
from pixelwise.widgets import layer_predictions as module
from pixelwise.widgets.layer_predictions import LayerPredictions
from pixelwise.widgets.prediction_task import Wanted
from tests.widgets.conftest import IdleServer

pytestmark = pytest.mark.usefixtures("qapp")
SHAPE = (4, 6)


class Server(IdleServer):
    """Stands for the warm child: it begins jobs when the test says so."""

    def begin(self, job: Any) -> None:
        create_array(job.output, dtype=np.uint8, shape=(1, *SHAPE))[:] = 1
        self.reported.emit(
            PredictionStarted(
                output=str(job.output), axes="YX", shape=SHAPE, device="cpu", device_reason="test"
            )
        )


def test_rows_are_of_the_image_that_is_computed_not_of_one_that_is_copied(
    write_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, owner, held = Server(), QObject(), []
    monkeypatch.setattr(module, "get_server", lambda: server)
    monkeypatch.setattr(
        module, "run_in_thread", lambda work, *_, then, **__: held.append((work, then))
    )

    def run_held() -> None:
        work, then = held.pop(0)
        then(work())

    viewer: Any = ViewerModel()
    images = [viewer.add_image(np.zeros(SHAPE, np.uint8), name=name) for name in ("a", "b")]
    predictions = LayerPredictions(viewer, owner)
    shares: list[float] = []
    predictions.progress.connect(shares.append)
    predictions.predict([Wanted(x, "YX") for x in images], write_model(), PredictConfig())
    for _ in images:
        run_held()
    first, second = server.jobs
    server.begin(first)
    server.reported.emit(RowsPredicted(plane=0, start=0, stop=4, done=1.0))
    server.reported.emit(JobEnded(number=first.number, status="done"))
    server.reported.emit(RowsPredicted(plane=0, start=0, stop=4, done=0.3))
    assert shares == [1.0], "rows of another window's prediction"
    server.begin(second)
    server.reported.emit(RowsPredicted(plane=0, start=0, stop=2, done=0.5))
    assert shares == [1.0, 0.5]
    server.reported.emit(JobEnded(number=second.number, status="cancelled"))
    while held:
        run_held()
    assert [layer.name for layer in predictions.results] == [
        "a prediction",
        "b prediction (partial)",
    ]
    assert set(predictions.results[0].data.ravel()) == {1}
    np.testing.assert_array_equal(predictions.results[1].data[:, 0], [1, 1, VOID, VOID])
    owner.deleteLater()
