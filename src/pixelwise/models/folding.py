"""Folds batch normalisation into the convolution before it: the same result in one pass less.

In eval mode a batch norm is a scale and an offset per channel, which can be merged into the weights
of a convolution (Jacob et al. 2018, section 3.2). Running the network once shows which norm follows
which convolution; comparing the outputs verifies it.
"""

from __future__ import annotations

import copy
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pixelwise.models.network import SegmentationNetwork

_TOLERANCE: Final = 1e-4
"""Largest accepted change of a probability: rounding gives 1e-6, a wrong pair far more."""


def fold_batch_norms(network: SegmentationNetwork) -> tuple[SegmentationNetwork, int]:
    """Return a copy with batch norms folded into the convolutions before them, and their number.

    Parameters
    ----------
    network : SegmentationNetwork
        In eval mode, on the CPU; not modified. It is returned itself if nothing can be folded, or
        if the copy's output differs. Norms after an activation or a sum are kept, and so are
        convolutions that are used several times, as in R2U-Net.
    """
    side = max(network.smallest_px, network.stride)
    example = torch.rand(
        2, network.in_channels, side, side, generator=torch.Generator().manual_seed(0)
    )
    pairs = _find_pairs(network, example)
    if not pairs:
        return network, 0
    folded = copy.deepcopy(network)
    modules = dict(folded.named_modules())
    for conv_name, norm_name in pairs:
        conv, norm = modules[conv_name], modules[norm_name]
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight,
            conv.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        parent, _, name = norm_name.rpartition(".")
        setattr(modules[parent], name, nn.Identity())
    with torch.no_grad():
        change = network(example).softmax(dim=1) - folded(example).softmax(dim=1)
    return (folded, len(pairs)) if float(change.abs().max()) < _TOLERANCE else (network, 0)


def _find_pairs(network: SegmentationNetwork, example: Tensor) -> list[tuple[str, str]]:
    """Names of convolutions, each with the batch norm that takes only its output."""
    names = {module: name for name, module in network.named_modules()}
    made: dict[int, tuple[nn.Module, int]] = {}
    kept: list[Tensor] = []  # so that ids are not reused
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[nn.Module, nn.Module]] = []

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = module, output._version
            kept.append(output)
        elif id(inputs[0]) in made and module.running_mean is not None:
            conv, version = made[id(inputs[0])]
            if inputs[0]._version == version:  # no activation has changed it in place
                pairs.append((conv, module))

    hooks = [
        module.register_forward_hook(watch)
        for module in names
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        network(example)
    for hook in hooks:
        hook.remove()
    return [(names[a], names[b]) for a, b in pairs if calls[a] == calls[b] == 1]
