"""Several networks as one: the mean of their probabilities, in one model file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch
from pydantic import Field, ValidationError
from torch import nn
from torch.nn import functional as F

from pixelwise.config_base import Config, describe_invalid
from pixelwise.errors import ConfigError
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.registry import create_model

_MOST: Final = 100


class Member(Config):
    """A network of an ensemble, as `create_model` builds it."""

    architecture: str
    encoder: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class _Members(Config):
    """Options of an ensemble's card."""

    members: tuple[Member, ...] = Field(min_length=2, max_length=_MOST)


class Ensemble(SegmentationNetwork):
    """Networks of the same channels and classes, whose probabilities are averaged.

    Parameters
    ----------
    members : sequence of SegmentationNetwork
        Two or more, for images of the same channels, of the same classes.

    Attributes
    ----------
    factors, shifts : float32 Tensor, (members, channels)
        Each member sees ``image * factor + shift``, because the image is normalised as for the
        first one.
    """

    factors: torch.Tensor
    shifts: torch.Tensor

    def __init__(self, members: Sequence[SegmentationNetwork]) -> None:
        first = members[0]
        super().__init__(
            first.in_channels,
            first.classes,
            stride=math.lcm(*(member.stride for member in members)),
            smallest_px=max(member.smallest_px for member in members),
        )
        self.members = nn.ModuleList(members)
        size = (len(members), first.in_channels)
        self.register_buffer("factors", torch.ones(size))
        self.register_buffer("shifts", torch.zeros(size))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute the logarithm of the mean probabilities, (N, classes, Y, X)."""
        self._require_fitting(image)
        total = self._predict(0, image)
        for number in range(1, len(self.members)):
            total = torch.logaddexp(total, self._predict(number, image))
        return total - math.log(len(self.members))

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """Compute the same: members pad images by themselves."""
        return self.forward(image)

    def _predict(self, number: int, image: torch.Tensor) -> torch.Tensor:
        """Compute the logarithm of one member's probabilities."""
        factor, shift = (x[number][:, None, None] for x in (self.factors, self.shifts))
        logits: torch.Tensor = self.members[number](image * factor + shift)
        return F.log_softmax(logits.float(), dim=1)

    def encoder_parameters(self) -> Iterable[nn.Parameter]:  # type: ignore[override]
        """Yield all parameters: no part of an ensemble is trained alone."""
        return self.parameters()


def create_ensemble(in_channels: int, *, classes: int, options: dict[str, Any]) -> Ensemble:
    """Build the network of an ensemble's card, with random weights.

    Raises
    ------
    ConfigError
        The options do not list two networks or more.
    """
    try:
        listed = _Members.model_validate(options)
    except ValidationError as error:
        raise ConfigError(f"Not an ensemble: {describe_invalid(error, 'the card')}") from error
    return Ensemble(
        [
            create_model(
                member.architecture,
                in_channels,
                classes=classes,
                encoder=member.encoder,
                **member.options,
            )
            for member in listed.members
        ]
    )
