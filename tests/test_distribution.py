"""What is installed is whole: under tox that is the built wheel, not the source tree."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest
from npe2 import PluginManifest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-pixelwise")


@pytest.mark.parametrize("name", ["py.typed", "napari.yaml"])
def test_package_data_are_installed(name: str) -> None:
    assert (files("pixelwise") / name).is_file()


def test_manifest_at_the_root_is_the_one_in_the_package() -> None:
    link = REPOSITORY / "napari.yaml"
    assert link.resolve() == REPOSITORY / "src" / "pixelwise" / "napari.yaml"


def test_manifest_is_valid(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    assert manifest.name == "napari-pixelwise"


def test_every_command_can_be_called(manifest: PluginManifest) -> None:
    commands = manifest.contributions.commands or []
    assert commands
    for command in commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_tox_names_tests_that_exist() -> None:
    named = re.findall(r"tests/[\w/.]+", (REPOSITORY / "tox.ini").read_text())
    assert "tests/test_parsing.py" in named
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
