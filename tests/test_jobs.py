from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixelwise.config import DataConfig, ModelConfig, PatchConfig, TrainConfig
from pixelwise.errors import ConfigError
from pixelwise.jobs import (
    DescribeJob,
    EvaluateJob,
    Job,
    LiveJob,
    PatchesJob,
    PredictJob,
    PredictLayerJob,
    ResumeJob,
    TrainJob,
    parse_job,
)

NAMES = {0: "a, b = c", 3: 'say "x"\n'}
DATA = DataConfig.create(path="d", classes=NAMES, resize="64x32", axes="ZYX")
JOBS: list[Job] = [
    TrainJob(config=TrainConfig.create(data=DATA, run="r", model={"name": "segnet"})),
    ResumeJob(run=Path("r, s")),
    PredictJob.create(model="m", images=["a,b.tif", "c"], out="o", settings={"overlap": 0.1}),
    EvaluateJob.create(model="m", data=DATA, split="test", labels="l", overwrite=True),
    PatchesJob.create(data=DATA, windows=PatchConfig.create(size=64), out="o"),
    PredictLayerJob.create(
        number=1, model="m", source="s.npy", axes="YX", output="o", cancel="c",
        settings={"tile": 64, "flips": True},
    ),
    DescribeJob.create(number=2, model=ModelConfig.create(name="segnet"), size="64x32"),
    LiveJob.create(number=3, source="s.npy", strokes="t.npy", output="o"),
]  # fmt: skip


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.job)
def test_a_job_is_one_line_that_is_read_back(job: Job) -> None:
    line = job.model_dump_json()
    assert "\n" not in line
    assert parse_job(line) == job


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{}", "Not a job"),
        ("[]", "Not a job"),
        ('{"job": "dance"}', "'dance'"),
        ('{"job": "predict"}', "model: Field required"),
        ('{"job": "resume", "run": "r", "then": "rm"}', "then: Extra inputs"),
        ('{"job": "resume", "run": "r", "run": "s"}', "twice"),
        ("[" * 100_000, "nested"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_job(text)
    assert len(str(caught.value)) < 1000


def test_the_names_of_jobs_differ() -> None:
    names = [json.loads(job.model_dump_json())["job"] for job in JOBS]
    assert len(set(names)) == len(names)
