"""Patches from layers and folders, counted, drawn, written and opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets import load_dataset
from pixelwise.widgets.patches import GRID
from tests.training.conftest import discs, write_discs
from tests.widgets.conftest import LONG, add_pairs, limit_files, wait_until

__all__ = ["discs"]
pytestmark = pytest.mark.display
Open = Callable[..., Any]


def test_layers_become_patches_that_open_as_a_stack(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Patches")
    add_pairs(widget.viewer, count=2)
    widget.windows.fill({"size": 32, "step": 16, "edge": "drop"})
    widget.count()
    widget.wait(LONG)
    assert widget.summary.text().startswith("18 patches from 2 images")
    assert "background" in widget.summary.text()
    widget.out.value = tmp_path / "patches"
    widget.write()
    assert widget.is_running
    widget.write()
    assert "wait" in widget.message
    widget.wait(LONG)
    data = load_dataset(tmp_path / "patches")
    assert len(data.samples) == 18
    assert widget.result == tmp_path / "patches"
    stack = widget.viewer.layers["patches patches"]
    assert stack.data.shape == (18, 32, 32)
    labels = widget.viewer.layers["patches masks"]
    assert labels.features["class"].tolist()[0] == "background"
    np.testing.assert_array_equal(
        labels.data[4], load_dataset(tmp_path / "patches").samples[4].read_mask()[0]
    )


@pytest.mark.one_binding
def test_a_folder_is_cut(open_widget: Open, discs: Path, tmp_path: Path) -> None:
    widget = open_widget("Patches")
    widget.data.choose_folder(discs, classes={"0": "ground", "255": "disc"})
    widget.windows.fill({"size": 32, "min_foreground": 0.6})
    widget.count()
    widget.wait(LONG)
    assert "too little foreground" in widget.summary.text()
    assert "disc" in widget.summary.text()


def test_the_grid_lies_on_the_image(open_widget: Open) -> None:
    widget = open_widget("Patches")
    add_pairs(widget.viewer, count=1)
    widget.viewer.layers["disc 0"].scale = (2, 2)
    widget.windows.fill({"size": 32})
    widget.grid.setChecked(True)
    grid = widget.viewer.layers[GRID]
    assert len(grid.data) == 4
    np.testing.assert_allclose(grid.scale, (2, 2))
    np.testing.assert_allclose(np.ptp(np.concatenate(grid.data), axis=0), (64, 64))
    widget.windows.fill({"size": 64})
    wait_until(lambda: len(widget.viewer.layers[GRID].data) == 1)
    assert not widget._later.isActive(), "its own layer is no reason to draw it again"
    widget.windows.fill({"size": 65})
    wait_until(lambda: "larger than" in widget.message)
    widget.grid.setChecked(False)
    assert GRID not in widget.viewer.layers


@pytest.mark.one_binding
def test_bad_input_ends_with_a_message(open_widget: Open, discs: Path, tmp_path: Path) -> None:
    widget = open_widget("Patches")

    def refuse(*, writes: bool = True) -> str:
        (widget.write if writes else widget.count)()
        widget.wait(LONG)
        assert widget.write_button.isEnabled()
        return str(widget.message)

    assert "Choose a new folder" in refuse()
    widget.data.tabs.setCurrentIndex(0)
    assert "No image with labels" in refuse(writes=False)
    widget.data.choose_folder(tmp_path / "missing")
    assert "missing" in refuse(writes=False)
    widget.data.choose_folder(discs)
    widget.windows.fill({"size": 999})
    assert "larger than" in refuse(writes=False)
    widget.windows.fill({"size": "x"})
    assert "size" in refuse(writes=False)
    widget.windows.fill({"size": 32})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    widget.out.value = tmp_path / "full"
    assert "full" in refuse()
    assert [p.name for p in tmp_path.iterdir()] == ["full"]


def test_stopping_leaves_nothing(open_widget: Open, tmp_path: Path) -> None:
    source = write_discs(tmp_path / "many", images=30, size=256)
    widget = open_widget("Patches")
    widget.data.choose_folder(source)
    widget.windows.fill({"size": 32, "step": 8})
    widget.out.value = tmp_path / "patches"
    widget.write()
    widget.stop()
    widget.wait(LONG)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["many"]
    assert widget.write_button.isEnabled()


@pytest.mark.one_binding
def test_problems_are_said_before_anything_is_written(open_widget: Open, tmp_path: Path) -> None:
    source = write_discs(tmp_path / "broken")
    image = sorted((source / "images").iterdir())[0]
    image.write_bytes(image.read_bytes()[:100])
    widget = open_widget("Patches")
    widget.data.choose_folder(source)
    widget.windows.fill({"size": 32})
    widget.count()
    widget.wait(LONG)
    assert image.name in widget.message
    assert widget.count_button.isEnabled()


@pytest.mark.one_binding
def test_notes_about_the_data_come_with_the_count(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Patches")
    add_pairs(widget.viewer, count=2)
    widget.viewer.layers["disc 0 mask"].data = np.zeros((64, 64), np.uint8)
    widget.windows.fill({"size": 32})
    widget.count()
    widget.wait(LONG)
    assert "1 masks hold no class but background" in widget.summary.text()


@pytest.mark.one_binding
def test_a_killed_child_says_so_and_leaves_nothing(open_widget: Open, tmp_path: Path) -> None:
    source = write_discs(tmp_path / "many", images=30, size=256)
    widget = open_widget("Patches")
    widget.data.choose_folder(source)
    widget.windows.fill({"size": 32, "step": 8})
    widget.out.value = tmp_path / "patches"
    widget.write()
    wait_until(lambda: any(tmp_path.glob(".patches-*.tmp/*/*")))  # it has begun to write
    widget._job.child.process.kill()
    widget.wait(LONG)
    assert "killed" in widget.message
    assert [path.name for path in tmp_path.iterdir()] == ["many"]


@pytest.mark.one_binding
def test_a_child_that_napari_ends_cleans_up(open_widget: Open, tmp_path: Path) -> None:
    widget = open_widget("Patches")
    widget.data.choose_folder(write_discs(tmp_path / "many", images=30, size=256))
    widget.windows.fill({"size": 32, "step": 8})
    widget.out.value = tmp_path / "patches"
    widget.write()
    wait_until(lambda: any(tmp_path.glob(".patches-*.tmp/*/*")))
    widget._job.child.leave()  # as when napari ends
    assert [path.name for path in tmp_path.iterdir()] == ["many"]
    widget.wait(LONG)


@pytest.mark.one_binding
def test_a_full_disk_is_said_and_leaves_nothing(
    open_widget: Open, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = open_widget("Patches")
    widget.data.choose_folder(discs)
    widget.windows.fill({"size": 32, "step": 2})
    widget.out.value = tmp_path / "patches"
    limit_files(monkeypatch)
    widget.write()
    widget.wait(LONG)
    monkeypatch.undo()
    assert "Cannot write" in widget.message
    assert sorted(p.name for p in tmp_path.iterdir() if "patches" in p.name) == []
    assert widget.log, "what the child printed can be read"
