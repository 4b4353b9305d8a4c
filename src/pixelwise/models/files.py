"""A trained model on disk and in memory: one safetensors file with its card in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from pixelwise.atomic import replacing
from pixelwise.cards import CHECKSUM_KEY, METADATA_KEY, Card, promises_checksum, read_card
from pixelwise.checksums import BLANK_CHECKSUM, Checksum, add_checksum, check_checksum
from pixelwise.errors import ModelFileError
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.registry import create_model

_LENGTH_BYTES = 8
_ALIGNMENT = 8


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
    """Write a model file with a checksum; it is complete under its name or not there.

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
    notes = {METADATA_KEY: stamped.model_dump_json(), CHECKSUM_KEY: BLANK_CHECKSUM}
    content = save(tensors, metadata=notes)
    with replacing(Path(path)) as temporary:  # save_file has temporary files of its own, ".tmp…"
        _write(temporary, content)
        add_checksum(temporary)


def _write(path: Path, content: bytes) -> None:
    """Write a safetensors file with the notes in its header in one order; its library has none."""
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(content[_LENGTH_BYTES:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        file.write(memoryview(content)[start:])


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
    with suppress(OSError):  # which is said below
        _require_whole(Path(path))  # first: a damaged card may be of any network
    card = read_card(path)
    network = create_network(card)
    _fill(network, Path(path))
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
        The file is damaged, or a weight is missing, left over, or of another shape.
    """
    _require_whole(path)
    _fill(network, path)


def _require_whole(path: Path) -> None:
    """Refuse a file that is not what was written; those of older versions cannot tell."""
    found = check_checksum(path)
    if found is Checksum.WRONG or (found is Checksum.MISSING and promises_checksum(path)):
        raise ModelFileError(
            f"The model file {path} is damaged: its content is not what was written. Copy it "
            "again, or use another checkpoint of the run."
        )


def _fill(network: torch.nn.Module, path: Path) -> None:
    """Read a file's weights into a network."""
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
