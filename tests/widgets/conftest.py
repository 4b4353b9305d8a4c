"""A napari window, tiny data and models, and a check that nothing is left behind."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch  # the tests make models; loaded after PySide6 it aborts, so it comes before
from npe2.manifest import _bases
from qtpy.QtCore import QObject, Signal

from pixelwise.cards import Card
from pixelwise.classes import create_classes
from pixelwise.config import ModelConfig
from pixelwise.models.files import create_network, save_model
from pixelwise.normalization import create_percentile, create_range
from pixelwise.runs import RunFolder, is_training, request_stop
from pixelwise.widgets import child_process, jobs
from pixelwise.widgets.jobs import end_server
from tests.conftest import LONG, set_aside

TINY = {"base_channels": 4, "depth": 2}
lower_priority = child_process._lower_priority


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep temporary files apart from those of other programs, and end the warm child."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("temporary"))
    yield
    end_server()
    left = [path.name for path in Path(tempfile.gettempdir()).glob("pixelwise*")]
    tempfile.tempdir = before
    assert left == [], "the warm child left files behind"


@pytest.fixture(scope="session", autouse=True)
def _children_are_not_starved() -> Iterator[None]:
    """Start children with the priority of the tests: lowered, they never end on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child_process, "_lower_priority", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _manifests_are_parsed_once() -> Iterator[None]:
    """Keep what is parsed: each window reads all plugins' manifests, a fifth of its time."""
    parse, known = _bases._load_yaml_no_duplicates, dict[str, bytes]()

    def parse_once(stream: Any) -> Any:
        text = stream.read() if hasattr(stream, "read") else stream
        if text not in known:
            known[text] = pickle.dumps(parse(text))
        return pickle.loads(known[text])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_bases, "_load_yaml_no_duplicates", parse_once)
        yield


@pytest.fixture(autouse=True)
def _quick_collections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set aside what napari loads with its first window, and let no training take it back.

    A collection takes seconds in a process that has run thousands of tests.
    """
    set_aside()
    if not request.module.__name__.endswith("test_gc_pause"):
        calm = SimpleNamespace(collect=lambda: None, freeze=lambda: None, unfreeze=lambda: None)
        monkeypatch.setattr("pixelwise.widgets.gc_pause.gc", calm)


def wait_until(condition: Callable[[], bool]) -> None:
    """Run Qt's event loop until a condition holds."""
    jobs.wait_until(condition, LONG)


def list_children() -> dict[int, str]:
    """Children of this process that run this package, the warm one aside."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        try:
            command = child.cmdline()
        except psutil.Error:
            continue
        if "pixelwise" in command and "serve" not in command:
            found[child.pid] = " ".join(command)
    return found


def list_temporary() -> set[str]:
    """Files of jobs; the warm child's own folder goes when the child does."""
    folder = Path(tempfile.gettempdir())
    return {p.name for p in folder.glob("pixelwise-*") if not p.name.startswith("pixelwise-serve")}


@pytest.fixture(autouse=True)
def _leave_nothing(tmp_path: Path) -> Iterator[None]:
    """No process and no temporary file may outlive a test."""
    before = list_temporary()
    yield
    for config in tmp_path.rglob("config.yaml"):
        run = RunFolder(config.parent)
        if is_training(run):
            request_stop(run)
    _, alive = psutil.wait_procs([psutil.Process(p) for p in list_children()], timeout=LONG)
    assert not alive, f"left running: {alive}"
    assert list_temporary() <= before


@pytest.fixture(autouse=True)
def _runs_in_temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the runs and the annotations of this machine's user out of the tests."""
    for module in ("train", "predict", "project"):
        name = f"pixelwise.widgets.{module}"
        __import__(name)
        monkeypatch.setattr(sys.modules[name], "runs_folder", lambda: tmp_path / "runs")
    monkeypatch.setattr(sys.modules["pixelwise.widgets.train"], "write_setting", lambda *_: None)
    __import__("pixelwise.widgets.annotate")
    kept = tmp_path / "annotations"
    monkeypatch.setattr(sys.modules["pixelwise.widgets.annotate"], "find_folder", lambda: kept)


@pytest.fixture
def open_widget(make_napari_viewer: Any) -> Callable[..., Any]:
    """Open a widget of the plugin in a window, by its name in the menu."""
    viewers: list[Any] = []

    def open_one(name: str, *, show: bool = False) -> Any:
        if not viewers:
            viewers.append(make_napari_viewer(show=show))
        _, widget = viewers[0].window.add_plugin_dock_widget("napari-pixelwise", name)
        return widget

    return open_one


def draw_discs(count: int = 1, size: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, Y, X) of noisy discs, uint8, and their masks."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centres = rng.uniform(0.35, 0.65, (count, 2)) * size
    masks = np.stack([np.hypot(rows - y, columns - x) < size / 4 for y, x in centres])
    noise = rng.normal(50, 10, masks.shape)
    return (noise + 120 * masks).clip(0, 255).astype(np.uint8), masks.astype(np.uint8)


def add_pairs(viewer: Any, count: int = 3, size: int = 64) -> None:
    """Open pairs of an image and its labels."""
    images, masks = draw_discs(count, size)
    for number in range(count):
        viewer.add_image(images[number], name=f"disc {number}")
        viewer.add_labels(masks[number], name=f"disc {number} mask")


class IdleServer(QObject):
    """Stands for the warm child: it keeps the jobs, and the test says what it reports."""

    reported = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Any] = []
        self._numbers = count(1)

    def next_number(self) -> int:
        return next(self._numbers)

    def submit(self, job: Any) -> None:
        self.jobs.append(job)


def limit_files(monkeypatch: pytest.MonkeyPatch, size: int = 30_000) -> None:
    """Let children write files of `size` bytes only: a stand-in for a disk without room."""
    start = subprocess.Popen

    def start_limited(command: list[str], **options: Any) -> Any:
        return start(["prlimit", f"--fsize={size}", *command], **options)

    monkeypatch.setattr(child_process.subprocess, "Popen", start_limited)


def fill_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every convolution of a child end as on a GPU without room."""
    (folder / "sitecustomize.py").write_text(
        "import torch\n"
        "def fail(*_, **__):\n"
        "    raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB.')\n"
        "torch.nn.Conv2d.forward = fail\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


def set_tiny(widget: Any, runs: Path, name: str = "one", epochs: int = 2) -> None:
    """Make a training small."""
    widget.place["folder"].value = runs
    widget.place["name"].value = name
    widget.training.fill({"epochs": epochs, "batch_size": 2, "device": "cpu"})
    widget.patches.fill({"size": 32})
    widget.more.fill({"previews": 1, "epoch_steps": 4})
    widget.model.fill(ModelConfig.create(name="unet", options=TINY))


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a model file with random weights."""

    def write(channels: int = 1, classes: int = 3, *, fixed: bool = False) -> Path:
        torch.manual_seed(0)
        names = ["background", *[f"kind {i}" for i in range(1, classes)]]
        card = Card(
            architecture="unet",
            options=TINY,
            in_channels=channels,
            classes=create_classes(names),
            normalization=(
                create_range(np.dtype("uint8"), channels) if fixed else create_percentile()
            ),
            axes="YX" if channels == 1 else "CYX",
            dtype="uint8",
            patch_size=(32, 32),
        )
        path = tmp_path / f"model-{channels}.safetensors"
        save_model(path, create_network(card).state_dict(), card)
        return path

    return write
