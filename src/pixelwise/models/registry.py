"""Networks by name: `create_model` builds what `pixelwise.architectures` describes.

segmentation-models-pytorch, timm and torchvision take two seconds to load, as long as torch itself.
They are imported only if a network needs them, so a plain U-Net starts without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.architectures import Architecture, find_architecture, list_architectures
from pixelwise.errors import ConfigError
from pixelwise.models.ddunet import DDUNet, DDUNetForm
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.r2unet import R2UNet, R2UNetForm
from pixelwise.models.segnet import SegNet, SegNetForm
from pixelwise.models.unet import TRANSPOSED, EncoderUNet, UNet, UNetForm

__all__ = ["Architecture", "create_model", "list_architectures"]


@dataclass(frozen=True)
class NetworkSpec:
    """Arguments of a builder: checked names, and a value for every option."""

    name: str
    in_channels: int
    classes: int
    encoder: str
    options: Mapping[str, Any]


Builder = Callable[[NetworkSpec], SegmentationNetwork]


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
    network = _BUILDERS.get(name, _create_smp)(
        NetworkSpec(name, in_channels, classes, chosen, settings)
    )
    if pretrained:
        from pixelwise.models.weights import load_pretrained

        path = None if pretrained is True else Path(pretrained)
        load_pretrained(network, chosen or name, path=path)
    return network


def _create_unet(spec: NetworkSpec) -> SegmentationNetwork:
    if not spec.encoder:
        form = UNetForm(**spec.options)
        return UNet(spec.in_channels, spec.classes, form=form)
    _refuse_plain_options(spec)
    if spec.options["up"] == TRANSPOSED:
        from pixelwise.models.smp import create_encoder

        encoder = create_encoder(spec.encoder, spec.in_channels)
        return EncoderUNet(spec.in_channels, spec.classes, encoder=encoder)
    return _create_smp(spec, {"up": spec.options["up"]})


def _refuse_plain_options(spec: NetworkSpec) -> None:
    """Raise if an option is set that has no effect with an encoder."""
    defaults = find_architecture(spec.name).defaults
    changed = [o for o, value in spec.options.items() if o != "up" and value != defaults[o]]
    if changed:
        raise ConfigError(
            f"Option {changed[0]!r} belongs to the plain U-Net and has no effect with the encoder "
            f"{spec.encoder!r}: leave out one of the two."
        )


def _create_segnet(spec: NetworkSpec) -> SegmentationNetwork:
    form = SegNetForm(**spec.options)
    return SegNet(spec.in_channels, spec.classes, form=form)


def _create_r2unet(spec: NetworkSpec) -> SegmentationNetwork:
    form = R2UNetForm(**spec.options)
    return R2UNet(spec.in_channels, spec.classes, form=form)


def _create_ddunet(spec: NetworkSpec) -> SegmentationNetwork:
    form = DDUNetForm(**spec.options)
    return DDUNet(spec.in_channels, spec.classes, form=form)


def _create_unetplusplus(spec: NetworkSpec) -> SegmentationNetwork:
    from pixelwise.models.smp import create_smp_model
    from pixelwise.models.unetplusplus import DeeplySupervisedUNetPlusPlus, UNetPlusPlusForm

    form = UNetPlusPlusForm(**spec.options)
    if not form.deep_supervision:
        return _create_smp(spec, {})
    sizes = {"in_channels": spec.in_channels, "classes": spec.classes}
    model = create_smp_model(spec.name, spec.encoder, options={}, **sizes)
    return DeeplySupervisedUNetPlusPlus(model, head=form.head, **sizes)


def _create_smp(spec: NetworkSpec, options: Mapping[str, Any] | None = None) -> SegmentationNetwork:
    from pixelwise.models.smp import create_smp_network

    return create_smp_network(
        spec.name,
        spec.encoder,
        in_channels=spec.in_channels,
        classes=spec.classes,
        options=spec.options if options is None else options,
    )


# All other architectures are smp's, under the same name.
_BUILDERS: dict[str, Builder] = {
    "unet": _create_unet,
    "unetplusplus": _create_unetplusplus,
    "segnet": _create_segnet,
    "r2unet": _create_r2unet,
    "ddunet": _create_ddunet,
}
