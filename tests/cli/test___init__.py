from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from pixelwise import cli
from pixelwise.cli import _COMMANDS


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(pixelwise: Callable, name: str) -> None:
    result = pixelwise(name, "--help")
    assert result.status == 0
    assert f"pixelwise {name}" in result.out
    assert name in pixelwise("--help").out


def test_help_does_not_load_torch() -> None:
    code = (
        "import sys; from pixelwise.cli import run; run(['train', '--help']); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_unknown_commands_are_wrong_use(pixelwise: Callable) -> None:
    result = pixelwise("trian")
    assert result.status == 2
    assert "trian" in result.err


def fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a bug")


def test_a_bug_shows_no_traceback_unless_asked(
    pixelwise: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.commands, "main", fail)
    result = pixelwise("runs", ".")
    assert result.status == 1
    assert "unexpected ZeroDivisionError: a bug" in result.err
    assert "--debug" in result.err
    assert "Traceback" not in result.err
    with pytest.raises(ZeroDivisionError):
        pixelwise("runs", ".", "--debug")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB, ...)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
    ids=["host", "cuda", "mps", "cpu"],
)
def test_full_memory_is_said_with_advice(
    pixelwise: Callable, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.commands, "main", fail)
    result = pixelwise("runs", ".")
    assert result.status == 1
    assert "smaller batch" in result.err


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "pixelwise", "--version"]
    assert "pixelwise" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
