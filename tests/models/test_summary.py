"""What a network costs: against sums by hand, and against what torch really keeps."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from pixelwise.errors import DataError
from pixelwise.models.network import SegmentationNetwork, freeze_encoder
from pixelwise.models.registry import create_model
from pixelwise.models.summary import count_activation_bytes, summarize


class Tiny(SegmentationNetwork):
    """Two convolutions, the first applied twice."""

    def __init__(self) -> None:
        super().__init__(4, 2, stride=1)
        self.encoder = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(4, 2, 1)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.relu(self.encoder(self.encoder(image))))
        return found


def test_a_small_network_by_hand() -> None:
    summary = summarize(Tiny(), (40, 50), batch_size=3)
    pixels = 40 * 50
    assert summary.parameters == summary.trainable_parameters == 4 * 4 * 9 + 4 + 4 * 2 + 2
    assert summary.multiply_adds == pixels * (2 * 4 * 4 * 9 + 4 * 2)
    # The image, the map between the two applications, and the map after the activation.
    assert summary.activation_bytes == 3 * 3 * 4 * pixels * 4
    assert summary.receptive_field_px == 5
    assert [(layer.name, layer.kind, layer.calls) for layer in summary.layers] == [
        ("encoder", "Conv2d", 2),
        ("relu", "ReLU", 1),
        ("head", "Conv2d", 1),
    ]
    assert [layer.output_shape for layer in summary.layers] == [
        (4, 40, 50), (4, 40, 50), (2, 40, 50),
    ]  # fmt: skip
    assert [layer.parameters for layer in summary.layers] == [148, 0, 10]


def test_a_validation_can_ask_what_a_training_keeps() -> None:
    with torch.inference_mode():
        counted = count_activation_bytes(Tiny(), (40, 50), batch_size=3)
    assert counted == summarize(Tiny(), (40, 50), batch_size=3).activation_bytes


CASES = [
    ("unet", {"base_channels": 4}),
    ("unet", {"encoder": "mobilenet_v2"}),
    ("unetplusplus", {"encoder": "resnet18", "deep_supervision": True}),
    ("segnet", {"base_channels": 4}),
    ("r2unet", {"base_channels": 4}),
    ("ddunet", {"base_channels": 4}),
    ("deeplabv3plus", {}),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_memory_is_what_torch_keeps(name: str, options: dict[str, object]) -> None:
    network = create_model(name, **options)
    own = {parameter.data_ptr() for parameter in network.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in own:
            kept[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = network(torch.randn(2, 3, 64, 64))
    del outputs
    expected = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    found = summarize(network, (64, 64), batch_size=2).activation_bytes
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("name", "options"), CASES[::3], ids=str)
def test_memory_grows_with_the_batch(name: str, options: dict[str, object]) -> None:
    network = create_model(name, **options)
    small, large = (summarize(network, (64, 64), batch_size=n) for n in (2, 8))
    assert small.multiply_adds == large.multiply_adds
    assert 3 * small.activation_bytes < large.activation_bytes <= 4 * small.activation_bytes


@pytest.mark.parametrize(("name", "options"), CASES[::3], ids=str)
def test_layers_add_up(name: str, options: dict[str, object]) -> None:
    summary = summarize(create_model(name, **options), (64, 64))
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters
    assert len({layer.name for layer in summary.layers}) == len(summary.layers)


def test_the_u_net_is_as_costly_as_published() -> None:
    summary = summarize(create_model("unet", classes=19), (256, 256))
    assert summary.parameters == 31_391_891
    assert 50e9 < summary.multiply_adds < 60e9
    assert {layer.calls for layer in summary.layers if layer.kind == "Conv2d"} == {1}


def test_recurrent_layers_are_counted_by_call() -> None:
    once, thrice = (
        summarize(create_model("r2unet", base_channels=2, t=t), (64, 64)) for t in (1, 3)
    )
    assert thrice.multiply_adds > 2 * once.multiply_adds
    calls = {layer.calls for layer in thrice.layers if layer.name.endswith("recurrent.0.conv")}
    assert calls == {3}


def test_config_base_parameters_are_told_apart() -> None:
    network = create_model("unet", base_channels=2)
    freeze_encoder(network)
    summary = summarize(network, (64, 64))
    frozen = sum(parameter.numel() for parameter in network.encoder_parameters())
    assert summary.parameters - summary.trainable_parameters == frozen > 0


def test_the_network_is_left_as_it_was() -> None:
    network = create_model("unet", base_channels=2).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    summarize(network, (64, 64))
    assert not network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(layer._forward_hooks for layer in network.modules())


def test_small_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="32 x 32"):
        summarize(create_model("unet", base_channels=2), (16, 64))


@pytest.mark.parametrize("name", ["r2unet", "unetplusplus", "segformer"])
def test_summaries_are_quick(name: str) -> None:
    network = create_model(name)
    start = time.process_time()
    summarize(network)
    assert time.process_time() - start < 10
