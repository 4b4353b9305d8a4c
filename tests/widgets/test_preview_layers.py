from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qtpy.QtCore import QObject
from qtpy.QtTest import QTest

from pixelwise.classes import create_classes
from pixelwise.images import write_tiff
from pixelwise.models.files import save_model
from pixelwise.runs import RunFolder
from pixelwise.widgets.layers import find_layers
from pixelwise.widgets.preview_layers import NAMES, PreviewLayers
from tests.test_cards import CARD
from tests.widgets.conftest import wait_until


def test_whoever_is_painting_goes_on_painting(make_napari_viewer: Any, tmp_path: Path) -> None:
    viewer, parent = make_napari_viewer(), QObject()
    viewer.add_image(np.zeros((40, 50)), scale=(0.1, 0.2), name="cells")
    drawn = viewer.add_labels(np.zeros((40, 50), np.uint8), scale=(0.1, 0.2))
    stack = viewer.add_image(np.zeros((9, 40, 50)), scale=(2, 0.1, 0.2))
    viewer.layers.selection = {drawn}
    viewer.dims.set_point(0, 14)
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0, 1, 2), 7
    previews = PreviewLayers(viewer, parent)
    previews.begin(RunFolder(tmp_path))
    assert viewer.dims.point[0] == 14
    assert (camera.center[-2:], camera.zoom) == ((1, 2), 7)
    viewer.layers.remove(stack)
    assert viewer.layers.selection.active is drawn
    assert set(viewer.layers.selection) == {drawn}
    assert find_layers(viewer, "labels") == [drawn]
    shown = viewer.layers[NAMES[0]]
    np.testing.assert_allclose(shown.scale[-2:], (0.1, 0.2))
    right = shown.extent.world[1][-1]
    assert right < viewer.layers["cells"].extent.world[0][-1], "to the left of the image"
    previews.remove()
    assert len(viewer.layers) == 2


def write_previews(folder: Path, classes: Sequence[str], *, count: int = 1) -> RunFolder:
    """Write what the previews of a run are read from."""
    run = RunFolder(folder)
    run.previews.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        for part in ("image", "truth", "prediction"):
            pixels = np.full((1, 20, 30), 1, np.uint8)
            axes, data = ("CYX", pixels) if part == "image" else ("YX", pixels[0])
            write_tiff(run.previews / f"{part}-{number}.tif", data, axes=axes)
    card = CARD.model_copy(update={"classes": create_classes(classes)})
    save_model(run.model, {"w": torch.zeros(1)}, card)
    return run


@pytest.mark.one_binding
def test_previews_of_another_run_stay_out(make_napari_viewer: Any, tmp_path: Path) -> None:
    viewer, parent = make_napari_viewer(), QObject()
    first = write_previews(tmp_path / "first", ["ground", "disc"])
    second = write_previews(tmp_path / "second", ["ground", "ring"], count=2)
    previews = PreviewLayers(viewer, parent)
    previews.begin(first)
    previews.show(first)  # still being read when another one begins
    previews.begin(second)
    previews.show(second)
    shown = viewer.layers[NAMES[2]]
    wait_until(lambda: shown.data.shape == (2, 20, 30))
    wait_until(lambda: previews.is_done)
    write_previews(tmp_path / "second", ["ground", "ring"], count=4)
    for _ in range(3):  # faster than they can be shown: the last is
        previews.show(second)
        write_previews(tmp_path / "second", ["ground", "ring"], count=5)
    wait_until(lambda: shown.data.shape == (5, 20, 30))
    wait_until(lambda: previews.is_done)
    previews.leave()
    previews.show(first)
    QTest.qWait(300)
    assert shown.data.shape == (5, 20, 30)
    assert len(viewer.layers) == 3


@pytest.mark.one_binding
def test_a_run_that_has_ended_is_shown_as_soon_as_it_is_read(
    make_napari_viewer: Any, tmp_path: Path
) -> None:
    viewer, parent = make_napari_viewer(), QObject()
    previews = PreviewLayers(viewer, parent)
    run = write_previews(tmp_path / "run", ["ground", "disc"])
    previews.begin(run)
    previews.show(run)
    previews.remove(only_empty=True)  # the run is over
    wait_until(lambda: previews.is_done)
    assert viewer.layers[NAMES[0]].data.shape == (1, 20, 30, 3)
    previews.begin(RunFolder(tmp_path / "none"))
    previews.show(RunFolder(tmp_path / "none"))
    previews.remove(only_empty=True)
    wait_until(lambda: not viewer.layers)


def test_a_layer_that_the_user_deletes_stays_away(make_napari_viewer: Any, tmp_path: Path) -> None:
    viewer, parent = make_napari_viewer(), QObject()
    previews = PreviewLayers(viewer, parent)
    run = write_previews(tmp_path / "run", ["ground", "disc"])
    previews.begin(run)
    previews.show(run)
    viewer.layers.remove(NAMES[1])
    wait_until(lambda: previews.is_done)
    assert [layer.name for layer in viewer.layers] == [NAMES[0], NAMES[2]]
    assert viewer.layers[NAMES[2]].data.shape == (1, 20, 30)
