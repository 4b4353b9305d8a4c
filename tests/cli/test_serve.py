from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelwise.config import ModelConfig, PredictConfig
from pixelwise.events import (
    JobEnded,
    NetworkDescribed,
    PredictionStarted,
    RowsPredicted,
    parse_event,
)
from pixelwise.images import write_zarr
from pixelwise.jobs import DescribeJob, LiveJob, PredictLayerJob
from pixelwise.models.files import create_network, save_model
from pixelwise.pixel_classifier import classify_pixels
from pixelwise.prediction.predict import predict
from tests.conftest import LONG
from tests.prediction.conftest import create_card
from tests.test_input_check import create_model as create_fixed_model


class Server:
    """The command as another program sees it."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pixelwise", "serve", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: Any) -> list[Any]:
        """Send one request and read its answer to the end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(request.model_dump_json() + "\n")
        self.process.stdin.flush()
        events: list[Any] = []
        while not events or not isinstance(events[-1], JobEnded):
            events.append(parse_event(self.process.stdout.readline()))
        return events


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    one = Server()
    with one.process as process:
        yield one
        assert process.stdin is not None
        process.stdin.close()  # the end of its input is the end of it
        assert process.wait(LONG) == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = create_card(1, dtype="uint8")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, create_network(card).state_dict(), card)
    return path


def request(
    weights: Path, folder: Path, array: np.ndarray, letters: str, /, **fields: Any
) -> PredictLayerJob:
    np.save(folder / "image.npy", array)
    values = {
        "number": 7, "model": weights, "source": folder / "image.npy", "axes": letters,
        "output": folder / "out.npy", "cancel": folder / "cancel",
        "settings": PredictConfig.create(device="cpu"),
    }  # fmt: skip
    return PredictLayerJob.create(**values | fields)


def test_labels_fill_a_file_row_by_row(server: Server, model: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (2, 150, 90)).astype(np.uint8)
    first, *rows, last = server.ask(request(model, tmp_path, image, "ZYX"))
    assert isinstance(first, PredictionStarted)
    assert (first.axes, first.shape) == ("ZYX", image.shape)
    assert all(isinstance(row, RowsPredicted) for row in rows)
    for plane in range(2):
        spans = [(row.start, row.stop) for row in rows if row.plane == plane]
        assert spans[0][0] == 0
        assert spans[-1][1] == 150
        assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert rows[-1].done == 1
    assert last == JobEnded(number=7, status="done", time=last.time)
    expected = predict(model, image, axes="ZYX", device="cpu")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_a_zarr_is_predicted_from_its_folder(server: Server, model: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (2, 90, 70)).astype(np.uint8)
    write_zarr(tmp_path / "a.zarr", image, axes="ZYX")
    asked = request(model, tmp_path, image, "ZYX", source=tmp_path / "a.zarr", axes=None)
    assert server.ask(asked)[-1].status == "done"
    expected = predict(model, image, axes="ZYX", device="cpu")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_the_model_stays_loaded_until_its_file_changes(
    server: Server, model: Path, tmp_path: Path
) -> None:
    image = np.zeros((64, 64), np.uint8)
    own = tmp_path / "own.safetensors"
    own.write_bytes(model.read_bytes())
    server.ask(request(own, tmp_path, image, "YX"))
    before = np.load(tmp_path / "out.npy")
    card = create_card(1, dtype="uint8")
    network = create_network(card)
    last = list(network.parameters())[-1]
    last.data[:] = 0
    last.data[2] = 100  # class 2 everywhere
    time.sleep(0.02)
    save_model(own, network.state_dict(), card)
    server.ask(request(own, tmp_path, image, "YX"))
    assert (np.load(tmp_path / "out.npy") == 2).all()
    assert not (before == 2).all()


def test_a_request_is_cancelled_by_a_file(server: Server, model: Path, tmp_path: Path) -> None:
    (tmp_path / "cancel").touch()
    events = server.ask(request(model, tmp_path, np.zeros((50, 300, 300), np.uint8), "ZYX"))
    assert events[-1].status == "cancelled"
    assert len(events) < 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": "CYX"}, "3 channels"),
        ({"model": Path("/nowhere")}, "nowhere"),
        ({"source": Path("/nowhere.npy")}, "nowhere"),
        ({"output": Path("/nowhere/out.npy")}, "nowhere"),
    ],
    ids=["channels", "model", "source", "output"],
)
def test_what_cannot_work_is_answered(
    server: Server, model: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    events = server.ask(request(model, tmp_path, np.zeros((3, 40, 40), np.uint8), "ZYX", **change))
    assert events[-1].status == "failed"
    assert message in events[-1].message


def test_networks_are_described(server: Server) -> None:
    asked = DescribeJob.create(number=1, model=ModelConfig.create(name="segnet"), size=64)
    described, ended = server.ask(asked)
    assert isinstance(described, NetworkDescribed)
    assert described.summary["parameters"] == 29_443_203 - 65  # one class less than the table's
    assert ended.status == "done"
    json.dumps(described.summary)


def test_pixels_are_classified_by_strokes(server: Server, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image, strokes = rng.normal(size=(2, 40, 50)), np.zeros((40, 50), np.uint8)
    image[:, 20:] += 3
    image[0, 0, 0] = np.nan
    strokes[3:5, 5:40], strokes[30:32, 5:40] = 1, 3
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "strokes.npy", strokes)
    job = LiveJob(number=4, source=tmp_path / "image.npy", output=tmp_path / "labels.npy")
    (ended,) = server.ask(job)
    assert (ended.number, ended.status) == (4, "done")
    assert not job.output.exists(), "only the features were computed"
    job = job.model_copy(update={"strokes": tmp_path / "strokes.npy"})
    (ended,) = server.ask(job)
    assert ended.status == "done"
    assert "not finite" in ended.notes[0]
    labels = np.load(job.output)
    np.testing.assert_array_equal(labels, classify_pixels(image, strokes))
    assert set(np.unique(labels)) == {0, 2}
    np.save(tmp_path / "strokes.npy", strokes // 3)
    (ended,) = server.ask(job)
    assert (ended.status, ended.message) == ("failed", "Draw strokes of at least two classes.")


def test_an_idle_child_ends_by_itself() -> None:
    with Server("--idle-minutes", "0.001").process as process:
        assert process.wait(LONG) == 0


def test_an_image_that_is_stored_otherwise_is_refused_and_notes_are_given(
    server: Server, tmp_path: Path
) -> None:
    made, path = create_fixed_model(), tmp_path / "fixed.safetensors"
    save_model(path, made.network.state_dict(), made.card)
    deep = np.full((64, 64), 3000, np.uint16)
    assert "--white 4095" in server.ask(request(path, tmp_path, deep, "YX"))[-1].message
    scaled = PredictConfig.create(device="cpu", white=4095)
    asked = request(path, tmp_path, deep, "YX", settings=scaled)
    assert server.ask(asked)[-1].status == "done"
    Image.fromarray(np.full((64, 64, 2), 90, np.uint8), "LA").save(tmp_path / "a.png")
    asked = request(path, tmp_path, deep, "YX", source=tmp_path / "a.png", axes=None)
    first, *_, last = server.ask(asked)
    assert any("alpha" in note for note in first.notes)
    assert last.notes == first.notes
    dark = server.ask(request(path, tmp_path, np.ones((64, 64), np.uint8), "YX"))[-1]
    assert any("--white 1" in note for note in dark.notes)
