"""The command line, called as a user would, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pixelwise.cli import console
from pixelwise.cli import run as run_command
from tests.training.conftest import discs

__all__ = ["discs"]


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


@pytest.fixture
def pixelwise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    monkeypatch.setattr(console.out, "width", 200)

    def call(*arguments: object) -> Result:
        status = run_command([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return call
