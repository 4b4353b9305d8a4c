"""How far a network sees: the receptive field of one output pixel, found by differentiation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pixelwise.models.devices import using_cores
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.segnet import Unpool

SIZES_PX = (256, 512, 1024, 2048, 4096)


class _SeesEverything(Exception):  # noqa: N818 - not an error, but the answer
    """The network combines all pixels of the image, by global pooling or attention."""


def measure_receptive_field(network: SegmentationNetwork) -> int | None:
    """Measure the receptive field along one axis in pixels; None: the whole image.

    The network is made linear: convolutions average, maxima become means, unpooling fills its
    window, activations and normalisations do nothing. Then an output pixel depends on the input
    pixels with a gradient; all terms are positive, so none cancel. It is also made one-dimensional,
    so that a column one pixel wide is enough, which is very fast.

    The field depends on the position of the output pixel in the network's grid of `stride` pixels:
    the largest is returned. Attention counts as the whole image, and so do fields larger than 4096
    pixels. The weights are not used, so the network may be on the meta device.
    """
    if any(hasattr(layer, "num_heads") for layer in network.modules()):
        return None
    was_training = network.training
    network.eval()
    try:
        with using_cores(1):  # ten times faster for such small tensors
            fields = (_measure_in_column(network, size_px) for size_px in SIZES_PX)
            return next((field_px for field_px in fields if field_px is not None), None)
    except _SeesEverything:
        return None
    finally:
        network.train(was_training)


def _measure_in_column(network: SegmentationNetwork, size_px: int) -> int | None:
    """Measure in a column of `size_px` rows; None if the field reaches one of its ends."""
    column = torch.ones(1, network.in_channels, size_px, 1, dtype=torch.float64)
    column.requires_grad_()
    with _filled_unpooling(network), _Linear():
        logits = network.logits(column)
    middle = size_px // 2
    largest = 0
    for row in range(middle, middle + network.stride):
        first, last = _find_extent(torch.as_tensor(logits)[0, 0, row, 0], column)
        if first < network.stride or last >= size_px - network.stride:
            return None
        largest = max(largest, last - first + 1)
    return largest


def _find_extent(output: torch.Tensor, column: torch.Tensor) -> tuple[int, int]:
    """Return the first and last row of the column (1, C, Y, 1) that a scalar depends on."""
    (gradient,) = torch.autograd.grad(output, column, retain_graph=True)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    return int(rows[0]), int(rows[-1])


@contextmanager
def _filled_unpooling(network: nn.Module) -> Iterator[None]:
    """Make every unpooling of the network fill its whole window."""
    hooks = [
        layer.register_forward_hook(lambda _, args, __: F.interpolate(args[0], scale_factor=(2, 1)))
        for layer in network.modules()
        if isinstance(layer, Unpool)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Linear(TorchFunctionMode):
    """While active, torch's functions are linear, with the same reach, and only along Y."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        rule = _RULES.get(getattr(func, "__name__", ""), func)
        return rule(*args, **(kwargs or {}))


def _along_y(value: Any, other: int) -> Any:
    """Return the setting (Y, X) with `other` for X; a word such as "same" stays."""
    if isinstance(value, str):
        return value
    return (value[0] if isinstance(value, tuple | list) else value, other)


_GEOMETRY = {"stride": 1, "padding": 0, "output_padding": 0}


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


def _average(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a convolution's arguments into those of an average over channels and taps.

    Dilated kernels get taps in between: gaps could hide that the field reaches the column's end.
    """
    image = given["input"]
    taps = 1 + (given["weight"].shape[2] - 1) * _along_y(given.get("dilation", 1), 1)[0]
    geometry = {
        name: _along_y(given[name], other) for name, other in _GEOMETRY.items() if name in given
    }
    kernel = image.new_full((1, 1, taps, 1), 1 / taps)
    return {"input": image.mean(dim=1, keepdim=True), "weight": kernel, **geometry}


def _apply_linear(values: torch.Tensor, weight: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    mean = values.mean(dim=-1, keepdim=True)
    return mean.repeat(*(1 for _ in values.shape[:-1]), weight.shape[0])


def _pool(values: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
    names = ("kernel_size", "stride", "padding")
    given = dict(zip(names, args, strict=False)) | named
    kernel = given["kernel_size"]
    return F.avg_pool2d(
        values,
        _along_y(kernel, 1),
        stride=_along_y(given.get("stride") or kernel, 1),
        padding=_along_y(given.get("padding", 0), 0),
        ceil_mode=given.get("ceil_mode", False),
    )


def _pool_with_indices(
    values: torch.Tensor, *args: Any, **named: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    pooled = _pool(values, *args, **named)
    return pooled, torch.zeros_like(pooled, dtype=torch.int64)


def _interpolate(values: torch.Tensor, size: Any = None, *args: Any, **named: Any) -> torch.Tensor:
    factor = args[0] if args else named.pop("scale_factor", None)
    return F.interpolate(
        values,
        size=None if size is None else _along_y(size, 1),
        scale_factor=None if factor is None else _along_y(factor, 1),
        mode=named.get("mode", "nearest"),
        align_corners=named.get("align_corners"),
    )


def _pad(values: torch.Tensor, amounts: Any, *args: Any, **named: Any) -> torch.Tensor:
    return F.pad(values, (0, 0, *amounts[2:]), *args, **named)


def _take_mean(values: torch.Tensor, *args: Any, **named: Any) -> torch.Tensor:
    dims = args[0] if args else named.get("dim")
    dims = dims if isinstance(dims, tuple | list) else (dims,)
    if any(dim in (None, 2, 3, -1, -2) for dim in dims):
        raise _SeesEverything
    return torch.mean(values, *args, **named)


def _keep(values: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return values


def _stop(*_: Any, **__: Any) -> None:
    raise _SeesEverything


# By name, so that functions, methods and torch's own kernels are treated alike.
_RULES: dict[str, Callable[..., Any]] = {
    "conv2d": _convolve,
    "conv_transpose2d": _convolve_transposed,
    "linear": _apply_linear,
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "max_pool2d_with_indices": _pool_with_indices,
    "interpolate": _interpolate,
    "pad": _pad,
    "mean": _take_mean,
    **dict.fromkeys(("batch_norm", "layer_norm", "dropout", "log_softmax"), _keep),
    **dict.fromkeys(("relu", "relu_", "relu6", "hardtanh", "leaky_relu", "elu", "gelu"), _keep),
    **dict.fromkeys(("silu", "mish", "hardswish", "hardsigmoid", "sigmoid", "tanh"), _keep),
    **dict.fromkeys(("group_norm", "instance_norm"), _stop),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d", "softmax"), _stop),
}
