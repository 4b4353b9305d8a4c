"""Summary of a network before training: parameters, operations, memory and receptive field."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.receptive_field import measure_receptive_field


@dataclass(frozen=True)
class Layer:
    """One layer that computes, in the order of the first call.

    Attributes
    ----------
    name : str
        Path of the module in the network.
    kind : str
        Class of the module.
    output_shape : tuple of int
        (C, Y, X) of its output for one image of the summary's size.
    parameters : int
        Parameters of the layer.
    calls : int
        Number of calls in one forward pass; more than 1 for recurrent layers.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    calls: int


@dataclass(frozen=True)
class Summary:
    """Cost and receptive field of a network.

    Attributes
    ----------
    layers : tuple of Layer
        The layers that compute.
    parameters, trainable_parameters : int
        All parameters, with shared ones counted once, and those not frozen.
    multiply_adds : int
        Multiplications with an addition for one image.
    activation_bytes : int
        What autograd keeps for one training batch in fp32, without parameters.
    receptive_field_px : int or None
        Side of the square that one output pixel depends on; None: the whole image.
    in_channels : int
    input_size : tuple of int
        (Y, X) of the image for which operations and memory are counted.
    batch_size : int
        Images in the training batch.
    """

    layers: tuple[Layer, ...]
    parameters: int
    trainable_parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field_px: int | None
    in_channels: int
    input_size: tuple[int, int]
    batch_size: int


def summarize(
    network: SegmentationNetwork, input_size: tuple[int, int] = (256, 256), *, batch_size: int = 8
) -> Summary:
    """Summarise a network without computing anything on images.

    Shapes, operations and memory come from a copy on torch's meta device, which has no data.

    Parameters
    ----------
    network : SegmentationNetwork
        Not changed; on any device.
    input_size : tuple of int
        (Y, X) in pixels, from the network's `smallest_px` up.
    batch_size : int
        Images in a training batch, 2 or more.

    Raises
    ------
    DataError
        `input_size` is too small for the network.
    """
    hollow = _copy_to_meta(network)
    layers, operations = _trace(hollow, input_size)
    return Summary(
        layers=layers,
        parameters=sum(p.numel() for p in network.parameters()),
        trainable_parameters=sum(p.numel() for p in network.parameters() if p.requires_grad),
        multiply_adds=operations // 2,
        activation_bytes=_count_saved_bytes(hollow, input_size, batch_size=batch_size),
        receptive_field_px=measure_receptive_field(hollow),
        in_channels=network.in_channels,
        input_size=input_size,
        batch_size=batch_size,
    )


def count_activation_bytes(
    network: SegmentationNetwork, input_size: tuple[int, int], *, batch_size: int
) -> int:
    """Count what autograd keeps for one training batch, as `Summary.activation_bytes`."""
    with torch.inference_mode(False), torch.enable_grad():  # also if called during validation
        return _count_saved_bytes(_copy_to_meta(network), input_size, batch_size=batch_size)


def _copy_to_meta(network: SegmentationNetwork) -> SegmentationNetwork:
    """Copy the network without its data, which needs no memory."""
    hollow: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        for parameter in network.parameters()
    }
    hollow |= {id(buffer): buffer.to("meta") for buffer in network.buffers()}
    return copy.deepcopy(network, hollow)


def _create_batch(network: SegmentationNetwork, number: int, size: tuple[int, int]) -> torch.Tensor:
    return torch.empty(number, network.in_channels, *size, device="meta")


def _trace(
    network: SegmentationNetwork, input_size: tuple[int, int]
) -> tuple[tuple[Layer, ...], int]:
    """Return the layers called for one image, and its floating-point operations."""
    calls: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    network.eval()
    counter = FlopCounterMode(display=False)
    with _observed(network, calls, shapes=shapes), counter, torch.no_grad():
        network(_create_batch(network, 1, input_size))
    modules = dict(network.named_modules())
    layers = (
        Layer(
            name=name,
            kind=type(modules[name]).__name__,
            output_shape=shape,
            parameters=sum(p.numel() for p in modules[name].parameters()),
            calls=calls[name],
        )
        for name, shape in shapes.items()
    )
    return tuple(layers), counter.get_total_flops()


@contextmanager
def _observed(
    network: nn.Module, calls: dict[str, int], *, shapes: dict[str, tuple[int, ...]]
) -> Iterator[None]:
    """Record the calls and the output shape of each layer without children."""

    def create_observer(name: str) -> Any:
        def observe(_: nn.Module, __: Any, output: Any) -> None:
            output = output[0] if isinstance(output, tuple | list) else output
            calls[name] = calls.get(name, 0) + 1
            shapes.setdefault(name, tuple(output.shape[1:]))

        return observe

    leaves = ((name, m) for name, m in network.named_modules() if not list(m.children()))
    hooks = [leaf.register_forward_hook(create_observer(name)) for name, leaf in leaves]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _count_saved_bytes(
    network: SegmentationNetwork, input_size: tuple[int, int], *, batch_size: int
) -> int:
    """Count the bytes that one training pass keeps for its gradients, each memory once."""
    own = {_address(parameter) for parameter in network.parameters()}
    saved: dict[int, torch.Tensor] = {}  # kept alive, so that no two share an address

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if _address(tensor) not in own:
            saved.setdefault(_address(tensor), tensor)
        return tensor

    network.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = network(_create_batch(network, batch_size, input_size))
    del outputs
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _address(tensor: torch.Tensor) -> int:
    """Return what tells one memory from another, also on the meta device, where data has none."""
    return int(StorageWeakRef(tensor.untyped_storage()).cdata)  # type: ignore[no-untyped-call]
