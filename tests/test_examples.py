from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(path), str(tmp_path / "run")]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Dice 0." in result.stdout
    assert (tmp_path / "run" / "labels.tif").exists()
