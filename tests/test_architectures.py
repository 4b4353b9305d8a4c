"""The list of networks: what it says of itself, and how it reads and refuses options."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.architectures import (
    Architecture,
    Option,
    OptionValue,
    find_architecture,
    list_architectures,
)
from pixelwise.errors import ConfigError, UnknownNameError

ALL = pytest.mark.parametrize("architecture", list_architectures(), ids=lambda a: a.name)
OPTIONS = [(a, option) for a in list_architectures() for option in a.options]


def test_the_six_come_first() -> None:
    names = [architecture.name for architecture in list_architectures()]
    assert names[:6] == ["unet", "unetplusplus", "segnet", "deeplabv3", "r2unet", "ddunet"]
    assert len(set(names)) == len(names)


@ALL
def test_every_architecture_describes_itself(architecture: Architecture) -> None:
    assert architecture.sentence.endswith(".")
    assert architecture.title
    assert architecture.source
    assert architecture.default_encoder in (None, *architecture.encoders)


@ALL
def test_architectures_can_be_written_as_json(architecture: Architecture) -> None:
    assert json.loads(json.dumps(dataclasses.asdict(architecture)))["name"] == architecture.name


@pytest.mark.parametrize(
    ("architecture", "option"), OPTIONS, ids=[f"{a.name}-{o.name}" for a, o in OPTIONS]
)
def test_defaults_are_values_the_option_takes(architecture: Architecture, option: Option) -> None:
    assert option.parse(option.default) == option.default
    assert option.help
    if not isinstance(option.default, tuple):
        assert option.parse(str(option.default)) == option.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("base_channels", "16", 16),
        ("dropout", "0.05", 0.05),
        ("up", "transposed", "transposed"),
    ],
)
def test_text_is_read(name: str, text: str, value: OptionValue) -> None:
    assert find_architecture("unet").parse_options({name: text})[name] == value


@pytest.mark.parametrize("text", ["none", "None", None])
def test_none_is_read(text: str | None) -> None:
    assert find_architecture("r2unet").parse_options({"norm": text})["norm"] is None


@given(st.lists(st.integers(1, 4), min_size=1), st.sampled_from(["+", ",", " ", ", "]))
def test_lists_of_integers_are_read(levels: list[int], separator: str) -> None:
    option = Option("levels", (3, 4), "Levels", low=1, high=4)
    assert option.parse(separator.join(map(str, levels))) == tuple(levels)
    assert option.parse(levels) == tuple(levels)


@pytest.mark.parametrize(
    ("architecture", "option", "value", "expected"),
    [
        ("unet", "depth", 0, "an integer from 1 to 5"),
        ("unet", "depth", "deep", "an integer from 1 to 5"),
        ("unet", "dropout", 1.5, "a number from 0 to 0.9"),
        ("unet", "up", "cubic", "one of bilinear, nearest, transposed"),
        ("unetplusplus", "deep_supervision", "perhaps", "true or false"),
        ("ddunet", "dilated_encoder", (5,), "integers, such as 3+4, from 1 to 4"),
        ("ddunet", "dilated_encoder", "deep", "integers, such as 3+4, from 1 to 4"),
        ("deeplabv3", "output_stride", 32, "one of 8, 16"),
    ],
)
def test_wrong_values_are_refused_with_what_is_expected(
    architecture: str, option: str, value: object, expected: str
) -> None:
    message = f"{option!r} must be {expected}; got {value!r}."
    with pytest.raises(ConfigError, match=re.escape(message)):
        find_architecture(architecture).parse_options({option: value})


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no option 'width'. It has: base_channels, depth, up"):
        find_architecture("unet").parse_options({"width": 3})
    with pytest.raises(ConfigError, match="It has: none"):
        find_architecture("linknet").parse_options({"width": 3})


def test_missing_options_get_their_defaults() -> None:
    architecture = find_architecture("unet")
    assert architecture.parse_options({"depth": 3}) == architecture.defaults | {"depth": 3}


def test_an_unknown_architecture_is_refused_with_near_names() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'segnet'"):
        find_architecture("seg-net")


def test_encoders_are_given_where_they_belong() -> None:
    assert find_architecture("unet").parse_encoder(None) is None
    assert find_architecture("unetplusplus").parse_encoder(None) == "efficientnet-b4"
    assert find_architecture("fpn").parse_encoder("resnet50") == "resnet50"
    assert not find_architecture("segnet").takes_encoder
    with pytest.raises(ConfigError, match=r"SegNet .* own encoder.*unet"):
        find_architecture("segnet").parse_encoder("resnet50")
