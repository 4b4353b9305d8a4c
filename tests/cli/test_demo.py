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


def test_demo_keeps_what_is_in_its_folder(pixelwise: Callable, tmp_path: Path) -> None:
    for name in ("scores.json", "loss.png"):
        (tmp_path / name).write_text("somebody else's")
    assert pixelwise("demo", "--out", tmp_path, "--epochs", 1).status == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loss.png", "scores.json"]
    assert (tmp_path / "scores.json").read_text() == "somebody else's"
