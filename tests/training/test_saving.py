"""Trainings on a disk that is full for a while, or for good."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from pixelwise import atomic
from pixelwise.atomic import is_temporary, remove_leftovers
from pixelwise.errors import WriteError
from pixelwise.events import EpochEnded, Event, PreviewsWritten, RunEnded, Warned
from pixelwise.runs import RunFolder, is_training, iter_events, request_stop
from pixelwise.training import loop, saving
from pixelwise.training.checkpoints import Checkpoints, Content
from pixelwise.training.fit import fit, resume
from pixelwise.training.previews import PreviewSet
from pixelwise.training.saving import EventLog, Saver
from pixelwise.training.state import TrainingState
from tests.conftest import LONG
from tests.training.conftest import assert_same_result, assert_same_run, create_config, read_state

SECTIONS: dict[str, Any] = {"training": {"epochs": 3, "monitor": "last"}}


class FullDisk:
    """Takes nothing while it is full: neither bytes nor a flush, of files with a certain name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.is_full = False
        self.refused = 0
        self._name, self._fsync, self._write = name, os.fsync, os.write
        monkeypatch.setattr(atomic.os, "fsync", self.fsync)
        monkeypatch.setattr(atomic.os, "write", self.write)

    def _refuse(self, handle: int) -> None:
        if self.is_full and self._name in Path(f"/proc/self/fd/{handle}").readlink().name:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")

    def fsync(self, handle: int) -> None:
        self._refuse(handle)
        self._fsync(handle)

    def write(self, handle: int, data: bytes) -> int:
        try:
            self._refuse(handle)
        except OSError:
            if len(data) < 10:
                raise
            return self._write(handle, data[:9])  # a full disk takes the first bytes
        return self._write(handle, data)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="finds the names of open files in /proc"
)


def train(run: Path, discs: Path, disk: FullDisk, *, full: tuple[int, int]) -> list[Event]:
    """Train; the disk is full between the ends of two epochs."""
    events = []
    for event in fit(create_config(discs, run, **SECTIONS)):
        events.append(event)
        if isinstance(event, EpochEnded):
            disk.is_full = full[0] <= event.epoch < full[1]
    return events


@needs_proc
@pytest.mark.parametrize("name", ["last", "model", "epoch-", "events", ""])
def test_a_disk_that_is_full_for_a_while_costs_nothing(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    list(fit(create_config(discs, tmp_path / "straight", **SECTIONS)))
    disk = FullDisk(monkeypatch, name)
    events = train(tmp_path / "run", discs, disk, full=(1, 2))
    assert disk.refused
    assert any("No space left" in e.message for e in events if isinstance(e, Warned))
    assert isinstance(events[-1], RunEnded)
    assert_same_run(tmp_path / "run", tmp_path / "straight")
    assert list(iter_events(RunFolder(tmp_path / "run"))) == events
    assert not list((tmp_path / "run").rglob(".*"))


@needs_proc
@pytest.mark.parametrize("name", ["last", "model", "events"])
def test_a_disk_that_stays_full_is_an_error_at_the_end(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    list(fit(create_config(discs, tmp_path / "straight", **SECTIONS)))
    disk = FullDisk(monkeypatch, name)
    with pytest.raises(WriteError, match="No space left"):
        train(tmp_path / "run", discs, disk, full=(1, 9))
    disk.is_full = False
    list(resume(tmp_path / "run"))
    # what waited in memory to be told is lost with its process, what was learned is not
    check = assert_same_result if name == "events" else assert_same_run
    check(tmp_path / "run", tmp_path / "straight")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_disk_that_fills_up(discs: Path, tmp_path: Path, small_disk: Path) -> None:
    list(fit(create_config(discs, tmp_path / "straight", **SECTIONS)))
    ballast = small_disk / "ballast"
    events = []
    for event in fit(create_config(discs, small_disk / "run", **SECTIONS)):
        events.append(event)
        if isinstance(event, EpochEnded) and event.epoch == 1:
            fill(ballast)
        if isinstance(event, EpochEnded) and event.epoch == 2:
            ballast.unlink()
    assert any("No space left" in e.message for e in events if isinstance(e, Warned))
    assert list(iter_events(RunFolder(small_disk / "run"))) == events
    assert_same_run(small_disk / "run", tmp_path / "straight")


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass


@pytest.mark.parametrize("comes_back", [True, False], ids=["put back", "gone for good"])
def test_a_run_folder_that_is_moved_meanwhile_is_said_once_and_at_once(
    discs: Path, tmp_path: Path, comes_back: bool
) -> None:
    sections = {**SECTIONS, "training": {**SECTIONS["training"], "keep_every": 1}}
    list(fit(create_config(discs, tmp_path / "straight", **sections)))
    run, events, moved = tmp_path / "run", list[Event](), 0
    try:
        for event in fit(create_config(discs, run, **sections)):
            events.append(event)
            if isinstance(event, EpochEnded) and event.epoch == 1:
                run.rename(tmp_path / "elsewhere")
                moved = len(events)
            if isinstance(event, EpochEnded) and event.epoch == 2 and comes_back:
                (tmp_path / "elsewhere").rename(run)
    except WriteError:
        assert not comes_back
    said = {n: e.message for n, e in enumerate(events) if isinstance(e, Warned)}
    gone = [n for n, text in said.items() if "is not there any more: it was moved" in text]
    assert gone == [moved + 1]
    if comes_back:
        assert list(iter_events(RunFolder(run))) == events
        assert_same_run(run, tmp_path / "straight")
    else:
        assert [*said] == gone
        assert not run.exists()
        list(resume(tmp_path / "elsewhere"))
        assert_same_result(tmp_path / "elsewhere", tmp_path / "straight")


@needs_proc
def test_a_stop_on_a_full_disk_does_not_say_that_the_training_goes_on(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, events = FullDisk(monkeypatch, "last"), list[Event]()
    with pytest.raises(WriteError, match="No space left"):
        for event in fit(create_config(discs, tmp_path / "run", **SECTIONS)):
            events.append(event)
            if isinstance(event, PreviewsWritten):
                disk.is_full = True
                request_stop(RunFolder(tmp_path / "run"))
    said = [event.message for event in events if isinstance(event, Warned)]
    assert said
    assert all(message.endswith("It is tried again at once.") for message in said)


def test_the_training_goes_on_while_a_state_is_written(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, train_step = Checkpoints.save, loop.train_step
    may_write, steps = threading.Event(), []

    def wait_and_save(self: Checkpoints, content: Content) -> None:
        if content["progress"]["epoch"] == 1:
            assert may_write.wait(LONG), "no step was taken meanwhile"
        save(self, content)

    def step(state: TrainingState, numbers: list[int]) -> Tensor:
        if state.progress.epoch == 1:
            may_write.set()
        steps.append(state.progress.epoch)
        return train_step(state, numbers)

    monkeypatch.setattr(Checkpoints, "save", wait_and_save)
    monkeypatch.setattr(loop, "train_step", step)
    list(fit(create_config(discs, tmp_path / "run", training={"epochs": 2})))
    assert set(steps) == {0, 1}
    assert read_state(tmp_path / "run")["progress"]["epoch"] == 2


def test_a_state_that_cannot_be_copied_is_written_at_once(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_content: object) -> Content:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    list(fit(create_config(discs, tmp_path / "straight")))
    monkeypatch.setattr(saving, "copy_to_host", fail)
    list(fit(create_config(discs, tmp_path / "run")))
    assert_same_run(tmp_path / "run", tmp_path / "straight")


def test_the_run_is_held_until_nothing_is_being_written(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, close, held = EventLog.add, Saver.close, []

    def fail(self: EventLog, event: Event) -> Iterator[Event]:
        if isinstance(event, EpochEnded):
            raise KeyError("a fault")
        return add(self, event)

    def look_and_close(self: Saver) -> None:
        held.append(is_training(self.folder))
        close(self)

    monkeypatch.setattr(EventLog, "add", fail)
    monkeypatch.setattr(Saver, "close", look_and_close)
    with pytest.raises(KeyError, match="a fault"):
        list(fit(create_config(discs, tmp_path / "run")))
    assert held == [True]


def test_nothing_is_being_written_when_a_training_is_left(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, written = Checkpoints.save, []

    def save_slowly(self: Checkpoints, content: Content) -> None:
        time.sleep(0.3)
        save(self, content)
        written.append(content["progress"]["epoch"])

    monkeypatch.setattr(Checkpoints, "save", save_slowly)

    def fail(_self: PreviewSet, _epoch: int) -> Iterator[Event]:
        raise RuntimeError("a fault")

    monkeypatch.setattr(PreviewSet, "write", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        list(fit(create_config(discs, tmp_path / "run")))
    assert written == [0, 1]


def test_a_second_process_is_refused(discs: Path, tmp_path: Path) -> None:
    events = fit(create_config(discs, tmp_path / "run"))
    next(events)
    for command in (
        ["resume", str(tmp_path / "run")],
        ["train", str(discs), "--out", str(tmp_path / "run")],
    ):
        second = subprocess.run(
            [sys.executable, "-m", "pixelwise", *command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert "nother process" in second.stderr or "already holds a run" in second.stderr
    assert isinstance(list(events)[-1], RunEnded)


DIES_WHILE_IT_WRITES = """
import resource, signal, sys
from pathlib import Path
import torch
from pixelwise.models.files import save_model
from tests.test_cards import CARD

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
save_model(Path(sys.argv[1]) / "model.safetensors", {"w": torch.zeros(1 << 16)}, CARD)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a signal at a file's largest size")
def test_a_model_file_that_a_kill_left_half_written_is_known_as_such(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DIES_WHILE_IT_WRITES, str(tmp_path)]
    child = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
    assert child.returncode == -signal.SIGXFSZ
    (left,) = tmp_path.iterdir()
    assert is_temporary(left)
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())
