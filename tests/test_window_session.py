"""The session of benchmarks/window_session.py, with a few steps of training."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONG, REPOSITORY

STEPS = ["strokes", "live", "train", "predict another", "correct", "improve", "evaluate", "save"]


@pytest.mark.longest
@pytest.mark.display
def test_from_strokes_to_saved_labels_by_the_mouse(tmp_path: Path) -> None:
    script = REPOSITORY / "benchmarks" / "window_session.py"
    result = subprocess.run(
        [sys.executable, str(script), "--runs", str(tmp_path), "--fast"],
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    lines = re.findall(r"^\d ([a-z ]+?) +(\d+) clicks +(\d+) strokes", result.stdout, re.M)
    assert [name for name, _, _ in lines] == STEPS
    clicks = {name: int(count) for name, count, _ in lines}
    assert clicks["improve"] == 1
    assert clicks["correct"] + clicks["improve"] <= 6  # two of them choose a class
    assert "second prediction.tif" in result.stdout
