from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.classes import create_classes
from pixelwise.config import DataConfig
from pixelwise.datasets import load_dataset
from pixelwise.widgets.annotation_files import Annotation, AnnotationFile, create_key
from pixelwise.widgets.data_picker import write_layers
from pixelwise.widgets.layers import SPARSE, read_axes, read_classes
from tests.widgets.conftest import wait_until

pytestmark = pytest.mark.display
Open = Callable[..., Any]


def test_dense_labels_have_names_and_colours(open_widget: Open) -> None:
    widget = open_widget("Annotate")
    widget.viewer.add_image(
        np.zeros((5, 20, 30, 3), np.uint8), rgb=True, scale=(3, 1, 1), name="cells"
    )
    widget.set_classes(create_classes(["ground", "cell"], ["#000000", "#ff0000"]))
    widget.add_class()
    layer = widget.create()
    assert layer.data.shape == (5, 20, 30)
    np.testing.assert_allclose(layer.scale, (3, 1, 1))
    assert read_classes([layer]) == {"0": "ground", "1": "cell", "2": "class 2"}
    np.testing.assert_allclose(layer.get_color(1), (1, 0, 0, 1))
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    assert not layer.metadata[SPARSE]


def test_sparse_labels_train_as_sparse(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Annotate")
    image = widget.viewer.add_image(np.zeros((20, 30), np.uint8), name="cells")
    widget.sparse.setChecked(True)
    assert "Unpainted pixels are ignored" in widget.hint.text()
    layer = widget.create()
    assert read_classes([layer]) == {"1": "background", "2": "object"}
    assert layer.get_color(1)[3] == 1, "strokes of the background must be seen"
    layer.data[2:4], layer.data[8:9] = 1, 2
    config = write_layers([(image, layer)], ["YX"], DataConfig(path=tmp_path))
    assert config.sparse
    data = load_dataset(config)
    assert [item.name for item in data.classes] == ["background", "object"]
    mask = data.samples[0].read_mask()[0]
    assert (mask[2:4] == 0).all()
    assert (mask[8] == 1).all()
    assert (mask[10:] == 255).all()


def test_bad_input_ends_with_a_message(open_widget: Open) -> None:
    widget = open_widget("Annotate")
    assert widget.create() is None
    assert "Open an image" in widget.message
    widget.viewer.add_image(np.zeros((20, 30)), name="a")
    widget.remove_class()
    assert "two classes" in widget.message
    widget.table.item(1, 0).setText("background")
    assert widget.create() is None
    assert "must differ" in widget.message
    widget.table.item(1, 0).setText(" ")
    assert widget.create() is None
    assert "name" in widget.message
    assert [layer.name for layer in widget.viewer.layers] == ["a"]


def test_axes_that_were_misunderstood_are_named(open_widget: Any) -> None:
    widget = open_widget("Annotate")
    image = widget.viewer.add_image(np.zeros((5, 40, 50), np.uint8), name="spectral")
    widget.image.value = "spectral"
    assert "ZYX" in widget.understood.text()
    widget.axes.value = "CYX"
    assert "CYX" in widget.understood.text()
    assert widget.create().data.shape == (40, 50)
    assert read_axes(image).names == "CYX", "known to the other widgets"
    widget.axes.value = "YX"
    assert "name 2 dimensions" in widget.understood.text()
    assert widget.create() is None


@pytest.mark.parametrize(("answer", "layers"), [("restore", 2), ("discard", 1), ("later", 1)])
def test_strokes_of_a_crashed_window_are_offered_once(
    open_widget: Any, tmp_path: Path, answer: str, layers: int
) -> None:
    about = Annotation(image="cells", path="", name="strokes", axes="YX", sparse=True)
    left = AnnotationFile(tmp_path / "annotations", create_key("cells", "", (20, 30)))
    left.write(np.ones((20, 30), np.uint8), about)
    assert left._lock is not None
    left._lock.release()  # as the system does when a process ends
    widget = open_widget("Annotate")
    asked = []

    def ask(image: str, when: str) -> str:
        asked.append(image)
        return answer

    widget.ask_restore, widget.isVisible = ask, lambda: True
    widget.viewer.add_image(np.zeros((20, 30), np.uint8), name="cells")
    wait_until(lambda: bool(asked))
    widget._offer_left()
    assert asked == ["cells"]
    assert len(widget.viewer.layers) == layers
    wait_until(lambda: not widget.autosave.is_busy)
    assert left.path.exists() == (answer == "later")
