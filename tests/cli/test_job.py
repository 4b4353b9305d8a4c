from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixelwise.config import DataConfig, ModelConfig, PatchConfig, PredictConfig, TrainConfig
from pixelwise.events import JobEnded, NetworkDescribed, parse_event
from pixelwise.images import write_tiff
from pixelwise.jobs import (
    DescribeJob,
    EvaluateJob,
    Job,
    PatchesJob,
    PredictJob,
    ResumeJob,
    TrainJob,
)
from tests.cli.conftest import Result
from tests.training.conftest import create_config

Call = Callable[..., Result]
NAMES = {0: "ground, bare", 255: "disc = round"}
CPU = PredictConfig.create(device="cpu", precision="fp32")


@pytest.fixture
def do(pixelwise: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[[Job | str], Result]:
    """Give a job to the command on its standard input."""

    def call(job: Job | str) -> Result:
        text = job if isinstance(job, str) else job.model_dump_json()
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return pixelwise("run", "-")

    return call


def test_a_whole_work_by_jobs_with_names_that_no_option_could_hold(
    do: Callable[[Job | str], Result], pixelwise: Call, discs: Path, tmp_path: Path
) -> None:
    data = DataConfig.create(path=discs, classes=NAMES)
    counted = do(PatchesJob(data=data, windows=PatchConfig.create(size=32)))
    assert (counted.status, json.loads(counted.out)["patches"] > 0) == (0, True)
    patches = tmp_path / "patches, cut"
    assert do(PatchesJob(data=data, windows=PatchConfig.create(size=32), out=patches)).status == 0
    values = create_config(discs, tmp_path / "run").model_dump() | {"data": {"path": patches}}
    trained = do(TrainJob(config=TrainConfig.create(**values)))
    assert trained.status == 0, trained.err
    kinds = [json.loads(line)["kind"] for line in trained.out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")
    assert do(ResumeJob(run=tmp_path / "run")).status == 1, "it is over"
    scored = do(EvaluateJob(model=tmp_path / "run", data=data, settings=CPU))
    assert all(name in scored.out for name in NAMES.values()), scored.err
    image = tmp_path / "a, b.tif"
    write_tiff(image, np.zeros((40, 50), np.uint8), axes="YX")
    out = tmp_path / "labels, mine"
    job = PredictJob(model=tmp_path / "run", images=(image,), out=out, settings=CPU)
    assert do(job).status == 0
    assert (out / "a, b_labels.tif").is_file()
    (tmp_path / "job.json").write_text(
        job.model_copy(update={"images": (tmp_path / "c",)}).model_dump_json()
    )
    assert pixelwise("run", tmp_path / "job.json").status == 1, "an image is missing"


def test_a_small_job_is_answered_as_the_warm_child_does(do: Callable[[Job | str], Result]) -> None:
    model = ModelConfig.create(name="unet", options={"base_channels": 4})
    done = do(DescribeJob(number=3, model=model))
    described, end = map(parse_event, done.out.splitlines())
    assert isinstance(described, NetworkDescribed)
    assert (end.kind, done.status) == ("job_ended", 0)
    failed = do(DescribeJob(model=model, size=(1, 1)))
    end = parse_event(failed.out.splitlines()[-1])
    assert isinstance(end, JobEnded)
    assert (end.status, failed.status) == ("failed", 1)


@pytest.mark.parametrize("text", ["", "{", '{"job": "dance"}', '{"job": "train"}', "[1]"])
def test_what_is_no_job_is_wrong_use_said_once(
    do: Callable[[Job | str], Result], text: str
) -> None:
    done = do(text)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    assert done.err.count("Error") == 1


def test_a_file_that_is_missing_is_an_error(pixelwise: Call, tmp_path: Path) -> None:
    done = pixelwise("run", tmp_path / "none.json")
    assert done.status == 1
    assert "none.json" in done.err
