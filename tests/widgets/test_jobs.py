"""Children start, report, fail with their own words, and never stay behind."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from qtpy.QtCore import QObject

from pixelwise.config import DataConfig, ModelConfig
from pixelwise.events import JobEnded, NetworkDescribed, Warned, parse_event
from pixelwise.jobs import DescribeJob, EvaluateJob
from pixelwise.runs import RunFolder
from pixelwise.widgets import child_process
from pixelwise.widgets.child_process import explain
from pixelwise.widgets.jobs import (
    JobProcess,
    LineFollower,
    Server,
)
from tests.widgets.conftest import LONG, lower_priority, wait_until

pytestmark = pytest.mark.usefixtures("qapp")


@pytest.fixture
def parent() -> Any:
    owner = QObject()
    yield owner
    owner.deleteLater()


NETWORK = ModelConfig.create(name="unet", options={"base_channels": 4})
NOTHING = EvaluateJob(model=Path("nothing"), data=DataConfig(path=Path("none")))


@pytest.mark.one_binding
def test_a_job_gives_what_it_prints(parent: QObject) -> None:
    job = JobProcess(DescribeJob(model=NETWORK), parent)
    assert job.end is None
    assert job.wait(LONG).ok
    described, end = map(parse_event, job.output.splitlines())
    assert isinstance(described, NetworkDescribed)
    assert isinstance(end, JobEnded)
    assert not job.child.folder.exists()


@pytest.mark.skipif(not psutil.POSIX, reason="Windows has classes of priority")
def test_the_window_comes_before_its_children(
    parent: QObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "_lower_priority", lower_priority)
    job = JobProcess(NOTHING, parent)
    assert psutil.Process(job.child.process.pid).nice() == psutil.Process().nice() + 10
    job.child.process.kill()
    job.wait()


@pytest.mark.one_binding
def test_a_failure_comes_in_the_child_s_own_words(parent: QObject, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    end = JobProcess(NOTHING, parent, log=log).wait(LONG)
    assert not end.ok
    assert "nothing" in end.message
    assert not end.message.startswith("Error")
    assert "nothing" in log.read_text()


def test_a_killed_child_is_reported(parent: QObject) -> None:
    job = JobProcess(NOTHING, parent)
    job.child.process.send_signal(signal.SIGKILL)
    assert "killed" in job.wait(LONG).message


def test_the_parent_s_end_ends_the_child(qtbot: Any) -> None:
    owner = QObject()
    job = JobProcess(DescribeJob(model=NETWORK), owner)
    process, folder = job.child.process, job.child.folder
    owner.deleteLater()
    wait_until(lambda: process.poll() is not None)
    wait_until(lambda: not folder.exists())


def describe(server: Server, name: str = "unet", **fields: Any) -> DescribeJob:
    options = {"base_channels": 4} if name == "unet" else {}
    model = ModelConfig.create(name=name, options=options)
    return DescribeJob.create(number=server.next_number(), model=model, **fields)


def collect(server: Server) -> list[Any]:
    events: list[Any] = []
    server.reported.connect(events.append)
    return events


@pytest.fixture
def server() -> Any:
    one = Server()
    yield one
    one.end()


def ends(events: list[Any]) -> list[JobEnded]:
    return [event for event in events if isinstance(event, JobEnded)]


@pytest.mark.one_binding
def test_the_warm_child_answers_in_turn_and_stays(server: Server) -> None:
    events = collect(server)
    server.submit(describe(server))
    server.submit(describe(server, in_channels=5))
    wait_until(lambda: len(ends(events)) == 2)
    assert [event.status for event in ends(events)] == ["done", "done"]
    first, second = [e.summary for e in events if isinstance(e, NetworkDescribed)]
    assert second["parameters"] > first["parameters"]
    assert not server.is_busy
    before = seconds_computed(server)
    server.submit(describe(server))
    wait_until(lambda: len(ends(events)) == 3)
    assert seconds_computed(server) - before < 1, "the third question paid for loading torch again"


def seconds_computed(server: Server) -> float:
    """CPU time of the warm child: how busy the machine is does not matter."""
    assert server.child is not None
    times = psutil.Process(server.child.process.pid).cpu_times()
    return times.user + times.system


@pytest.mark.one_binding
def test_a_refusal_leaves_the_child_alive(server: Server) -> None:
    events = collect(server)
    server.submit(describe(server, "unet", size=(1, 1)))
    server.submit(describe(server))
    wait_until(lambda: len(ends(events)) == 2)
    assert ends(events)[1].status == "done"


@pytest.mark.one_binding
def test_a_dead_child_fails_its_question_and_the_next_gets_a_new_one(server: Server) -> None:
    events = collect(server)
    server.submit(describe(server))
    assert server.child is not None
    os.kill(server.child.process.pid, signal.SIGKILL)
    wait_until(lambda: len(ends(events)) == 1)
    assert ends(events)[0].status == "failed"
    assert "killed" in ends(events)[0].message
    server.submit(describe(server))
    wait_until(lambda: len(ends(events)) == 2)
    assert ends(events)[1].status == "done"


def test_ending_the_client_ends_the_child(server: Server) -> None:
    server.submit(describe(server))
    assert server.child is not None
    pid, folder = server.child.process.pid, server.child.folder
    server.end()
    assert not psutil.pid_exists(pid)
    assert folder is not None
    assert not folder.exists()


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    follower = LineFollower(path)
    assert follower.read() == []
    path.write_text("one\ntw")
    assert follower.read() == [b"one\n"]
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert follower.read() == [b"two\n", b"three\n"]


def test_the_story_of_a_run_and_the_answers_of_a_child_are_read(tmp_path: Path) -> None:
    run, warned = RunFolder(tmp_path), Warned(time=1.0, message="little data")
    run.append(warned)
    with run.events.open("a") as file:
        file.write(warned.to_json() + "\n" + "no event\n")
    assert LineFollower(run.events).read_events() == [warned, warned]


@pytest.mark.parametrize(
    ("status", "log", "expected"),
    [
        (1, "noise\nError: a mask is missing\n  draw it", "a mask is missing\n  draw it"),
        (-9, "", "killed"),
        (3, "Traceback\nValueError: x", "status 3.*ValueError: x"),
    ],
    ids=["own words", "killed", "unknown"],
)
def test_reasons(status: int, log: str, expected: str) -> None:
    assert re.search(expected, explain(status, log), re.DOTALL)
