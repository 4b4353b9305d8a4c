"""The networks of segmentation-models-pytorch: options, encoders, and clear refusals."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from pixelwise.architectures import list_architectures
from pixelwise.errors import ConfigError, UnknownNameError
from pixelwise.models.network import NetworkSpec
from pixelwise.models.registry import create_model
from pixelwise.models.smp import (
    _ARCHITECTURES,
    _translate,
    create_encoder,
    create_network,
    list_encoders,
)

SIZES = {"in_channels": 3, "classes": 2}


@pytest.mark.parametrize("architecture", list_architectures(), ids=lambda a: a.name)
def test_options_and_defaults_are_smps(architecture: Any) -> None:
    if architecture.name not in _ARCHITECTURES or architecture.name in ("unet", "unetplusplus"):
        pytest.skip("its options are the project's own")
    accepted = inspect.signature(_ARCHITECTURES[architecture.name].__init__).parameters  # type: ignore[misc]
    for name, value in _translate(architecture.name, architecture.defaults).items():
        if name not in ("decoder_atrous_rates", "dynamic_img_size"):
            assert accepted[name].default == value


def test_the_decoder_is_smps_own() -> None:
    torch.manual_seed(0)
    ours = create_network(
        NetworkSpec("fpn", encoder="resnet18", options={"dropout": 0.0}, **SIZES)
    ).eval()
    torch.manual_seed(0)
    theirs = smp.FPN("resnet18", encoder_weights=None, decoder_dropout=0.0, **SIZES).eval()
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(image), theirs(image))
    assert set(ours.state_dict()) == set(theirs.state_dict())


@pytest.mark.parametrize("name", ["unet", "unetplusplus", "fpn"])
def test_running_statistics_follow_short_trainings(name: str) -> None:
    with torch.device("meta"):
        network = create_model(name, encoder="efficientnet-b0")
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) > 30
    assert {norm.momentum for norm in norms} == {0.1}


@pytest.mark.parametrize(("stride", "rates"), [(8, {12, 24, 36}), (16, {6, 12, 18})])
@pytest.mark.parametrize("name", ["deeplabv3", "deeplabv3plus"])
def test_dilation_follows_the_stride(name: str, stride: int, rates: set[int]) -> None:
    options = {"output_stride": stride, "decoder_channels": 16, "dropout": 0.5}
    network = create_network(NetworkSpec(name, encoder="mobilenet_v2", options=options, **SIZES))
    convolutions = [c for c in network.decoder.modules() if isinstance(c, nn.Conv2d)]
    assert {c.dilation[0] for c in convolutions} - {1} == rates
    assert network.stride == stride
    assert network.encoder(torch.zeros(1, 3, 64, 64))[-1].shape[-1] == 64 // stride
    assert network(torch.zeros(2, 3, 75, 64)).shape == (2, 2, 75, 64)


@pytest.mark.parametrize("stride", [8, 16])
def test_aligned_xception_can_be_dilated(stride: int) -> None:
    options = {"output_stride": stride, "decoder_channels": 16, "dropout": 0.5}
    network = create_network(
        NetworkSpec("deeplabv3", encoder="tu-xception41", options=options, **SIZES)
    )
    assert network.encoder(torch.zeros(1, 3, 64, 64))[-1].shape[-1] == 64 // stride


@pytest.mark.parametrize(
    ("name", "encoder"),
    [("deeplabv3", "xception"), ("deeplabv3plus", "densenet121"), ("pan", "vgg11")],
)
def test_encoders_that_refuse_dilation_are_named(name: str, encoder: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} .*{encoder}.*tu-xception41, tu-xception65"):
        create_network(NetworkSpec(name, encoder=encoder, options={}, **SIZES))


def test_misfits_are_refused() -> None:
    with pytest.raises(ConfigError, match="linknet cannot be built on the encoder 'mit_b0'"):
        create_network(NetworkSpec("linknet", encoder="mit_b0", options={}, **SIZES))
    with pytest.raises(ConfigError, match="cannot be built on the encoder"):
        create_encoder("tu-vit_tiny_patch16_224", 3)


@pytest.mark.parametrize(
    ("encoder", "near"),
    [
        ("mobilenet_v3", "mobilenet_v2"),
        ("resnet-34", "resnet34"),
        ("timm-efficientnet-b0", "efficientnet-b0"),
        ("tu-xceptoin65", "tu-xception65"),
    ],
)
def test_unknown_encoders_are_refused_with_near_names(encoder: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"{encoder}.*Did you mean .*'{near}'"):
        create_network(NetworkSpec("unet", encoder=encoder, options={}, **SIZES))
    with pytest.raises(UnknownNameError):
        create_encoder(encoder, 3)


def test_a_name_near_to_nothing_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"no network for the encoder 'tu-0'\. timm"):
        create_encoder("tu-0", 3)
    with pytest.raises(UnknownNameError, match="architecture of smp"):
        create_network(NetworkSpec("segnet", encoder="resnet18", options={}, **SIZES))


def test_deprecated_encoders_are_not_listed() -> None:
    assert "mobilenet_v2" in list_encoders()
    assert not any(name.startswith("timm-") for name in list_encoders())
