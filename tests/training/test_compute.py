"""The number format of trainings on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from pixelwise.events import RunStarted
from pixelwise.training.compute import choose_training_compute
from pixelwise.training.fit import fit
from tests.training.conftest import create_config


@pytest.mark.parametrize(
    ("model", "capabilities", "expected"),
    [
        ({"name": "unet"}, {"avx512_bf16": True}, "bf16"),
        ({"name": "segnet"}, {"amx_bf16": True, "avx512_bf16": False}, "bf16"),
        ({"name": "unet", "encoder": "resnet18"}, {"avx512_bf16": True}, "bf16"),
        ({"name": "unet"}, {"avx512_bf16": False}, "fp32"),
        ({"name": "unet"}, {}, "fp32"),
        ({"name": "unet", "encoder": "mobilenet_v2"}, {"avx512_bf16": True}, "fp32"),
        ({"name": "unet", "encoder": "mit_b0"}, {"avx512_bf16": True}, "fp32"),
    ],
)
def test_bf16_is_taken_where_it_is_faster(
    model: Mapping[str, str],
    capabilities: Mapping[str, bool],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    for precision, found in (("auto", expected), ("fp32", "fp32"), ("bf16", "bf16")):
        config = create_config(
            tmp_path,
            tmp_path / "run",
            model={"options": {}, **model},
            training={"precision": precision},
        )
        assert choose_training_compute(config).precision == found


def test_the_format_is_said_by_the_story_alone(
    discs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    started = next(fit(create_config(discs, tmp_path / "run", training={"precision": "bf16"})))
    assert isinstance(started, RunStarted)
    assert (started.precision, started.precision_reason) == ("bf16", "asked for")
    assert "Precision" not in caplog.text
