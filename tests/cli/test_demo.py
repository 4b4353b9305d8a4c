from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path


def test_demo_leaves_all_it_names(pixelwise: Callable, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = pixelwise("demo", "--out", out, "--epochs", 1)
    assert result.status == 0, result.err
    named = [Path(line.strip()) for line in result.out.splitlines() if line.startswith("  /")]
    assert len(named) == 5
    assert all(path.exists() for path in named)
    assert len(list((out / "labels").iterdir())) == 8
    scores = json.loads((out / "scores.json").read_text())
    assert set(scores["classes"]) == {"background", "nucleus"}
    again = pixelwise("demo", "--out", out)
    assert again.status == 2
    assert "delete it" in again.err
