"""The receptive field: against hand-made sums, interval arithmetic, and perturbed images."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.receptive_field import measure_receptive_field
from pixelwise.models.registry import create_model


class Stack(SegmentationNetwork):
    """A network made of layers in a row."""

    def __init__(self, *layers: nn.Module, stride: int = 1) -> None:
        super().__init__(1, 2, stride=stride)
        self.encoder = nn.Sequential(*layers)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.encoder(image)
        return found


def conv(kernel: int = 3, *, inputs: int = 2, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    reach = (kernel - 1) * dilation
    return nn.Conv2d(inputs, 2, kernel, stride=stride, dilation=dilation, padding=reach // 2)


@pytest.mark.parametrize(
    ("layers", "stride", "expected"),
    [
        ([conv(1, inputs=1)], 1, 1),
        ([conv(inputs=1)], 1, 3),
        ([conv(inputs=1), conv(), conv()], 1, 7),
        ([conv(5, inputs=1), nn.BatchNorm2d(2), nn.ReLU(), conv(7)], 1, 11),
        ([conv(inputs=1, dilation=4), conv(dilation=2)], 1, 13),
        ([conv(inputs=1), nn.MaxPool2d(2), conv(), nn.Upsample(scale_factor=2)], 2, 8),
        ([conv(inputs=1, stride=2), conv(stride=2), nn.Upsample(scale_factor=4)], 4, 7),
        ([conv(inputs=1, stride=2), nn.ConvTranspose2d(2, 2, 2, stride=2)], 2, 3),
        ([conv(inputs=1, stride=2), nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)], 2, 5),
        ([conv(inputs=1), nn.Sigmoid(), nn.Hardswish(), nn.ReLU6(), nn.SiLU()], 1, 3),
        ([nn.Conv2d(1, 2, 3, padding="same"), nn.AvgPool2d(3, 1, 1)], 1, 5),
    ],
    ids=str,
)
def test_stacks_by_hand(layers: list[nn.Module], stride: int, expected: int) -> None:
    assert measure_receptive_field(Stack(*layers, stride=stride)) == expected


class Gated(Stack):
    """Joins all pixels as squeeze-and-excitation does, by a plain mean."""

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        found = super().logits(image)
        return found * found.mean((2, 3), keepdim=True).sigmoid()


@pytest.mark.parametrize(
    "network",
    [
        Stack(conv(inputs=1), nn.AdaptiveAvgPool2d(1), nn.Upsample(scale_factor=64)),
        Stack(conv(inputs=1), nn.GroupNorm(1, 2)),
        Gated(conv(inputs=1)),
        Stack(*(conv(5, inputs=1 + (i > 0), dilation=400) for i in range(3))),
    ],
    ids=["pooling", "group norm", "gate", "wide"],
)
def test_global_networks_see_the_whole_image(network: SegmentationNetwork) -> None:
    assert measure_receptive_field(network) is None


Interval = tuple[int, int]


def unite(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])


def find_seen_rows(row: int, depth: int, *, up: str) -> Interval:
    """Rows of the image that a row of a U-Net's output depends on, by interval arithmetic."""

    def grow(rows: Interval) -> Interval:  # two convolutions 3x3
        return rows[0] - 2, rows[1] + 2

    def encode(rows: Interval, level: int) -> Interval:
        rows = grow(rows)
        return rows if level == 0 else encode((2 * rows[0], 2 * rows[1] + 1), level - 1)

    def ascend(rows: Interval) -> Interval:
        if up == "nearest":
            return rows[0] // 2, rows[1] // 2
        # Transposed, 3x3, padding 1: input i reaches the outputs 2i - 1, 2i and 2i + 1.
        return math.ceil((rows[0] - 1) / 2), (rows[1] + 1) // 2

    def decode(rows: Interval, level: int) -> Interval:
        if level == depth:
            return encode(rows, level)
        rows = grow(rows)
        return unite(encode(rows, level), decode(ascend(rows), level + 1))

    return decode((row, row), 0)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("up", ["nearest", "transposed"])
def test_u_nets_by_interval_arithmetic(up: str, depth: int) -> None:
    fields = [find_seen_rows(row, depth, up=up) for row in range(2**depth)]
    expected = max(last - first + 1 for first, last in fields)
    network = create_model("unet", base_channels=1, depth=depth, up=up)
    assert measure_receptive_field(network) == expected


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {"depth": 2, "up": "bilinear"}),
        ("unet", {"depth": 2, "up": "transposed", "order": "norm-relu"}),
        ("r2unet", {"depth": 1}),
        ("ddunet", {"dilation": 2}),
        pytest.param("segnet", {}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_fields_of_real_networks(name: str, options: dict[str, object]) -> None:
    """The rows that pixels in the middle of random images really depend on."""
    network = create_model(name, 1, base_channels=4, **options).double().eval()
    field = measure_receptive_field(network)
    assert field is not None
    size, stride = (512 if field > 200 else 256), network.stride
    middle = range(size // 2, size // 2 + stride)
    seen = torch.zeros(stride, size, dtype=torch.bool)
    for _ in range(2):
        image = torch.randn(1, 1, size, 32, dtype=torch.float64, requires_grad=True)
        logits = network(image)
        for phase, row in enumerate(middle):
            pixel = logits[0, :, row].square().sum()
            (gradient,) = torch.autograd.grad(pixel, image, retain_graph=True)
            seen[phase] |= gradient[0, 0].any(dim=1)
    rows = [one.nonzero().flatten() for one in seen]
    widest = max(int(one[-1] - one[0]) + 1 for one in rows)
    # A maximum or an activation may hide the outermost rows, the more the deeper the network.
    assert field - 2 * stride <= widest <= field


@pytest.mark.parametrize(
    ("name", "options"),
    [("unet", {"depth": 2, "up": "nearest"}), ("ddunet", {}), ("r2unet", {"depth": 2})],
    ids=str,
)
def test_nothing_beyond_the_field_matters(name: str, options: dict[str, object]) -> None:
    network = create_model(name, 1, base_channels=2, **options).eval()
    field = measure_receptive_field(network)
    assert field is not None
    image = torch.randn(1, 1, 3 * 256, 32)
    changed = image.clone()
    middle = 3 * 128
    changed[0, 0, : middle - field] += 100
    changed[0, 0, middle + field :] += 100
    with torch.no_grad():
        before, after = network(image), network(changed)
    assert torch.equal(before[:, :, middle], after[:, :, middle])
    assert not torch.equal(before, after)


def test_widths_and_weights_take_no_part() -> None:
    fields = set()
    for channels in (1, 3, 64):
        with torch.device("meta"):
            network = create_model("r2unet", base_channels=channels)
        fields.add(measure_receptive_field(network))
    assert fields == {392}


def find_rows_seen_by_segnet(row: int) -> Interval:
    """Rows that a row of SegNet's output depends on: up through the decoder, down through VGG16."""
    first = last = row
    for convolutions in (1, 2, 3, 3, 3):
        first, last = (first - convolutions) // 2, (last + convolutions) // 2
    for convolutions in (3, 3, 3, 2, 2):
        first, last = 2 * first - convolutions, 2 * last + 1 + convolutions
    return first, last


def test_segnet_by_interval_arithmetic() -> None:
    network = create_model("segnet", base_channels=1)
    fields = [find_rows_seen_by_segnet(row) for row in range(32)]
    assert measure_receptive_field(network) == max(last - first + 1 for first, last in fields)
    assert not any(layer._forward_hooks for layer in network.modules())


def test_the_network_is_left_as_it_was() -> None:
    network = create_model("unet", base_channels=2).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    threads = torch.get_num_threads()
    measure_receptive_field(network)
    assert network.training
    assert torch.get_num_threads() == threads
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
