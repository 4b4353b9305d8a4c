"""Trainings that are ended from outside, in a process of their own, and go on."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pixelwise.events import RunEnded
from pixelwise.runs import RunFolder, iter_events, request_stop

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_drill.py"


@pytest.fixture(scope="module")
def drill() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kill_drill", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def straight(drill: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A training that nobody disturbed."""
    return drill.train_undisturbed(tmp_path_factory.mktemp("straight"))


@pytest.mark.longest
def test_killed_at_random_moments_gives_the_same_bits(
    drill: ModuleType, straight: Any, tmp_path: Path
) -> None:
    assert drill.drill(tmp_path, straight, times=2, seed=1) == 2


@pytest.mark.longest
def test_asked_to_stop_gives_the_same_bits(
    drill: ModuleType, straight: Any, tmp_path: Path
) -> None:
    config = drill.create_config(straight.data, tmp_path / "run")
    run = RunFolder(config.run)
    for ask in (signal.SIGTERM, signal.SIGINT, request_stop):
        child = drill.start(config)
        wait_for_a_step(run, child)
        if ask is request_stop:
            request_stop(run)
        else:
            child.send_signal(ask)
        child.communicate()
        assert child.returncode == 0
        ended = list(iter_events(run))[-1]
        assert isinstance(ended, RunEnded)
        assert ended.reason == "stopped"
    drill.run_to_end(config)
    assert drill.find_differences(drill.read_result(run), straight.wanted) == []


def wait_for_a_step(run: RunFolder, child: subprocess.Popen[bytes]) -> None:
    """Wait until a child has reported a step since it was started."""

    def count() -> int:
        return run.events.read_text().count("steps_done") if run.events.exists() else 0

    before = count()
    while count() == before:
        assert child.poll() is None
        time.sleep(0.01)  # the child needs the processor
