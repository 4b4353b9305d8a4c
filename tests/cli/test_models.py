from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pixelwise.architectures import list_architectures


def test_architectures_are_listed_with_their_options(pixelwise: Callable) -> None:
    text = pixelwise("architectures").out
    for item in list_architectures():
        assert item.name in text
        for option in item.options:
            assert option.name in text
    listed = json.loads(pixelwise("architectures", "--json").out)
    assert [item["name"] for item in listed] == [item.name for item in list_architectures()]


def test_info_describes_a_network(pixelwise: Callable) -> None:
    result = pixelwise("info", "--model", "unet", "--classes", 19, "--layers")
    assert result.status == 0, result.err
    assert "31,391,891" in result.out
    assert "receptive field" in result.out
    found = json.loads(pixelwise("info", "--model", "ddunet", "--classes", 19, "--json").out)
    assert found["parameters"] == 10_805_267


def test_info_needs_one_thing(pixelwise: Callable, tmp_path: Path) -> None:
    assert pixelwise("info").status == 2
    assert pixelwise("info", tmp_path / "m", "--model", "unet").status == 2
    missing = pixelwise("info", tmp_path / "m.safetensors")
    assert missing.status == 1
    assert "m.safetensors" in missing.err
