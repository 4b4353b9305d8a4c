"""Networks by name: `create_model` builds what `pixelwise.architectures` describes.

segmentation-models-pytorch, timm and torchvision take two seconds to load, as long as torch itself.
They are imported only if a network's module needs them, so a plain U-Net starts without.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from pixelwise.architectures import Architecture, find_architecture, list_architectures
from pixelwise.models.network import NetworkSpec, SegmentationNetwork

__all__ = ["Architecture", "create_model", "list_architectures"]


def create_model(
    name: str,
    in_channels: int = 3,
    *,
    classes: int = 2,
    encoder: str | None = None,
    pretrained: bool | str | Path = False,
    **options: object,
) -> SegmentationNetwork:
    """Create a network for images (N, in_channels, Y, X) of any size from 32 pixels up.

    Weights are random from torch's global generator: the same seed gives the same weights.

    Parameters
    ----------
    name : str
        Architecture: see `list_architectures`.
    in_channels : int
        Channels of the image.
    classes : int
        Number of classes including background: 2 or more.
    encoder : str or None
        Encoder of segmentation-models-pytorch, or of timm as ``tu-<name>``; None: the default.
    pretrained : bool, str or Path
        True: start the encoder from ImageNet weights, by download. A path: from that file.
    **options
        Options of the architecture.

    Returns
    -------
    SegmentationNetwork
        In training mode; it returns logits (N, classes, Y, X).

    Raises
    ------
    UnknownNameError
        No such architecture or encoder.
    ConfigError
        Unknown option, or a value that is not allowed.
    WeightsError
        The pre-trained weights are not available or do not fit.
    """
    architecture = find_architecture(name)
    chosen = architecture.parse_encoder(encoder) or ""
    settings = architecture.parse_options(options)
    spec = NetworkSpec(name, in_channels, classes, chosen, settings)
    network: SegmentationNetwork = import_module(architecture.module).create_network(spec)
    if pretrained:
        from pixelwise.models.weights import load_pretrained

        path = None if pretrained is True else Path(pretrained)
        load_pretrained(network, chosen or name, path=path)
    return network
