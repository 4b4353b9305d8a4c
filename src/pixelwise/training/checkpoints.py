"""Checkpoints: all that a run needs to continue as if nothing had happened, on disk.

A checkpoint is a zip archive of torch's with a trailer: the SHA-256 of what comes before it. It is
written beside the last one, read again, and only then takes its name; the last one, if it is from
the start of an epoch, becomes ``previous.pt``. A run can continue from either and ends in the same
bits, because whatever is random in a step is seeded by (seed, epoch, step).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Protocol, cast

import torch
from torch import nn

from pixelwise.atomic import flush_file, forget_cached, replacing
from pixelwise.errors import ModelFileError, PixelwiseError, ReadError, WriteError, quote
from pixelwise.images.damage import DAMAGE
from pixelwise.normalization import Normalization
from pixelwise.parsing import open_regular
from pixelwise.training.progress import Progress, parse_progress

_FORMAT = 3
_MARK = b"pixelwise-sha256:"
_TRAILER = len(_MARK) + sha256().digest_size

Content = dict[str, Any]
"""What a checkpoint holds, see `collect`."""


class Stateful(Protocol):
    """What has a state of its own beside the weights: an optimiser, a precision's loss scaling."""

    def state_dict(self) -> dict[str, Any]:
        """Give the state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Restore the state."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and is sound.

    Attributes
    ----------
    path : Path
        File that it was read from.
    parts : mapping
        State of the network ("network") and of whatever else was saved, by its name.
    progress : Progress
    notes : tuple of str
        Why a newer file could not be used.
    """

    path: Path
    parts: Mapping[str, dict[str, Any]]
    progress: Progress
    notes: tuple[str, ...] = ()

    def restore(self, network: nn.Module, others: Mapping[str, Stateful]) -> Progress:
        """Put the state into a network and what belongs to it.

        Raises
        ------
        ModelFileError
            The state is of another network or optimiser.
        """
        try:
            network.load_state_dict(self.parts["network"])
            for name, other in others.items():
                if self.parts[name]:  # bf16 and fp32 have no state that fp16 could use
                    expected = other.state_dict()
                    other.load_state_dict(self.parts[name])
                    _require_alike(other.state_dict(), expected, name)
        except DAMAGE as error:
            raise _explain_misfit(self.path, quote(error)) from error
        return self.progress

    def read_normalization(self) -> Normalization:
        """Give the normalization that the run began with.

        Raises
        ------
        ModelFileError
            The checkpoint holds none that this version knows.
        """
        try:
            return Normalization(**self.progress.normalization)
        except (TypeError, ValueError) as error:
            raise _explain_misfit(self.path, quote(error)) from error


def collect(network: nn.Module, others: Mapping[str, Stateful], *, progress: Progress) -> Content:
    """Put together what a checkpoint holds; its tensors are not copied."""
    parts = {name: other.state_dict() for name, other in others.items()}
    parts["network"] = network.state_dict()
    return {"format": _FORMAT, "parts": parts, "progress": progress.to_dict()}


def copy_to_host(value: Any) -> Any:
    """Copy nested state, so that training can continue while it is being written."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_to_host(item) for key, item in value.items()}
    return type(value)(map(copy_to_host, value)) if isinstance(value, list | tuple) else value


@dataclass
class Checkpoints:
    """The two newest checkpoints of a run.

    Attributes
    ----------
    last : Path
        The newest one.
    keeps : bool
        Whether the file under that name is sound and from the start of an epoch.
    """

    last: Path
    keeps: bool = field(default=False, init=False)

    @property
    def previous(self) -> Path:
        """The one before, from the start of an epoch."""
        return self.last.with_name("previous.pt")

    @property
    def exist(self) -> bool:
        """Whether anything was saved yet."""
        return self.last.exists() or self.previous.exists()

    def save(self, content: Content) -> None:
        """Write a state; the files that are there stay until it is complete and verified.

        Raises
        ------
        WriteError
            The file cannot be written, or differs when it is read back.
        """
        with replacing(self.last, keep=self.previous if self.keeps else None) as temporary:
            try:
                _write(temporary, content)
            except RuntimeError as error:  # what torch makes of a full disk
                raise WriteError(f"Cannot write the checkpoint {self.last}: {error}") from error
            flush_file(temporary)
            forget_cached(temporary)  # so that it is read from the disk
            if not _is_whole(temporary):
                raise WriteError(
                    f"The checkpoint read back from {self.last} differs from the one written. "
                    "The one before is kept; check the disk."
                )
        self.keeps = content["progress"]["step"] == 0

    def load(self, network: nn.Module | None = None) -> Checkpoint:
        """Read the newest checkpoint that is sound and fits a network, if one is given.

        Raises
        ------
        ReadError
            There is none.
        ModelFileError
            All are damaged, or of another network.
        """
        return self._choose([self.last, self.previous], network)

    def load_start(self, network: nn.Module) -> Checkpoint:
        """Read the newest checkpoint from the start of an epoch, see `load`."""
        newest_first = [self.last, self.previous] if self.keeps else [self.previous, self.last]
        return self._choose(newest_first, network)

    def _choose(self, paths: list[Path], network: nn.Module | None) -> Checkpoint:
        """Read the first file that can be used; the notes say what is wrong with the others."""
        if not self.exist:
            raise ReadError(f"There is no checkpoint {self.last}: nothing was saved yet.")
        notes: list[str] = []
        for path in paths:
            try:
                state = _read(path, network)
            except (ModelFileError, ReadError) as error:
                notes.append(str(error))
                continue
            self.keeps = path == self.last and state.progress.step == 0
            if notes:
                notes.append(f"Training continues from {path} instead.")
            return Checkpoint(state.path, state.parts, state.progress, tuple(notes))
        raise ModelFileError(
            f"{' '.join(notes)} The best model so far is the run's model.safetensors: start a new "
            "run from it with --start-from."
        )


class _HashingFile:
    """A file to write to that keeps the SHA-256 of what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.hash = file, sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _write(path: Path, content: Content) -> None:
    """Write a state and the trailer."""
    with path.open("wb") as file:
        hashing = _HashingFile(file)
        torch.save(content, cast("IO[bytes]", hashing))  # torch writes and flushes, no more
        file.write(_MARK + hashing.hash.digest())


def _is_whole(path: Path) -> bool:
    """Whether a file ends in the hash of the rest."""
    with open_regular(path) as file:
        size = file.seek(0, io.SEEK_END)
        if size < _TRAILER:
            return False
        file.seek(-_TRAILER, io.SEEK_END)
        trailer = file.read()
        if not trailer.startswith(_MARK):  # a file of another kind can have any size
            return False
        file.seek(0)
        digest = sha256()
        for block in _iter_blocks(file, size - _TRAILER):
            digest.update(block)
    return trailer == _MARK + digest.digest()


def _iter_blocks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Read the first `size` bytes of a file, a mebibyte at a time."""
    while size and (block := file.read(min(size, 1 << 20))):
        size -= len(block)
        yield block


def _read(path: Path, network: nn.Module | None) -> Checkpoint:
    """Read a checkpoint file without running any code that it may hold."""
    try:
        if not _is_whole(path):
            raise ModelFileError(f"The checkpoint {path} is damaged or foreign.")
        if not zipfile.is_zipfile(path):  # torch would take it for a file of its old, unsafe format
            raise ModelFileError(f"The checkpoint {path} is damaged or foreign.")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except PixelwiseError:
        raise
    except OSError as error:
        raise ReadError(f"The checkpoint {path} cannot be read: {error.strerror}.") from error
    except (*DAMAGE, pickle.UnpicklingError) as error:
        raise ModelFileError(
            f"The checkpoint {path} is damaged or foreign ({type(error).__name__})."
        ) from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ModelFileError(f"The checkpoint {path} is not of this version's format {_FORMAT}.")
    try:
        parts = {"average": {}} | state["parts"]  # older versions had none
        found = Checkpoint(path, parts, parse_progress(state["progress"]))
        shapes = {name: tensor.shape for name, tensor in found.parts["network"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _explain_misfit(path, quote(error)) from error
    if network and shapes != {name: tensor.shape for name, tensor in network.state_dict().items()}:
        raise _explain_misfit(path, "it is of another network")
    return found


def _explain_misfit(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(f"The checkpoint {path} does not fit this run: {reason}.")


def _require_alike(found: Any, expected: Any, name: str) -> None:
    """Refuse a state that lacks something, or holds something that the next step could not use.

    torch loads settings and moments of an optimiser as they come, and fails in the next step.

    Raises
    ------
    ValueError
        The message names what differs.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key, item in expected.items():
            if key not in found:
                raise ValueError(f"{name} has no {key}")
            _require_alike(found[key], item, f"{name} {key}")
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        for pair in zip(found, expected, strict=True):
            _require_alike(*pair, name)
    elif not _is_alike(found, expected):
        raise ValueError(f"{name} is of another kind than expected")


def _is_alike(found: Any, expected: Any) -> bool:
    """Whether a value is a tensor of the same shape, a number or a switch as another one is."""
    if isinstance(expected, torch.Tensor):
        return isinstance(found, torch.Tensor) and found.shape == expected.shape
    if expected is None or isinstance(expected, bool):
        return found is None or isinstance(found, bool)
    return isinstance(found, int | float) == isinstance(expected, int | float)
