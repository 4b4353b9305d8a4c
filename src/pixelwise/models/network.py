"""The interface of all networks: an image of any size in, one logit per class and pixel out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional as F

from pixelwise.errors import ConfigError, DataError

SMALLEST_PX = 32


@dataclass(frozen=True)
class NetworkSpec:
    """Arguments of `create_network`: checked names, and a value for every option."""

    name: str
    in_channels: int
    classes: int
    encoder: str
    options: Mapping[str, Any]


class SegmentationNetwork(nn.Module):
    """Base of all networks: pads, computes logits, crops.

    A subclass sets `encoder` and implements `logits` for sizes divisible by `stride`.

    Parameters
    ----------
    in_channels : int
        Channels of the image, 1 or more.
    classes : int
        Number of classes including background: 2 or more.
    stride : int
        Pixels of the image per step of the deepest map; images are padded to a multiple of it.
    smallest_px : int
        Smallest height and width; at least `stride`.

    Attributes
    ----------
    encoder : nn.Module
        The contracting path, which can be pre-trained and frozen.
    encoder_frozen : bool
        Whether the encoder is frozen, see `freeze_encoder`.
    """

    encoder: nn.Module

    def __init__(
        self, in_channels: int, classes: int, *, stride: int, smallest_px: int = SMALLEST_PX
    ) -> None:
        super().__init__()
        if in_channels < 1:
            raise ConfigError(f"in_channels must be 1 or more, got {in_channels}.")
        if classes < 2:
            raise ConfigError(
                f"classes must be 2 or more, background included, got {classes}: one object class "
                "on a background is two classes."
            )
        self.in_channels = in_channels
        self.classes = classes
        self.stride = stride
        self.smallest_px = max(smallest_px, stride)  # mirroring adds fewer pixels than there are
        self.encoder_frozen = False

    def forward(self, image: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Compute the logits of every pixel.

        Parameters
        ----------
        image : Tensor
            (N, C, Y, X) float, normalised; Y and X of any size from `smallest_px` up.

        Returns
        -------
        Tensor or tuple of Tensor
            (N, classes, Y, X) logits. With deep supervision in training mode a tuple of logits,
            the final prediction first; the loss is their average.

        Raises
        ------
        DataError
            The image has the wrong number of channels or is too small.
        """
        self._require_fitting(image)
        height, width = image.shape[-2:]
        found = self.logits(pad_to_multiple(image, self.stride))
        if isinstance(found, torch.Tensor):
            return found[..., :height, :width]
        return tuple(one[..., :height, :width] for one in found)

    def logits(self, image: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Compute (N, classes, Y, X) logits for a size divisible by `stride`."""
        raise NotImplementedError(f"{type(self).__name__} does not implement logits().")

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the encoder."""
        return self.encoder.parameters()

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation; a frozen encoder stays in evaluation.

        Otherwise batch normalisation of a frozen encoder would keep updating its statistics.
        """
        super().train(mode)
        if self.encoder_frozen:
            self.encoder.eval()
        return self

    def _require_fitting(self, image: torch.Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise DataError(
                f"The network takes (N, {self.in_channels}, Y, X), got {tuple(image.shape)}. "
                "Create it with the images' number of channels (in_channels)."
            )
        if min(image.shape[-2:]) < self.smallest_px:
            raise DataError(
                f"The image must be {self.smallest_px} x {self.smallest_px} pixels or larger, got "
                f"{image.shape[-2]} x {image.shape[-1]}. Use larger patches or tiles."
            )


def pad_to_multiple(image: torch.Tensor, stride: int) -> torch.Tensor:
    """Mirror (N, C, Y, X) at the bottom and the right until Y and X are multiples of `stride`."""
    below, beyond = (-size % stride for size in image.shape[-2:])
    if below == 0 and beyond == 0:
        return image
    return F.pad(image, (0, beyond, 0, below), mode="reflect")


def freeze_encoder(network: SegmentationNetwork) -> None:
    """Freeze the encoder: no gradients, and batch normalisation keeps its statistics."""
    _set_encoder_frozen(network, frozen=True)


def unfreeze_encoder(network: SegmentationNetwork) -> None:
    """Let the encoder be trained again."""
    _set_encoder_frozen(network, frozen=False)


def _set_encoder_frozen(network: SegmentationNetwork, *, frozen: bool) -> None:
    network.encoder.requires_grad_(not frozen)
    network.encoder_frozen = frozen
    network.train(network.training)
