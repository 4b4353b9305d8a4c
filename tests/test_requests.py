from __future__ import annotations

import pytest

from pixelwise.config import ModelConfig
from pixelwise.requests import DescribeRequest, PredictRequest, parse_request

REQUESTS = [
    PredictRequest.create(
        number=1, model="m", source="s.npy", axes="YX", output="o", cancel="c",
        settings={"tile": 64, "flips": True},
    ),
    DescribeRequest.create(number=2, model=ModelConfig.create(name="segnet"), size="64x32"),
]  # fmt: skip


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r.job)
def test_requests_survive_the_pipe(request_: PredictRequest | DescribeRequest) -> None:
    line = request_.model_dump_json()
    assert "\n" not in line
    assert parse_request(line) == request_


@pytest.mark.parametrize("line", ["", "{}", '{"job": "dance"}', '{"job": "predict"}'])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError):
        parse_request(line)
