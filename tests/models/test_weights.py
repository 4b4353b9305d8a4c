"""Pre-trained weights: from files made here, and what is said when they cannot be had."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders._utils import patch_first_conv
from torch import nn
from torchvision.models import VGG16_BN_Weights, mobilenet_v2
from torchvision.models.vgg import cfgs, make_layers

from pixelwise.errors import WeightsError
from pixelwise.models import weights
from pixelwise.models.registry import create_model
from pixelwise.models.smp import create_encoder
from pixelwise.models.weights import adapt_input_channels, find_download, read_weights

VGG16 = make_layers(cfgs["D"], batch_norm=True)


def distinct(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a state in which no tensor is as a fresh network has it."""
    return {
        name: torch.rand_like(value) + 0.5 if value.is_floating_point() else value
        for name, value in module.state_dict().items()
    }


def create_vgg16() -> dict[str, torch.Tensor]:
    """Return a state as torchvision's file has it, but for the size of its classifier."""
    features = {f"features.{name}": value for name, value in distinct(VGG16).items()}
    return {**features, "classifier.6.weight": torch.rand(1000, 2)}


def equal_but_for(
    first: str, found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> bool:
    """Return whether all tensors but the first convolution's are equal."""
    names = [n for n in found if n != first and not n.endswith("num_batches_tracked")]
    return bool(names) and all(torch.equal(found[name], expected[name]) for name in names)


@pytest.mark.parametrize(("channels", "suffix"), [(1, ".pth"), (3, ".pth"), (5, ".safetensors")])
def test_segnet_starts_from_vgg16(tmp_path: Path, channels: int, suffix: str) -> None:
    state = create_vgg16()
    path = tmp_path / f"vgg16_bn{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    found = create_model("segnet", channels, pretrained=path).encoder.state_dict()
    expected = {name.removeprefix("features."): value for name, value in state.items()}
    assert equal_but_for("0.weight", found, expected)
    assert torch.equal(found["0.weight"], adapt_input_channels(expected["0.weight"], channels))


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(
    "options",
    [
        {"name": "unet"},
        {"name": "unet", "up": "transposed"},
        {"name": "deeplabv3"},
        {"name": "pspnet"},
    ],
    ids=lambda options: "-".join(options.values()),
)
def test_encoders_start_from_torchvisions_file(
    tmp_path: Path, channels: int, options: dict[str, Any]
) -> None:
    state = distinct(mobilenet_v2())
    torch.save(state, tmp_path / "weights.pth")
    network = create_model(
        in_channels=channels,
        encoder="mobilenet_v2",
        pretrained=str(tmp_path / "weights.pth"),
        **options,
    )
    found = network.encoder.state_dict()
    first = "features.0.0.weight"
    assert equal_but_for(first, found, state)
    assert torch.equal(found[first], adapt_input_channels(state[first], channels))


@pytest.mark.parametrize(
    ("name", "channels"),
    [("tu-mobilenetv3_small_050", 1), ("tu-xception41", 3), ("tu-convnext_atto", 5)],
)
def test_timms_encoders_start_from_timms_file(tmp_path: Path, name: str, channels: int) -> None:
    state = distinct(timm.create_model(name.removeprefix("tu-")))
    save_file(state, tmp_path / "model.safetensors")
    path = tmp_path / "model.safetensors"
    network = create_model("unet", channels, encoder=name, pretrained=path)
    flat = {key.replace(".", "_"): value for key, value in state.items()}
    checked = 0
    for key, value in network.encoder.state_dict().items():
        expected = flat[key.removeprefix("model.").replace(".", "_")]
        if value.shape != expected.shape:
            expected = adapt_input_channels(expected, channels)
        assert torch.equal(value, expected)
        checked += 1
    assert checked > 50


def test_weights_under_old_names_are_read_by_their_library(tmp_path: Path) -> None:
    """DenseNet's published weights have other names, which smp translates."""
    encoder = create_encoder("densenet121", 3)
    state = distinct(encoder)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }
    assert set(old) - set(state)
    old |= {"classifier.weight": torch.rand(2, 2), "classifier.bias": torch.rand(2)}
    torch.save(old, tmp_path / "old.pth")
    network = create_model("unet", encoder="densenet121", pretrained=tmp_path / "old.pth")
    assert equal_but_for("", network.encoder.state_dict(), state)


@pytest.mark.parametrize("name", ["segnet", "ddunet", "unet", "r2unet"])
def test_a_whole_network_of_the_project_starts_another(tmp_path: Path, name: str) -> None:
    state = distinct(create_model(name, base_channels=2))
    save_file(state, tmp_path / "model.safetensors")
    network = create_model(name, base_channels=2, pretrained=tmp_path / "model.safetensors")
    expected = {key.removeprefix("encoder."): value for key, value in state.items()}
    assert equal_but_for("", network.encoder.state_dict(), expected)
    assert not torch.equal(network.head.weight, state["head.weight"])


def test_the_decoder_stays_random(tmp_path: Path) -> None:
    torch.save(distinct(create_encoder("resnet18", 3)), tmp_path / "weights.pth")
    torch.manual_seed(3)
    plain = create_model("unet", encoder="resnet18").decoder.state_dict()
    torch.manual_seed(3)
    started = create_model("unet", encoder="resnet18", pretrained=tmp_path / "weights.pth")
    assert equal_but_for("", started.decoder.state_dict(), plain)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_nested_states_are_read(tmp_path: Path, key: str) -> None:
    torch.save({key: {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "weights.pth")
    assert list(read_weights(tmp_path / "weights.pth")) == ["a"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 9])
def test_input_channels_are_adapted_as_smp_does(channels: int) -> None:
    convolution = nn.Conv2d(3, 4, 3, bias=False)
    weight = convolution.weight.detach().clone()
    patch_first_conv(nn.Sequential(convolution), channels)
    assert torch.equal(adapt_input_channels(weight, channels), convolution.weight)


@pytest.mark.parametrize("channels", [1, 3, 6, 9])
def test_grey_images_give_the_same_responses(channels: int) -> None:
    """An image that is the same in every channel must not look brighter or darker."""
    weight = torch.randn(4, 3, 3, 3)
    adapted = adapt_input_channels(weight, channels)
    assert torch.allclose(adapted.sum(1), weight.sum(1), atol=1e-5)


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save(distinct(create_encoder("resnet18", 3)), path)
    with pytest.raises(WeightsError, match=r"resnet.pth do not fit the encoder of mobilenet_v2: "):
        create_model("unet", encoder="mobilenet_v2", pretrained=path)
    with pytest.raises(WeightsError, match=r"do not fit the encoder of tu-xception41: \d+ of"):
        create_model("deeplabv3", encoder="tu-xception41", pretrained=path)
    with pytest.raises(WeightsError, match="do not fit the encoder of segnet"):
        create_model("segnet", pretrained=path)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    torch.save(create_vgg16(), tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match=r"\(64, 3, 3, 3\), the network needs \(8, 3, 3, 3\)"):
        create_model("segnet", base_channels=8, pretrained=tmp_path / "vgg.pth")


def test_a_file_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    state = distinct(create_encoder("mobilenet_v2", 3))
    del state["features.5.conv.2.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match=r"1 of \d+ tensors .* 'features.5.conv.2.weight'"):
        create_model("unet", encoder="mobilenet_v2", pretrained=tmp_path / "part.pth")


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights file .*absent.pth is missing"):
        read_weights(tmp_path / "absent.pth")


class Trap:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("code from a file of weights was run",))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02}q\x00."], ids=repr)
def test_damaged_files_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"damaged{suffix}"):
        read_weights(path)


def test_files_that_hold_code_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match="not a readable weights file"):
        read_weights(tmp_path / "trap.pth")


def test_files_without_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    for name in ("empty.pth", "list.pth"):
        with pytest.raises(WeightsError, match="has no named tensors"):
            read_weights(tmp_path / name)


# Downloads: no test reaches the network


def refuse(*_: Any, **__: Any) -> Any:
    raise URLError("Name or service not known")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "require_reachable", refuse)
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(weights, "get_dir", lambda: "/nowhere")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "encoder", "url"),
    [
        ("segnet", None, "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth"),
        ("unet", "mobilenet_v2", "https://huggingface.co/smp-hub/mobilenet_v2.imagenet/resolve/"),
        ("unetplusplus", None, "https://huggingface.co/smp-hub/efficientnet-b4.imagenet/resolve/"),
        ("unet", "dpn68b", "https://huggingface.co/smp-hub/dpn68b.imagenet-5k/resolve/"),
        ("deeplabv3", "tu-xception41", "https://huggingface.co/timm/xception41.tf_in1k/resolve/"),
    ],
)
def test_without_network_the_file_and_the_option_are_named(
    name: str, encoder: str | None, url: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        create_model(name, encoder=encoder, pretrained=True)
    assert f"Download {url}" in str(caught.value)
    assert "pretrained='FILE'" in str(caught.value)
    assert "--weights FILE" in str(caught.value)
    assert isinstance(caught.value.__cause__, URLError)


def test_downloads_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = distinct(create_encoder("mobilenet_v2", 3))
    save_file(state, tmp_path / "model.safetensors")
    asked = []

    def fetch(*args: Any, **named: Any) -> str:
        asked.append((*args, named["revision"]))
        return str(tmp_path / "model.safetensors")

    monkeypatch.setattr(weights, "require_reachable", lambda _: None)
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(weights, "hf_hub_download", fetch)
    network = create_model("fpn", pretrained=True)
    assert equal_but_for("", network.encoder.state_dict(), state)
    assert asked[0][:2] == ("smp-hub/mobilenet_v2.imagenet", "model.safetensors")


def test_segnets_download_is_torchvisions_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    state = create_vgg16()
    asked: dict[str, Any] = {}

    def fetch(url: str, **named: Any) -> dict[str, torch.Tensor]:
        asked.update(named, url=url)
        return state

    monkeypatch.setattr(weights, "require_reachable", lambda _: None)
    monkeypatch.setattr(weights, "load_state_dict_from_url", fetch)
    found = create_model("segnet", pretrained=True).encoder.state_dict()
    assert torch.equal(found["0.weight"], state["features.0.weight"])
    assert asked["url"] == VGG16_BN_Weights.IMAGENET1K_V1.url
    assert asked["weights_only"]
    assert asked["check_hash"]


@pytest.mark.parametrize("name", ["unet", "r2unet", "ddunet"])
def test_plain_networks_have_no_imagenet_weights(name: str) -> None:
    with pytest.raises(WeightsError, match=f"plain {name}. Choose an encoder"):
        create_model(name, base_channels=2, pretrained=True)


def test_timm_networks_without_weights_are_named() -> None:
    with pytest.raises(WeightsError, match=r"timm publishes no weights for 'xception41\.nothing'"):
        find_download("tu-xception41.nothing")
