"""A trained model on disk and in memory: one safetensors file with its card in the header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from pixelwise.atomic import replacing
from pixelwise.cards import METADATA_KEY, Card, read_card
from pixelwise.errors import ModelFileError
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.registry import create_model


@dataclass(frozen=True)
class Model:
    """A network with its card.

    Attributes
    ----------
    network : SegmentationNetwork
        In eval mode, on the CPU unless asked otherwise.
    card : Card
        What it expects and what it gives.
    """

    network: SegmentationNetwork
    card: Card


def save_model(path: str | Path, weights: Mapping[str, torch.Tensor], card: Card) -> None:
    """Write a model file; it is complete under its name or not there.

    Parameters
    ----------
    path : path
        File to write, ``.safetensors``.
    weights : mapping of str to Tensor
        The network's state dict, on any device.
    card : Card

    Raises
    ------
    WriteError
        The file cannot be written.
    """
    stamped = card.model_copy(update={"versions": _versions()})
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    content = save(tensors, metadata={METADATA_KEY: stamped.model_dump_json()})
    with replacing(Path(path)) as temporary:  # save_file has temporary files of its own, ".tmp…"
        temporary.write_bytes(content)


def load_model(path: str | Path, *, device: str | torch.device = "cpu") -> Model:
    """Read a model file and build its network, ready to predict.

    Parameters
    ----------
    path : path
        Model file that a training wrote, such as ``runs/nuclei/model.safetensors``.
    device : str or torch.device
        Where the network is put.

    Raises
    ------
    ReadError
        The file is missing.
    ModelFileError
        The file is damaged or foreign, or its weights do not fit the network its card names.
    """
    card = read_card(path)
    network = create_network(card)
    load_weights(network, Path(path))
    return Model(network.to(device).eval(), card)


def create_network(card: Card) -> SegmentationNetwork:
    """Build the network that a card names, with fresh weights."""
    return create_model(
        card.architecture,
        card.in_channels,
        classes=len(card.classes),
        encoder=card.encoder,
        **card.options,
    )


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Read a model file's weights into a network.

    Raises
    ------
    ModelFileError
        A weight is missing, left over, or of another shape.
    """
    try:
        network.load_state_dict(load_file(path))
    except RuntimeError as error:
        first = str(error).splitlines()
        raise ModelFileError(
            f"The weights in {path} do not fit the network: {' '.join(first[1:3]).strip()}"
        ) from error


def _versions() -> dict[str, str]:
    """Versions of the packages that a model depends on."""
    names = ("napari-pixelwise", "torch", "segmentation-models-pytorch")
    return {name: version(name) for name in names}
