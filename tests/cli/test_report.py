from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pixelwise.training.fit import fit
from tests.training.conftest import create_config


@pytest.fixture
def run(discs: Path, tmp_path: Path) -> Path:
    list(fit(create_config(discs, tmp_path / "run")))
    return tmp_path / "run"


def test_a_report_lies_in_the_run_and_is_written_again(pixelwise: Callable, run: Path) -> None:
    for _ in range(2):
        result = pixelwise("report", run)
        assert result.status == 0, result.err
        assert result.out == f"Written to {run / 'report.html'}\n"
    page = (run / "report.html").read_text()
    assert "Dice of the foreground" in page
    assert "<img" in page
    (run / "report.html").write_text("mine")
    refused = pixelwise("report", run)
    assert refused.status == 1
    assert "report.html" in refused.err
    assert (run / "report.html").read_text() == "mine"
    assert pixelwise("report", run, "--overwrite").status == 0


def test_a_report_elsewhere_and_as_a_job(pixelwise: Callable, run: Path, tmp_path: Path) -> None:
    job = {"job": "report", "source": str(run), "out": str(tmp_path / "new" / "r.html")}
    (tmp_path / "job.json").write_text(json.dumps(job))
    result = pixelwise("run", tmp_path / "job.json")
    assert json.loads(result.out) == {"report": job["out"]}
    assert (tmp_path / "new" / "r.html").is_file()


def test_what_has_no_report_is_refused(pixelwise: Callable, discs: Path, tmp_path: Path) -> None:
    refused = pixelwise("report", discs)
    assert refused.status == 1
    assert "holds neither a training run (config.yaml) nor a comparison" in refused.err
    for name in ("r.pdf", "r", "r.htm"):
        wrong = pixelwise("report", discs, "--out", tmp_path / name)
        assert wrong.status == 2
        assert "does not end in .html" in wrong.err
