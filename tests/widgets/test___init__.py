"""The plugin as a whole: found, opened from the menus, quick to open, and light."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from npe2 import PluginManager

from pixelwise.samples import napari_data
from pixelwise.widgets.panel import Panel

PLUGIN = "napari-pixelwise"
WIDGETS = ["Segment", "Train", "Predict", "Evaluate", "Patches", "Annotate", "Models"]
pytestmark = pytest.mark.display


def list_widgets(viewer: Any) -> list[Panel]:
    return viewer.window._qt_window.findChildren(Panel)


@pytest.mark.parametrize("name", WIDGETS[1:])
def test_every_widget_opens_from_the_plugins_menu(make_napari_viewer: Any, name: str) -> None:
    viewer = make_napari_viewer()
    get_app_model().commands.execute_command(f"{PLUGIN}.{name.lower()}").result()
    (widget,) = list_widgets(viewer)
    assert type(widget).__name__ == f"{name}Widget"
    assert widget.viewer.layers is viewer.layers


@pytest.mark.parametrize(
    ("menu", "command"),
    [
        ("napari/layers/segment", "segment"),
        ("napari/layers/segment", "train"),
        ("napari/layers/segment", "predict"),
        ("napari/layers/annotate", "annotate"),
        ("napari/layers/measure", "evaluate"),
        ("napari/file/io_utilities", "patches"),
    ],
)
def test_widgets_stand_in_napari_s_own_menus(
    make_napari_viewer: Any, menu: str, command: str
) -> None:
    viewer = make_napari_viewer()
    items = {
        getattr(getattr(item, "command", None), "id", "")
        for item in get_app_model().menus.get_menu(menu)
    }
    assert f"{PLUGIN}.{command}" in items
    get_app_model().commands.execute_command(f"{PLUGIN}.{command}").result()
    assert len(list_widgets(viewer)) == 1


def test_every_contribution_has_a_title_and_a_command() -> None:
    manifest = PluginManager.instance().get_manifest(PLUGIN)
    assert [w.display_name for w in manifest.contributions.widgets or []] == WIDGETS
    assert {s.key for s in manifest.contributions.sample_data or []} == {"nuclei", "stack"}


@pytest.mark.parametrize("key", ["nuclei", "stack"])
def test_samples_open_at_once(make_napari_viewer: Any, key: str) -> None:
    """In CPU time, which others who share the caches may double: reading, and napari's layers."""
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((9, 9, 3), np.uint8), rgb=True)  # napari's own first layers
    viewer.add_labels(np.zeros((9, 9), np.uint8))
    viewer.layers.clear()
    started = time.process_time()
    layers = getattr(napari_data, key)()
    assert time.process_time() - started < 0.4
    viewer.open_sample(PLUGIN, key)
    assert time.process_time() - started < 4
    assert len(viewer.layers) == len(layers)
    assert {layer._type_string for layer in viewer.layers} == {"image", "labels"}


def test_settings_are_napari_s(make_napari_viewer: Any) -> None:
    from napari.settings import get_plugin_settings

    from pixelwise.widgets.panel import read_setting

    make_napari_viewer()
    settings = get_plugin_settings(PLUGIN)
    assert settings.general.runs_folder == "~/pixelwise-runs"
    settings.general.device = "cpu"
    try:
        assert read_setting("general", "device", "auto") == "cpu"
    finally:
        settings.general.device = "auto"
    assert read_setting("general", "nothing", "default") == "default"


CODE = """
import sys, time
import napari
viewer = napari.Viewer(show=True)
assert not any(name.partition(".")[0] == "pixelwise" for name in sys.modules), "loaded at the start"
times = {}
for name in NAMES:
    started = time.process_time()
    viewer.window.add_plugin_dock_widget("napari-pixelwise", name)
    times[name] = time.process_time() - started
print(max(times.values()), "torch" in sys.modules, times)
viewer.close()
"""


@pytest.mark.parametrize(
    "names",
    [["Segment"], pytest.param(WIDGETS[1:], marks=pytest.mark.one_binding)],
    ids=["Segment", "the others"],
)
def test_the_first_widgets_open_within_a_second_and_without_torch(names: list[str]) -> None:
    """In CPU time of the process, the best of three: others who share the caches may double it."""
    code = CODE.replace("NAMES", repr(names))
    seconds = []
    while len(seconds) < 3 and min(seconds, default=1.0) >= 1:
        out = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
        ).stdout.splitlines()[-1]
        taken, torch, *_ = out.split()
        assert torch == "False"
        seconds.append(float(taken))
    assert min(seconds) < 2, out  # beside other work a second may take two
