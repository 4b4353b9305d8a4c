"""The script that brings the system packages says what is missing when it may not bring it."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "system_packages.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("system_packages", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.sys, "platform", "linux")
    return module


def test_nothing_missing_is_silent(script, monkeypatch, capsys) -> None:
    monkeypatch.setattr(script, "missing_packages", list)
    assert script.main() == 0
    assert capsys.readouterr() == ("", "")


def test_who_may_not_install_is_told_the_command(script, monkeypatch, capsys) -> None:
    monkeypatch.setattr(script, "missing_packages", lambda: ["libegl1", "xvfb"])
    monkeypatch.setattr(script, "may_install", lambda: False)
    assert script.main() == 1
    assert capsys.readouterr().err.endswith("--no-install-recommends libegl1 xvfb\n")


@pytest.mark.parametrize(("left", "status"), [([], 0), (["xvfb"], 1)])
def test_only_what_is_missing_gets_installed(script, monkeypatch, left, status) -> None:
    answers, installed = iter([["xvfb"], left]), []
    monkeypatch.setattr(script, "missing_packages", lambda: next(answers))
    monkeypatch.setattr(script, "may_install", lambda: True)
    monkeypatch.setattr(script, "install", installed.extend)
    assert script.main() == status
    assert installed == ["xvfb"]


def test_a_screen_needs_no_virtual_one(script, monkeypatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", "")
    assert "xvfb" not in script.missing_packages()
    monkeypatch.delenv("DISPLAY")
    assert "xvfb" in script.missing_packages()


def test_a_library_that_does_not_exist_is_missing(script) -> None:
    assert not script.has_library("libpixelwise-does-not-exist.so.7")
