"""A trained model on disk and in memory: one safetensors file with its card in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch.overrides import TorchFunctionMode

from pixelwise.atomic import replacing
from pixelwise.cards import (
    CHECKSUM_KEY,
    METADATA_KEY,
    Card,
    promises_checksum,
    read_card,
    read_shapes,
)
from pixelwise.checksums import BLANK_CHECKSUM, Checksum, add_checksum, check_checksum
from pixelwise.errors import ModelFileError, PixelwiseError, quote
from pixelwise.models.ensemble import create_ensemble
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.registry import create_model

_MADE_BY_SIZE: Final = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
_FILLED_AT_RANDOM: Final = {torch.Tensor.normal_, torch.Tensor.uniform_}
_LONGEST_MISFIT: Final = 300  # characters
_LENGTH_BYTES: Final = 8
_ALIGNMENT: Final = 8


@dataclass(frozen=True)
class Model:
    """A network with its card.

    Attributes
    ----------
    network : SegmentationNetwork
        In eval mode, on the CPU unless asked otherwise.
    card : Card
        Its expected input and its output.
    """

    network: SegmentationNetwork
    card: Card


def save_model(path: str | Path, weights: Mapping[str, torch.Tensor], card: Card) -> None:
    """Write a model file with a checksum, atomically.

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
    with replacing(Path(path)) as temporary:  # save_file would create its own ".tmp…" files
        _write(temporary, content)
        add_checksum(temporary)


def _write(path: Path, content: bytes) -> None:
    """Write a safetensors file with sorted metadata; the library's order is not reproducible."""
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
        Model file of a run, such as ``runs/nuclei/model.safetensors``.
    device : str or torch.device
        Device for the network.

    Raises
    ------
    ReadError
        The file is missing.
    ModelFileError
        The file is damaged or not a model, or its weights do not fit the network of its card.
    """
    path = Path(path)
    with suppress(OSError):  # `read_card` reports it
        if path.is_file():  # opening a pipe would block
            _require_whole(path)  # first, because a damaged card may describe any network
    card = read_card(path)
    _require_fitting(path, card)
    network = create_network(card)
    _fill(network, path)
    return Model(network.to(device).eval(), card)


def create_network(card: Card) -> SegmentationNetwork:
    """Build the network of a card, with random weights."""
    if card.is_ensemble:
        return create_ensemble(card.in_channels, classes=len(card.classes), options=card.options)
    return create_model(
        card.architecture,
        card.in_channels,
        classes=len(card.classes),
        encoder=card.encoder,
        **card.options,
    )


class _Unallocated(TorchFunctionMode):
    """While active, tensors created by size alone, such as weights, take no memory."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLED_AT_RANDOM:  # on the meta device this would load torch's compiler
            return args[0]
        if func in _MADE_BY_SIZE and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _require_fitting(path: Path, card: Card) -> None:
    """Raise unless the network of a card fits the file's tensors, before allocating memory."""
    try:
        with _Unallocated():
            network = create_network(card)
        shapes = read_shapes(path)
        tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    except (PixelwiseError, RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise ModelFileError(
            f"The network in the card of {path} cannot be built {quote(error)}. The file is "
            "damaged, or comes from a newer version."
        ) from error
    _load(network, tensors, path)


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Read a model file's weights into a network.

    Raises
    ------
    ModelFileError
        The file is damaged, or a weight is missing, unexpected, or has another shape.
    """
    _require_whole(path)
    _fill(network, path)


def _require_whole(path: Path) -> None:
    """Raise if the checksum is wrong or missing; files of older versions have none."""
    found = check_checksum(path)
    if found is Checksum.WRONG or (found is Checksum.MISSING and promises_checksum(path)):
        raise ModelFileError(
            f"The model file {path} is damaged: its checksum does not match. Copy it again, or "
            "use another checkpoint of the run."
        )


def _fill(network: torch.nn.Module, path: Path) -> None:
    """Read a file's weights into a network."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"The weights in {path} cannot be read {quote(error)}. Copy the file again."
        ) from error
    _load(network, tensors, path)


def _load(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load tensors into a network; raise as `load_weights` if they do not fit."""
    unallocated = any(tensor.is_meta for tensor in tensors.values())  # nothing to copy
    try:
        network.load_state_dict(tensors, assign=unallocated)
    except RuntimeError as error:
        first = str(error).splitlines()
        found = shorten(" ".join(first[1:3]), _LONGEST_MISFIT)
        raise ModelFileError(f"The weights in {path} do not fit the network: {found}") from error


def _versions() -> dict[str, str]:
    """Versions of the packages that a model depends on."""
    names = ("napari-pixelwise", "torch", "segmentation-models-pytorch")
    return {name: version(name) for name in names}
