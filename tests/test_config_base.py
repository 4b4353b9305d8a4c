from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pixelwise.config import DataConfig, PatchConfig
from pixelwise.errors import ConfigError, ReadError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (256, (256, 256)),
        ("256", (256, 256)),
        ("360x480", (360, 480)),
        ("360,480", (360, 480)),
        ("360X480", (360, 480)),
        ([3, 4], (3, 4)),
    ],
)
def test_sizes(text: Any, size: tuple[int, int]) -> None:
    assert PatchConfig.create(size=text).size == size


def test_config_base() -> None:
    with pytest.raises(ValidationError):
        PatchConfig().edge = "drop"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size: [1", "not valid YAML"),
        ("- 1", "must be a YAML mapping.*got list"),
        ("", "got NoneType"),
        ("size: 0", "size"),
    ],
)
def test_wrong_yaml(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PatchConfig.from_yaml(text)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("size: 64\nedge: drop\n")
    assert PatchConfig.read(tmp_path / "a.yaml") == PatchConfig(size=(64, 64), edge="drop")
    with pytest.raises(ReadError, match=r"Cannot read the config .*b\.yaml"):
        PatchConfig.read(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReadError, match=r"c\.yaml"):
        PatchConfig.read(tmp_path / "c.yaml")


@pytest.mark.parametrize("name", ["n" * 256, "/".join(["folder"] * 700)])
def test_names_that_no_disk_can_have(name: str) -> None:
    with pytest.raises(ConfigError, match="255 bytes in a name"):
        DataConfig.create(path=name)
    with pytest.raises(ConfigError, match="255 bytes in a name"):
        DataConfig.create(path="data", images=name)
    assert DataConfig.create(path="n" * 255).path == Path("n" * 255)
