from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent

from pixelwise.widgets.jobs import get_server
from pixelwise.widgets.layers import PREDICTED, SPARSE, find_truth, read_classes
from pixelwise.widgets.live import _cut
from tests.conftest import LONG
from tests.widgets.conftest import draw_discs, list_temporary, wait_until

pytestmark = pytest.mark.display
Open = Callable[..., Any]
SIZE = 64
MODULES = ("sklearn", "skimage.feature", "torch")
NAME = "disc live"


@pytest.fixture
def widget(open_widget: Open) -> Iterator[Any]:
    """Annotate with the image of a disc, sparse labels to draw on it, and Live on."""
    one = open_widget("Annotate")
    one.viewer.add_image(draw_discs(size=SIZE)[0][0], name="disc")
    one.sparse.setChecked(True)
    one.create()
    one.live.button.setChecked(True)
    yield one
    one.live.button.setChecked(False)
    wait_until(lambda: not one.live.is_running)


def draw(widget: Any, *, both: bool = True) -> None:
    """Draw a stroke of the background, and one of the disc, as with the mouse."""
    layer = widget.layer
    layer.brush_size = 4
    for x in range(4, 60, 2):
        layer.paint((3, x), 1)
    if both:
        for x in range(28, 38, 2):
            layer.paint((32, x), 2)


def wait_for(widget: Any, condition: Callable[[], bool]) -> None:
    """Wait until the job has ended and a condition holds."""
    wait_until(lambda: condition() and not widget.live.is_running)


def is_shown(widget: Any) -> bool:
    return NAME in widget.viewer.layers


def test_strokes_are_labelled_and_labelled_again(widget: Any) -> None:
    _, masks = draw_discs(size=SIZE)
    viewer, before = widget.viewer, {name for name in MODULES if name in sys.modules}
    draw(widget)
    wait_for(widget, lambda: is_shown(widget))
    result = viewer.layers[NAME]
    assert (result.data - 1 == masks[0]).mean() > 0.9
    assert [layer.name for layer in viewer.layers] == ["disc", NAME, "disc labels"]
    assert viewer.layers.selection.active == widget.layer
    assert widget.layer.mode == "paint"
    assert read_classes([result]) == read_classes([widget.layer])
    assert find_truth(viewer) == [widget.layer]
    assert widget.message == ""

    widget.layer.paint((62, 62), 2)
    widget.layer.paint((60, 4), 2)
    wait_for(widget, lambda: result.data[60, 4] == 2)
    assert viewer.layers[NAME] == result
    last = result.data.copy()
    widget.layer.undo()
    widget.layer.undo()
    wait_for(widget, lambda: result.data[60, 4] == 1)
    assert (result.data != last).any()
    assert {name for name in MODULES if name in sys.modules} == before
    assert list_temporary() == set(), "files of jobs go with them"


def test_strokes_that_come_while_a_job_runs_are_labelled_after_it(
    widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Any] = []
    submit = get_server().submit
    monkeypatch.setattr(get_server(), "submit", lambda job: (jobs.append(job), submit(job)))
    draw(widget)
    wait_until(lambda: get_server().is_busy)
    widget.layer.paint((60, 4), 2)
    widget.layer.paint((60, 60), 2)
    wait_for(widget, lambda: is_shown(widget) and widget.viewer.layers[NAME].data[60, 4] == 2)
    assert len(jobs) == 2, "never more than one is queued"


def test_accepted_labels_are_truth(widget: Any) -> None:
    widget.live.accept()
    assert "no live labels" in widget.message
    draw(widget)
    wait_for(widget, lambda: is_shown(widget))
    result = widget.viewer.layers[NAME]
    widget.live.accept()
    assert not widget.live.is_on
    assert PREDICTED not in result.metadata
    assert result.metadata[SPARSE], "only what was seen is labelled"
    assert result in find_truth(widget.viewer)


def test_strokes_of_one_class_are_not_enough(widget: Any) -> None:
    wait_for(widget, lambda: "two classes" in widget.message)
    widget.say("")
    draw(widget, both=False)
    wait_for(widget, lambda: "two classes" in widget.message)
    assert not is_shown(widget)


def test_only_sparse_labels_are_strokes(open_widget: Open) -> None:
    widget = open_widget("Annotate")
    widget.viewer.add_image(np.zeros((SIZE, SIZE)), name="disc")
    widget.create()
    widget.live.button.setChecked(True)
    assert "Tick Sparse" in widget.message
    widget.sparse.setChecked(True)
    widget.create()
    wait_for(widget, lambda: "two classes" in widget.message)
    assert widget.live._labels == widget.layer


@pytest.mark.parametrize("name", ["disc", "disc labels"])
def test_removing_a_layer_ends_it_while_a_job_runs(widget: Any, name: str) -> None:
    draw(widget)
    wait_until(lambda: get_server().is_busy)
    del widget.viewer.layers[name]
    assert not widget.live.is_on
    assert "removed" in widget.message
    wait_until(lambda: not widget.live.is_running)
    assert not is_shown(widget)
    assert list_temporary() == set()


def test_closing_the_dock_ends_it_while_a_job_runs(open_widget: Open) -> None:
    widget = open_widget("Annotate")
    viewer = widget.viewer
    viewer.add_image(draw_discs(size=SIZE)[0][0], name="disc")
    widget.sparse.setChecked(True)
    layer = widget.create()
    widget.live.button.setChecked(True)
    draw(widget)
    wait_until(lambda: get_server().is_busy)
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    layer.paint((60, 4), 2)
    assert list_temporary() == set()
    wait_until(lambda: not get_server().is_busy)
    layer.paint((60, 8), 2)
    del viewer.layers["disc labels"]


def hold_busy_child(widget: Any) -> subprocess.Popen[bytes]:
    """Stop the warm child while it labels; what it had answered before then does not count."""
    for column in range(10, 60):
        wait_until(lambda: get_server().is_busy)
        child = get_server().child
        assert child is not None
        child.process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 0.3
        wait_until(lambda deadline=deadline: time.monotonic() > deadline)
        if get_server().is_busy:
            return child.process
        child.process.send_signal(signal.SIGCONT)
        widget.layer.paint((60, column), 2)
    pytest.fail("the child was never caught at work")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no process")
def test_a_killed_child_is_said_and_the_next_stroke_starts_another(widget: Any) -> None:
    draw(widget)
    hold_busy_child(widget).kill()
    wait_for(widget, lambda: "killed" in widget.message)
    assert widget.live.is_on
    widget.layer.paint((60, 4), 2)
    wait_for(widget, lambda: is_shown(widget))
    assert widget.message == ""


@pytest.mark.one_binding
def test_the_plane_that_is_seen_is_labelled_with_all_channels(open_widget: Open) -> None:
    widget = open_widget("Annotate")
    discs, masks = draw_discs(3, SIZE)
    image = np.stack([np.zeros_like(discs), discs], axis=1)
    widget.viewer.add_image(image, name="disc")
    widget.axes.value = "ZCYX"
    widget.sparse.setChecked(True)
    widget.create()
    widget.viewer.dims.set_point(0, 0)
    widget.viewer.dims.set_point(1, 2)  # the labels' plane; the channels are the image's own
    widget.live.button.setChecked(True)
    layer = widget.layer
    layer.brush_size = 4
    for x in range(4, 60, 2):
        layer.paint((2, 3, x), 1)
    for x in range(28, 38, 2):
        layer.paint((2, 32, x), 2)
    wait_for(widget, lambda: is_shown(widget))
    data = widget.viewer.layers[NAME].data
    assert not data[:2].any()
    assert (data[2] - 1 == masks[2]).mean() > 0.85
    widget.viewer.dims.ndisplay = 3
    layer.paint((2, 60, 4), 2)
    wait_for(widget, lambda: "2D view" in widget.message)
    widget.live.button.setChecked(False)


@pytest.mark.parametrize(
    ("centre", "size", "part"),
    [
        (0, 700, (0, 700)),
        (0, 4000, (0, 1024)),
        (2000, 4000, (1536, 2560)),
        (1e4, 4000, (2976, 4000)),
    ],
)
def test_a_large_plane_is_cut_around_the_view(
    centre: float, size: int, part: tuple[int, int]
) -> None:
    assert _cut(int(centre), size) == slice(*part)


@pytest.mark.one_binding
def test_the_window_loads_no_classifier() -> None:
    code = f"import pixelwise.widgets.annotate, sys\nprint(*({set(MODULES)} & sys.modules.keys()))"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG, check=True
    )
    assert child.stdout.split() == []
