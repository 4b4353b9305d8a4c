"""Previews as pictures: read from the folder of a run, by epoch, one image or all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from pixelwise.images import write_picture
from pixelwise.runs import RunFolder
from pixelwise.widgets.preview_layers import NAMES
from pixelwise.widgets.preview_pictures import PARTS, PreviewPictures
from tests.widgets.conftest import wait_until
from tests.widgets.test_preview_layers import write_previews

pytestmark = pytest.mark.display
SIZE = (20, 30)  # of the images that `write_previews` writes


def write_epochs(folder: Path, epochs: int, *, count: int = 2, parts: int = 4) -> RunFolder:
    """Write a run's previews; part p of row r of epoch e is grey 40 e + 10 r + p."""
    run = write_previews(folder, ["ground", "disc"], count=count)
    for epoch in range(1, epochs + 1):
        greys = 40 * epoch + 10 * np.arange(count)[:, None] + np.arange(parts)
        pixels = np.kron(greys, np.ones(SIZE)).astype(np.uint8)
        write_picture(run.previews / f"epoch-{epoch:04d}.png", pixels)
    return run


@pytest.fixture
def pictures(make_napari_viewer: Any, qtbot: Any) -> PreviewPictures:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((40, 50)))
    widget = PreviewPictures(viewer)
    qtbot.addWidget(widget)
    widget.resize(400, 500)
    widget.viewer = viewer
    return widget


def read_grey(widget: PreviewPictures, place: Any) -> int:
    """Grey in the middle of a place on screen."""
    image = widget.view.grab().toImage()
    ratio = image.width() / widget.view.width()
    return image.pixelColor((place.center() * ratio).toPoint()).red()


def show(widget: PreviewPictures, act: Callable[..., None], *values: Any) -> None:
    act(*values)
    wait_until(lambda: widget.is_done)
    widget.grab()  # lays it out


def test_the_slider_goes_through_the_epochs(pictures: PreviewPictures, tmp_path: Path) -> None:
    run = write_epochs(tmp_path, 3)
    show(pictures, pictures.begin, run)
    assert pictures.caption.text() == "epoch 3"
    assert (pictures.view.picture.rows, pictures.view.picture.parts) == (2, len(PARTS))
    greys = [read_grey(pictures, place) for place, _, _ in pictures.view.list_places()]
    assert greys == [120, 121, 122, 123, 130, 131, 132, 133]
    show(pictures, pictures.slider.setValue, 0)
    assert pictures.caption.text() == "epoch 1"
    write_epochs(tmp_path, 4)
    show(pictures, pictures.refresh)
    assert (pictures.slider.maximum(), pictures.caption.text()) == (3, "epoch 1"), "as left"
    show(pictures, pictures.slider.setValue, 3)
    write_epochs(tmp_path, 5)
    show(pictures, pictures.refresh)
    assert pictures.caption.text() == "epoch 5", "the newest is followed"


def test_a_click_enlarges_an_image(pictures: PreviewPictures, tmp_path: Path) -> None:
    show(pictures, pictures.begin, write_epochs(tmp_path, 1))
    view = pictures.view
    small = view.list_places()[4][0]
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=small.center().toPoint())
    places = view.list_places()
    assert [(row, part) for _, row, part in places] == [(1, part) for part in range(4)]
    assert [read_grey(pictures, place) for place, _, _ in places] == [50, 51, 52, 53]
    assert places[0][0].width() > 1.5 * small.width()
    for place, _, _ in places:
        assert view.rect().contains(place.toAlignedRect())
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=small.center().toPoint())
    assert len(view.list_places()) == 8


def test_runs_without_previews_and_of_older_versions(
    pictures: PreviewPictures, tmp_path: Path
) -> None:
    show(pictures, pictures.begin, RunFolder(tmp_path / "none"))
    assert "no previews yet" in pictures.caption.text()
    assert not pictures.view.list_places()
    show(pictures, pictures.begin, write_epochs(tmp_path / "old", 1, parts=3))
    assert pictures.view.picture.parts == 3
    (tmp_path / "old" / "previews" / "epoch-0001.png").write_bytes(b"no picture")
    show(pictures, pictures.begin, RunFolder(tmp_path / "old"))
    assert pictures.view.picture is None


def test_layers_come_and_go_with_the_button(pictures: PreviewPictures, tmp_path: Path) -> None:
    layers = pictures.viewer.layers
    show(pictures, pictures.begin, write_epochs(tmp_path, 1))
    assert len(layers) == 1
    show(pictures, pictures.layers_button.click)
    assert [layer.name for layer in layers][1:] == list(NAMES)
    assert layers[NAMES[0]].data.shape == (2, *SIZE, 3)
    pictures.layers_button.click()
    assert len(layers) == 1
