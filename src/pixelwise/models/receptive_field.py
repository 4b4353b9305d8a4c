"""How far a network sees: the receptive field of one output pixel, found by differentiation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.segnet import Unpool

LARGEST_PX = 2048


class _SeesEverything(Exception):  # noqa: N818 - no error: the answer
    """The network joins all pixels of the image, by global pooling or by attention."""


def measure_receptive_field(network: SegmentationNetwork) -> int | None:
    """Measure the receptive field along one axis in pixels; None: the whole image.

    The network is made linear: convolutions average, maxima become means, unpooling fills its
    window, activations and normalisations do nothing. Then the input pixels that one output
    pixel depends on are those with a gradient, and rounding hides none: all terms are positive.
    The field depends on where in the network's grid of `stride` pixels the output pixel lies;
    the largest is returned. The network's weights take no part and are not changed.

    Fields above 1900 pixels count as the whole image.

    Complexity: some passes over a strip of a few hundred pixels, none over an image.
    """
    size_px = 256
    was_training = network.training
    network.eval()
    try:
        while size_px <= LARGEST_PX:
            field_px = _measure_in_strip(network, size_px)
            if field_px is not None:
                return field_px
            size_px *= 2
    except _SeesEverything:
        pass
    finally:
        network.train(was_training)
    return None


def _measure_in_strip(network: SegmentationNetwork, size_px: int) -> int | None:
    """Measure in a strip of `size_px` rows; None if the field reaches an end of the strip."""
    width = -(-network.smallest_px // network.stride) * network.stride
    strip = torch.ones(1, network.in_channels, size_px, width, dtype=torch.float64)
    strip.requires_grad_()
    with _filled_unpooling(network), _Linear():
        logits = network.logits(strip)
    column = logits[0, 0, :, width // 2]
    middle = size_px // 2
    largest = 0
    for row in range(middle, middle + network.stride):
        first, last = _find_extent(column[row], strip)
        if first == 0 or last == size_px - 1:
            return None
        largest = max(largest, last - first + 1)
    return largest


def _find_extent(output: torch.Tensor, strip: torch.Tensor) -> tuple[int, int]:
    """Return the first and last row of the strip (1, C, Y, X) that a scalar depends on."""
    (gradient,) = torch.autograd.grad(output, strip, retain_graph=True)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    return int(rows[0]), int(rows[-1])


@contextmanager
def _filled_unpooling(network: nn.Module) -> Iterator[None]:
    """Let every unpooling of the network fill its whole window for a while."""
    hooks = [
        layer.register_forward_hook(lambda _, args, __: F.interpolate(args[0], scale_factor=2))
        for layer in network.modules()
        if isinstance(layer, Unpool)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Linear(TorchFunctionMode):
    """While active, torch's functions are replaced by linear ones of the same reach."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        rule = _RULES.get(getattr(func, "__name__", ""), func)
        return rule(*args, **(kwargs or {}))


def _keep(values: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return values


def _stop(*_: Any, **__: Any) -> None:
    raise _SeesEverything


def _convolve(*args: Any, **named: Any) -> torch.Tensor:
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = dict(zip(names, args, strict=False)) | named
    found = F.conv2d(**_average(given))
    return found.repeat(1, given["weight"].shape[0], 1, 1)


def _convolve_transposed(*args: Any, **named: Any) -> torch.Tensor:
    names = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    given = dict(zip(names, args, strict=False)) | named
    found = F.conv_transpose2d(**_average(given))
    return found.repeat(1, given["weight"].shape[1] * given.get("groups", 1), 1, 1)


def _average(given: dict[str, Any]) -> dict[str, Any]:
    """Turn a convolution's arguments into those of an average over channels and taps."""
    image, taps = given["input"], given["weight"].shape[2:]
    kernel = image.new_full((1, 1, *taps), 1 / taps.numel())
    geometry = {
        name: value
        for name, value in given.items()
        if name in ("stride", "padding", "output_padding", "dilation")
    }
    return {"input": image.mean(dim=1, keepdim=True), "weight": kernel, **geometry}


def _apply_linear(values: torch.Tensor, weight: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    mean = values.mean(dim=-1, keepdim=True)
    return mean.expand(*values.shape[:-1], weight.shape[0])


def _pool(values: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    given = dict(zip(names, args, strict=False)) | named
    wanted = ("kernel_size", "stride", "padding", "ceil_mode")
    return F.avg_pool2d(values, **{name: given[name] for name in wanted if name in given})


def _pool_with_indices(
    values: torch.Tensor, *args: Any, **named: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    pooled = _pool(values, *args, **named)
    return pooled, torch.zeros_like(pooled, dtype=torch.int64)


def _take_mean(values: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
    dims = args[0] if args else named.get("dim")
    dims = dims if isinstance(dims, tuple | list) else (dims,)
    if any(dim in (None, 2, 3, -1, -2) for dim in dims):
        raise _SeesEverything
    return torch.mean(values, *args, **named)


def _pool_adaptively(values: torch.Tensor, output_size: Any, **_: Any) -> torch.Tensor:
    if output_size in (1, (1, 1), [1, 1]):
        raise _SeesEverything
    return F.adaptive_avg_pool2d(values, output_size)


# By name, so that a function, a method and torch's own kernel are one.
_RULES: dict[str, Callable[..., Any]] = {
    "conv2d": _convolve,
    "conv_transpose2d": _convolve_transposed,
    "linear": _apply_linear,
    "max_pool2d": _pool,
    "max_pool2d_with_indices": _pool_with_indices,
    "mean": _take_mean,
    "adaptive_avg_pool2d": _pool_adaptively,
    **dict.fromkeys(
        ("group_norm", "instance_norm", "softmax", "scaled_dot_product_attention"), _stop
    ),
    **dict.fromkeys(("batch_norm", "layer_norm", "dropout", "log_softmax"), _keep),
    **dict.fromkeys(("relu", "relu_", "relu6", "hardtanh", "leaky_relu", "elu", "gelu"), _keep),
    **dict.fromkeys(("silu", "mish", "hardswish", "hardsigmoid", "sigmoid", "tanh"), _keep),
}
