"""Every network by name: its size against the published one, and that it works on any image."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

from pixelwise.architectures import find_architecture, list_architectures
from pixelwise.errors import ConfigError, UnknownNameError
from pixelwise.models.ddunet import DDUNetForm
from pixelwise.models.network import SegmentationNetwork, freeze_encoder
from pixelwise.models.r2unet import R2UNetForm
from pixelwise.models.registry import create_model
from pixelwise.models.segnet import SegNetForm
from pixelwise.models.unet import UNetForm
from pixelwise.models.unetplusplus import UNetPlusPlusForm


@dataclass(frozen=True)
class Case:
    """A network as `create_model` is asked for it."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{o}={value}" for o, value in self.options.items())])

    def create(self, in_channels: int = 3, classes: int = 2) -> SegmentationNetwork:
        return create_model(self.name, in_channels, classes=classes, **self.options)


@dataclass(frozen=True)
class Size:
    """The parameters that a faithful network has."""

    case: Case
    classes: int
    parameters: int


SYSTEM_B = {"norm": None, "skip": "add"}
SIZES = [
    Size(Case("unet"), 19, 31_391_891),
    Size(Case("unetplusplus"), 2, 20_813_258),
    Size(Case("segnet"), 3, 29_443_203),
    Size(Case("deeplabv3"), 2, 12_648_194),
    Size(Case("deeplabv3", {"encoder": "tu-xception65"}), 2, 53_993_266),
    Size(Case("r2unet", SYSTEM_B), 19, 49_526_163),
    Size(Case("r2unet", {**SYSTEM_B, "t": 3}), 19, 49_526_163),
    Size(Case("ddunet"), 19, 10_805_267),
    Size(Case("ddunet", {"dilation": 1}), 19, 10_805_267),
]

SMALL = {"base_channels": 2}
LIGHT = {"encoder": "mobilenet_v2"}
SMALL_CASES = [
    Case("unet", {**SMALL}),
    Case("unet", {**SMALL, "depth": 5, "up": "nearest"}),
    Case("unet", {**SMALL, "up": "transposed", "order": "norm-relu", "dropout": 0.05}),
    Case("segnet", {**SMALL}),
    Case("r2unet", {**SMALL}),
    Case("r2unet", {**SMALL, **SYSTEM_B}),
    Case("r2unet", {**SMALL, "t": 3, "skip": "add", "depth": 3}),
    Case("ddunet", {**SMALL}),
    Case("ddunet", {**SMALL, "dilation": 2, "dilated_encoder": [2, 3, 4], "dilated_decoder": []}),
]
ENCODER_CASES = [
    Case("unet", {"encoder": "mobilenet_v2"}),
    Case("unet", {"encoder": "mobilenet_v2", "up": "transposed"}),
    Case("unet", {"encoder": "efficientnet-b0", "up": "nearest"}),
    Case("unetplusplus", LIGHT),
    Case("unetplusplus", {**LIGHT, "deep_supervision": True}),
    Case("deeplabv3", {"output_stride": 16}),
    Case("deeplabv3plus"),
    *(Case(name) for name in ("fpn", "pspnet", "dpt", "linknet", "pan", "segformer")),
    Case("manet", {"encoder": "mobilenet_v2"}),
    Case("upernet", {"decoder_channels": 32}),
]
SLOW_CASES = [
    *(Case(name) for name in ("unet", "unetplusplus", "segnet", "r2unet", "ddunet", "dpt")),
    *(Case("deeplabv3", {"encoder": f"tu-xception{depth}"}) for depth in (41, 65, 71)),
    Case("deeplabv3"),
    Case("r2unet", SYSTEM_B),
    Case("segformer", {"encoder": "mit_b0"}),
    Case("unet", {"encoder": "tu-convnext_tiny"}),
]
IMAGE_SIZES = [(256, 256), (128, 128), (211, 173)]
EVERY_IMAGE = list(product(IMAGE_SIZES, (1, 3, 5)))
# Each kind of size and each number of channels once for the principal networks, and in turn for
# others: even, as small as each of them takes, and odd. --slow has them larger.
SOME_IMAGES = list(zip([(160, 160), (128, 128), (171, 133)], (3, 1, 5), strict=True))
LARGE_IMAGES = list(zip(IMAGE_SIZES, (3, 1, 5), strict=True))
SOME_CASES = [
    *((case, *image) for case in ENCODER_CASES[:7] for image in SOME_IMAGES),
    *((case, *SOME_IMAGES[i % 3]) for i, case in enumerate(ENCODER_CASES[7:])),
]
LONG_CASES = [
    *((case, *image) for case in SLOW_CASES for image in LARGE_IMAGES),
    *((case, *image) for case in ENCODER_CASES for image in EVERY_IMAGE),
]


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def as_tuple(output: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


def run(network: SegmentationNetwork, size: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """Pass two images forward and backward, as the training loop does."""
    network.train()
    heads = as_tuple(network(torch.randn(2, network.in_channels, *size)))
    torch.stack([head.square().mean() for head in heads]).mean().backward()
    return heads


def check(case: Case, size: tuple[int, int], in_channels: int) -> None:
    network = case.create(in_channels, 3)
    heads = run(network, size)
    assert {tuple(head.shape) for head in heads} == {(2, 3, *size)}
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s.case}-{s.classes}")
def test_parameters_are_those_of_the_published_network(size: Size) -> None:
    with torch.device("meta"):
        assert count(size.case.create(3, size.classes)) == size.parameters


def test_a_plain_network_needs_no_library_of_encoders() -> None:
    """They take as long to load as torch itself."""
    code = """
import sys
from pixelwise.models.registry import create_model
create_model("unet", base_channels=2)
print(*{"segmentation_models_pytorch", "timm", "torchvision"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == ""


@pytest.mark.parametrize(("image", "channels"), EVERY_IMAGE, ids=str)
@pytest.mark.parametrize("case", SMALL_CASES, ids=str)
def test_small_networks_take_any_image(case: Case, image: tuple[int, int], channels: int) -> None:
    check(case, image, channels)


@pytest.mark.parametrize(("case", "image", "channels"), SOME_CASES, ids=str)
def test_networks_with_encoders_take_any_image(
    case: Case, image: tuple[int, int], channels: int
) -> None:
    check(case, image, channels)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "image", "channels"), LONG_CASES, ids=str)
def test_full_networks_take_any_image(case: Case, image: tuple[int, int], channels: int) -> None:
    check(case, image, channels)


@pytest.mark.parametrize("case", [*SMALL_CASES, *ENCODER_CASES], ids=str)
def test_evaluation_gives_one_map(case: Case) -> None:
    network = case.create(1).eval()
    size = (network.smallest_px, network.smallest_px + 9)
    with torch.no_grad():
        found = network(torch.randn(1, 1, *size))
    assert found.shape == (1, 2, *size)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("case", [*SMALL_CASES, *ENCODER_CASES[:7]], ids=str)
def test_the_same_seed_gives_the_same_training_step(case: Case) -> None:
    steps = []
    for _ in range(2):
        torch.manual_seed(7)
        network = case.create()
        heads = run(network, (64, 64))
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        steps.append([*network.state_dict().values(), *heads, *gradients])
    assert len(steps[0]) == len(steps[1])
    assert all(torch.equal(one, other) for one, other in zip(*steps, strict=True))


@pytest.mark.parametrize("case", [SMALL_CASES[0], ENCODER_CASES[0]], ids=str)
def test_another_seed_gives_other_weights(case: Case) -> None:
    torch.manual_seed(0)
    one = case.create().state_dict()
    torch.manual_seed(1)
    other = case.create().state_dict()
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("case", [*SMALL_CASES, *ENCODER_CASES], ids=str)
def test_every_encoder_can_be_frozen(case: Case) -> None:
    network = case.create()
    freeze_encoder(network)
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    size = network.smallest_px
    run(network, (size, size))
    after = network.encoder.state_dict()
    assert before
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in network.encoder_parameters())
    trainable = [p for p in network.parameters() if p.requires_grad]
    assert trainable
    assert all(p.grad is not None for p in trainable)


@pytest.mark.parametrize("case", [*SMALL_CASES, *ENCODER_CASES], ids=str)
def test_every_weight_has_one_name(case: Case) -> None:
    network = case.create()
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    assert len(names) == len(list(network.parameters()))
    assert any(name.startswith("encoder.") for name in names)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("unet", UNetForm),
        ("unetplusplus", UNetPlusPlusForm),
        ("segnet", SegNetForm),
        ("r2unet", R2UNetForm),
        ("ddunet", DDUNetForm),
    ],
)
def test_described_options_are_the_networks(name: str, form: type) -> None:
    defaults = {f.name: f.default for f in dataclasses.fields(form)}
    assert find_architecture(name).defaults == defaults


@pytest.mark.parametrize("architecture", list_architectures(), ids=lambda a: a.name)
def test_everything_described_can_be_built(architecture: Any) -> None:
    for encoder in (None, *architecture.encoders[:2]):
        # The mix transformer computes with numbers when it is made.
        with torch.device("cpu" if architecture.name == "segformer" else "meta"):
            network = create_model(architecture.name, classes=4, encoder=encoder)
        assert (network.in_channels, network.classes) == (3, 4)


def test_text_options_are_read() -> None:
    network = create_model("unet", base_channels="2", depth="2", up="transposed")
    assert network.stride == 4


def test_the_plain_options_have_no_meaning_with_an_encoder() -> None:
    with pytest.raises(ConfigError, match=r"'depth' belongs to the plain U-Net.*'resnet18'"):
        create_model("unet", encoder="resnet18", depth=3)
    create_model("unet", encoder="resnet18", depth=4)  # its default changes nothing


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (("unett", {}), UnknownNameError, "Did you mean 'unet'"),
        (("unet", {"encoder": "resnet19"}), UnknownNameError, "Did you mean 'resnet1"),
        (("segnet", {"encoder": "resnet18"}), ConfigError, "own encoder"),
        (("segnet", {"base": 3}), ConfigError, "It has: base_channels"),
        (("unet", {"classes": 1}), ConfigError, "one object class on a background is two"),
        (("unet", {"in_channels": 0}), ConfigError, "in_channels must be 1 or more"),
        (("unetplusplus", {"head": "5"}), ConfigError, "average, 1, 2, 3, 4"),
    ],
    ids=lambda value: str(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_built_is_refused(
    request_: tuple[str, dict[str, Any]], error: type[Exception], message: str
) -> None:
    name, options = request_
    with pytest.raises(error, match=message):
        create_model(name, **options)
