"""Predictions that are killed and state whose bits are flipped: short forms of two drills."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


def test_every_flipped_bit_of_kept_state_is_noticed(tmp_path: Path) -> None:
    drill = load("flipped_bits")
    assert drill.drill(drill.create_kinds(tmp_path), times=48, seed=3) == 48


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the drill forks")
def test_predictions_killed_at_random_moments_give_the_same_bytes(tmp_path: Path) -> None:
    """In a process of its own, which may fork."""
    script = BENCHMARKS / "prediction_kills.py"
    subprocess.run(
        [sys.executable, script, "--times", "2", "--seed", "2", "--alone"],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )
