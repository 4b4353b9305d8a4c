"""Pre-trained weights for encoders: ImageNet's by download, or from a local file."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import encoders as smp_encoders
from torch.hub import get_dir, load_state_dict_from_url

from pixelwise.errors import WeightsError
from pixelwise.models.hub import require_reachable
from pixelwise.models.network import SegmentationNetwork
from pixelwise.models.smp import TIMM_PREFIX, create_encoder

SEGNET = "segnet"
VGG16_BN_URL = "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth"  # torchvision's
State = Mapping[str, torch.Tensor]

# Prefixes of tensor names: in a file, and in the encoder. For files of torchvision, of whole
# networks of this project, and of other whole networks.
_PREFIXES = (
    *(("", ""), ("features.", ""), ("encoder.", ""), ("module.", "")),
    *(("", "model."), ("encoder.", "model.")),
)
_COUNTER = "num_batches_tracked"  # of batch normalisation; missing in old files


@dataclass(frozen=True)
class Download:
    """Where the ImageNet weights of an encoder are published."""

    url: str
    fetch: Callable[[], State]


def load_pretrained(network: SegmentationNetwork, source: str, *, path: Path | None = None) -> None:
    """Load pre-trained weights into the network's encoder; the decoder stays random.

    The first convolution is adapted to other channel counts: summed for one channel, else repeated
    and scaled, so that its responses keep their magnitude.

    Parameters
    ----------
    network : SegmentationNetwork
        Changed in place.
    source : str
        Name of the encoder, or ``segnet``: what is downloaded, and how a file is read.
    path : Path or None
        A ``.safetensors`` file, or a state dict written by ``torch.save``; None: download.

    Raises
    ------
    WeightsError
        No weights exist, the download or the file fails, or they do not fit.
    """
    found = download_weights(source) if path is None else read_weights(path)
    origin = f"The downloaded weights of {source}" if path is None else f"The weights in {path}"
    wanted = network.encoder.state_dict()
    fitting = _match(wanted, found)
    if missing := _missing(wanted, fitting):
        fitting = _match(wanted, _convert(found, source)) or fitting
        missing = _missing(wanted, fitting)
    if missing:
        raise WeightsError(
            f"{origin} do not fit the encoder of {source}: {len(missing)} of {len(wanted)} tensors "
            f"are missing, the first is {missing[0]!r}. Give the weights of this encoder."
        )
    adapted = {
        name: _adapt(name, tensor, wanted=wanted[name], origin=origin)
        for name, tensor in fitting.items()
    }
    torch.nn.Module.load_state_dict(network.encoder, {**wanted, **adapted})


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a ``.safetensors`` file or of a state dict, running no code from it.

    Raises
    ------
    WeightsError
        The file is missing or has other contents.
    """
    if not path.is_file():
        raise WeightsError(f"The weights file {path} is missing. Check the path.")
    try:
        found = _read(path)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(
            f"{path} is not a readable weights file: {error} Expected .safetensors, or a state "
            "dict saved by torch.save(network.state_dict(), ...)."
        ) from error
    tensors = {name: item for name, item in found.items() if isinstance(item, torch.Tensor)}
    if not tensors:
        raise WeightsError(f"{path} has no named tensors. Expected a state dict.")
    return tensors


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return dict(load_file(path))
    found = torch.load(path, map_location="cpu", weights_only=True)
    found = found if isinstance(found, dict) else {}
    nested = found.get("state_dict", found.get("model", found))
    return nested if isinstance(nested, dict) else found


def download_weights(source: str) -> State:
    """Fetch the ImageNet weights of an encoder, or of SegNet's, from the hub or the cache.

    Raises
    ------
    WeightsError
        None are published, or the network cannot be reached; the message names the file.
    """
    download = find_download(source)
    try:
        return download.fetch()
    except Exception as error:
        raise WeightsError(
            f"The ImageNet weights of {source} cannot be downloaded ({type(error).__name__}). "
            f"Download {download.url} on a machine with internet access and name the file: "
            "pretrained='FILE' in Python, --weights FILE on the command line, 'weights: FILE' in "
            "a config. Or train from random weights."
        ) from error


def find_download(source: str) -> Download:
    """Find the published ImageNet weights of an encoder, or raise `WeightsError`."""
    if source == SEGNET:
        return _from_url(VGG16_BN_URL)
    if source.startswith(TIMM_PREFIX):
        return _from_timm(source.removeprefix(TIMM_PREFIX))
    if source in smp_encoders:
        sets = smp_encoders[source]["pretrained_settings"]
        chosen = sets.get("imagenet") or next(iter(sets.values()))
        return _from_hub(chosen["repo_id"], chosen["revision"])
    raise WeightsError(
        f"No ImageNet weights exist for the plain {source}. Choose an encoder, such as "
        "encoder='mobilenet_v2' of the U-Net, or train from random weights."
    )


def _from_url(url: str) -> Download:
    def fetch() -> State:
        if not (Path(get_dir()) / "checkpoints" / Path(url).name).exists():
            require_reachable(url)
        state: State = load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
        return state

    return Download(url, fetch)


def _from_hub(repository: str, revision: str) -> Download:
    name = "model.safetensors"
    url = f"https://huggingface.co/{repository}/resolve/{revision}/{name}"

    def fetch() -> State:
        kept = try_to_load_from_cache(repository, name, revision=revision)
        if not isinstance(kept, str):
            require_reachable(url)
            kept = hf_hub_download(repository, name, revision=revision)
        return read_weights(Path(kept))

    return Download(url, fetch)


def _from_timm(name: str) -> Download:
    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError:  # there is no such set of weights
        settings = None
    if settings is not None and settings.hf_hub_id:
        return _from_hub(settings.hf_hub_id, "main")
    if settings is not None and settings.url:
        return _from_url(settings.url)
    raise WeightsError(
        f"timm publishes no weights for {name!r}. timm.list_pretrained({name.split('.')[0]!r}) "
        "lists those it has; train from random weights otherwise."
    )


def _match(wanted: State, found: State) -> dict[str, torch.Tensor]:
    """Return the found tensors under the wanted names, for the prefix that matches most.

    timm writes ``stages.0`` as ``stages_0`` in feature extractors.
    """
    plain = {name.replace(".", "_"): tensor for name, tensor in found.items()}

    def named(before: str, inside: str) -> dict[str, torch.Tensor]:
        keys = {name: before + name.removeprefix(inside) for name in wanted}
        flat = {name: key.replace(".", "_") for name, key in keys.items()}
        return {name: plain[key] for name, key in flat.items() if key in plain}

    return max((named(*prefixes) for prefixes in _PREFIXES), key=len)


def _missing(wanted: State, fitting: State) -> list[str]:
    return [name for name in wanted if name not in fitting and not name.endswith(_COUNTER)]


def _convert(found: State, source: str) -> State:
    """Convert published weights with other names, using the encoder's own library."""
    state = dict(found)
    try:
        if source.startswith(TIMM_PREFIX):
            overlay = {"state_dict": state}
            name = source.removeprefix(TIMM_PREFIX)
            model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
        elif source in smp_encoders:
            model = create_encoder(source, 3)
            model.load_state_dict(state)
        else:
            return {}
    except (RuntimeError, KeyError, ValueError, AttributeError, TypeError):
        return {}  # weights of something else, which the caller reports
    converted: State = model.state_dict()
    return converted


def _adapt(name: str, tensor: torch.Tensor, *, wanted: torch.Tensor, origin: str) -> torch.Tensor:
    """Return a tensor of the wanted shape, its input channels adapted if only they differ."""
    have, want = tuple(tensor.shape), tuple(wanted.shape)
    if have == want:
        return tensor
    if len(have) == len(want) == 4 and have[0] == want[0] and have[2:] == want[2:]:
        return adapt_input_channels(tensor, want[1])
    raise WeightsError(
        f"{origin} do not fit: {name!r} has shape {have}, the network needs {want}. Give the "
        "weights of the same encoder, and leave its widths at their defaults."
    )


def adapt_input_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Adapt the weight (out, in, Y, X) of a first convolution to another number of channels.

    One channel gets the sum of all; more repeat the given ones in turn, scaled by in / channels.
    """
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    given = weight.shape[1]
    order = torch.arange(channels) % given
    return weight[:, order] * (given / channels)
