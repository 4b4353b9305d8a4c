from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject

from pixelwise.classes import create_classes
from pixelwise.errors import DataError, WriteError
from pixelwise.widgets import autosave as module
from pixelwise.widgets.annotation_files import AnnotationFile, read_file
from pixelwise.widgets.autosave import Autosave
from pixelwise.widgets.corrections import accept_prediction
from pixelwise.widgets.layers import (
    MODEL,
    PREDICTED,
    SOURCE,
    SPARSE,
    color_labels,
    read_classes,
)
from pixelwise.widgets.readers import write_labels
from tests.widgets.conftest import wait_until

pytestmark = [pytest.mark.display, pytest.mark.one_binding]
SHAPE = (20, 30)


class Panel(QObject):
    """As much of a panel as is needed."""

    def __init__(self) -> None:
        super().__init__()
        self.viewer = ViewerModel()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    complain = say


class Window:
    """A window with an image and labels, and what keeps them."""

    def __init__(self, folder: Path) -> None:
        self.panel, self.folder = Panel(), folder
        self.layers = self.panel.viewer.layers
        self.image = self.panel.viewer.add_image(np.zeros(SHAPE), name="cells", scale=(2, 2))
        self.autosave = Autosave(self.panel, folder)  # type: ignore[arg-type]

    def annotate(self, **metadata: Any) -> Any:
        layer = self.panel.viewer.add_labels(np.zeros(SHAPE, np.uint8), name="cells labels")
        color_labels(layer, create_classes(["ground", "cell"], ["#00ff00", "#ff0000"]), first=1)
        layer.metadata = {SPARSE: True, SOURCE: "cells", MODEL: "m", **metadata}
        return layer

    def wait(self) -> None:
        wait_until(lambda: not self.autosave.is_busy)

    def list_files(self) -> list[Path]:
        return sorted(self.folder.glob("*.npz"))


@pytest.fixture
def window(qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Window:
    monkeypatch.setattr(module, "_PAUSE_MS", 10)
    monkeypatch.setattr(module, "_AGAIN_MS", 100)
    return Window(tmp_path / "kept")


def test_a_stroke_is_kept_and_comes_back_as_it_was(window: Window) -> None:
    layer = window.annotate()
    layer.paint((5, 6), 2)
    window.wait()
    (path,) = window.list_files()
    assert window.autosave.find_left(window.image) == [], "this window is open"
    found = read_file(path)
    assert found is not None
    np.testing.assert_array_equal(found[0], layer.data)
    crashed = path.with_name(path.name.replace(path.stem[-8:], "0" * 8))
    crashed.write_bytes(path.read_bytes())
    other = Window(window.folder)
    assert other.autosave.find_left(other.image) == [crashed]
    (restored,) = other.autosave.restore(other.image, [crashed])
    np.testing.assert_array_equal(restored.data, layer.data)
    assert read_classes([restored]) == {"1": "ground", "2": "cell"}
    assert (restored.metadata[SPARSE], restored.metadata[MODEL]) == (True, "m")
    np.testing.assert_array_equal(restored.scale, (2, 2))
    other.wait()
    assert not crashed.exists(), "it is kept under the new window's name"
    assert path in window.list_files()
    assert len(window.list_files()) == 2
    layer.paint((9, 9), 1)
    window.wait()
    assert len(window.list_files()) == 2


def test_what_is_saved_closed_or_no_annotation_is_not_kept(window: Window, tmp_path: Path) -> None:
    window.annotate(**{PREDICTED: True}).paint((5, 6), 2)
    assert not window.autosave.is_busy
    saved, closed = window.annotate(), window.annotate()
    for layer in (saved, closed):
        layer.paint((5, 6), 2)
    window.wait()
    assert len(window.list_files()) == 2
    window.layers.remove(closed)
    assert len(window.list_files()) == 1
    data, attributes, _ = saved.as_layer_data_tuple()
    write_labels(str(tmp_path / "labels.tif"), data, attributes)
    assert window.list_files() == []
    saved.paint((9, 9), 2)
    window.wait()
    assert len(window.list_files()) == 1
    saved.undo()
    saved.undo()
    window.wait()
    assert window.list_files() == [], "nothing is drawn any more"


def test_strokes_on_an_accepted_prediction_are_kept(window: Window) -> None:
    layer = window.panel.viewer.add_labels(np.zeros(SHAPE, np.uint8), name="cells prediction")
    layer.metadata = {PREDICTED: True, SOURCE: "cells", MODEL: "m"}
    accept_prediction(layer)
    layer.paint((5, 6), 1)
    window.wait()
    (path,) = window.list_files()
    (restored,) = window.autosave.restore(window.image, [path])
    assert restored.metadata[SPARSE] is False
    assert restored.metadata[MODEL] == "m"
    window.wait()


def test_a_full_disk_is_told_once_and_tried_again(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fail(*_: object) -> None:
        nonlocal calls
        calls += 1
        raise WriteError("No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(AnnotationFile, "write", fail)
        layer = window.annotate()
        layer.paint((5, 6), 2)
        wait_until(lambda: calls > 2)
        (told,) = window.panel.said
        assert "The strokes stay in the window" in told
        assert "No space left" in told
    window.wait()
    wait_until(lambda: bool(window.list_files()))
    assert window.panel.said[-1] == "The strokes are saved again."
    assert layer.data.any()


def test_a_damaged_file_is_left_as_it_is(window: Window) -> None:
    window.folder.mkdir()
    (window.folder / "a.npz").write_text("damaged")
    with pytest.raises(DataError, match="cannot be read; it was left"):
        window.autosave.restore(window.image, [window.folder / "a.npz"])
    assert [layer.name for layer in window.layers] == ["cells"]


def test_a_layer_that_is_gone_is_heard_no_more(window: Window) -> None:
    """Else the labels of every image of a folder would stay in memory."""
    layer = window.annotate()
    assert "_hear_stroke" in str(layer.events.paint.callbacks)
    window.layers.remove(layer)
    assert "_hear_stroke" not in str(layer.events.paint.callbacks)
