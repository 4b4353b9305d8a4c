"""UNet++ (Zhou et al. 2018): nested, dense skip connections, with deep supervision if wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from pixelwise.errors import ConfigError, require_name
from pixelwise.models import smp
from pixelwise.models.network import NetworkSpec
from pixelwise.models.smp import SmpNetwork

AVERAGE = "average"
HEADS = (AVERAGE, "1", "2", "3", "4")


@dataclass(frozen=True)
class UNetPlusPlusForm:
    """How a UNet++ is supervised.

    Attributes
    ----------
    deep_supervision : bool
        Train a head on each of the nodes X^{0,1} to X^{0,4}, and not on the last one alone.
    head : str
        With deep supervision, what predicts: the ``average`` of the four heads' probabilities
        (the paper's accurate mode), or one head, ``1`` to ``4`` (its fast mode: nodes that the
        head does not need are not computed).
    """

    deep_supervision: bool = False
    head: str = AVERAGE


class DeeplySupervisedUNetPlusPlus(SmpNetwork):
    """UNet++ of smp with heads on all four nodes of its finest nested level.

    In smp that level has stride 2, and only X^{0,4} is refined to stride 1; the heads on
    X^{0,1} to X^{0,3} are convolutions 1x1 whose logits are enlarged bilinearly.

    Source: Zhou et al. 2018, arXiv:1807.10165, figure 1 and section 3.2.

    Parameters
    ----------
    model : module
        A `UnetPlusPlus` of smp with depth 5.
    head : str
        What predicts: see `UNetPlusPlusForm`.
    """

    def __init__(self, model: Any, *, in_channels: int, classes: int, head: str = AVERAGE) -> None:
        super().__init__(model, in_channels=in_channels, classes=classes)
        self.head = require_name("head", head, HEADS)
        channels = model.encoder.out_channels[1]
        if channels == 0:
            raise ConfigError(
                "Deep supervision needs an encoder with a map at stride 2, which this one lacks. "
                "Choose another encoder, or deep_supervision=False."
            )
        self.nested_heads = nn.ModuleList(nn.Conv2d(channels, classes, 1) for _ in range(3))

    def logits(self, image: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Compute the four heads' logits, the last first; only the prediction in evaluation."""
        nodes = _Nodes(self.decoder, self.encoder(image))
        if self.training:
            return tuple(self._apply_head(head, nodes) for head in (4, 3, 2, 1))
        if self.head != AVERAGE:
            return self._apply_head(int(self.head), nodes)
        logits = torch.stack([self._apply_head(head, nodes) for head in (4, 3, 2, 1)])
        # The logarithm of the mean probability: up to a constant, the logits of the average.
        return logits.log_softmax(dim=2).logsumexp(dim=0)

    def _apply_head(self, head: int, nodes: _Nodes) -> torch.Tensor:
        """Compute the (N, classes, Y, X) logits of the head on X^{0,head}."""
        if head == 4:
            final: torch.Tensor = self.segmentation_head(nodes.final())
            return final
        coarse = self.nested_heads[head - 1](nodes.at(nodes.finest - head + 1, nodes.finest))
        return F.interpolate(coarse, scale_factor=2, mode="bilinear")


class _Nodes:
    """The nodes of smp's decoder for one batch, each computed when it is first asked for.

    smp counts a node by the map it starts from and the level it has risen to, from the deepest:
    its ``x_{start}_{level}`` is the paper's X^{finest - level, level - start + 1}.
    """

    def __init__(self, decoder: Any, features: list[torch.Tensor]) -> None:
        self.blocks = decoder.blocks
        self.finest: int = decoder.depth - 1
        self.maps = features[:0:-1]
        self.known: dict[tuple[int, int], torch.Tensor] = {}

    def at(self, start: int, level: int) -> torch.Tensor:
        """Return the (N, C, Y, X) map of node ``x_{start}_{level}``."""
        if (start, level) not in self.known:
            self.known[start, level] = self._compute(start, level)
        return self.known[start, level]

    def final(self) -> torch.Tensor:
        """Return X^{0,4}, refined to stride 1."""
        refined: torch.Tensor = self.blocks[f"x_0_{self.finest + 1}"](self.at(0, self.finest))
        return refined

    def _compute(self, start: int, level: int) -> torch.Tensor:
        below = self.maps[level] if start == level else self.at(start, level - 1)
        neighbours = [self.at(other, level) for other in range(start + 1, level + 1)]
        skip = torch.cat([*neighbours, self.maps[level + 1]], dim=1)
        node: torch.Tensor = self.blocks[f"x_{start}_{level}"](below, skip)
        return node


def create_network(spec: NetworkSpec) -> SmpNetwork:
    """Create smp's network, or one with four heads."""
    plain = replace(spec, options={})
    form = UNetPlusPlusForm(**spec.options)
    if not form.deep_supervision:
        return smp.create_network(plain)
    return DeeplySupervisedUNetPlusPlus(
        smp.create_smp_model(plain),
        in_channels=spec.in_channels,
        classes=spec.classes,
        head=form.head,
    )
