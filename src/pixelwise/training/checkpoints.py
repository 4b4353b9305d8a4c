"""The state of a training on disk: all that is needed to go on as if nothing had happened."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pixelwise.atomic import replacing
from pixelwise.errors import ModelFileError, ReadError, WriteError

_FORMAT = 1


@dataclass
class Progress:
    """Where a training stands; everything else follows from the config and these numbers.

    Attributes
    ----------
    epoch : int
        Epochs done.
    step : int
        Steps done in the epoch that is going on.
    loss_sum : float
        Sum of the loss over the patches of these steps.
    best_score : float or None
        Best value of the monitored score.
    best_epoch : int or None
    waited : int
        Epochs since the best one.
    plateau_best : float or None
        Lowest validation loss, for the schedule "plateau".
    plateau_waited : int
        Epochs since then, or since the rate was last cut.
    plateau_factor : float
        What the learning rate has been cut to.
    data : str
        Fingerprint of the images, the split and the classes.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_score: float | None = None
    best_epoch: int | None = None
    waited: int = 0
    plateau_best: float | None = None
    plateau_waited: int = 0
    plateau_factor: float = 1.0
    data: str = ""


def save_state(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, *, progress: Progress
) -> None:
    """Write network, optimiser and progress; the file is complete under its name or not there."""
    state = {
        "format": _FORMAT,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": asdict(progress),
    }
    with replacing(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # what torch makes of a full disk
            raise WriteError(f"Cannot write the checkpoint {path}: {error}") from error


def load_state(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Read what `save_state` wrote into a network and its optimiser.

    Raises
    ------
    ReadError
        There is no such file.
    ModelFileError
        The file is damaged, or of another network.
    """
    state = _read_state(path)
    try:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return Progress(**state["progress"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"The checkpoint {path} does not fit this run: {reason}") from error


def _read_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint file without running any code that it may hold."""
    if not path.is_file():
        raise ReadError(
            f"There is no checkpoint {path}: the run was ended before its first one. Delete the "
            "run folder and train again."
        )
    try:
        if not zipfile.is_zipfile(path):  # torch would take it for a file of its old, unsafe format
            raise ValueError("no zip archive")  # noqa: TRY301  one message for all damage
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ModelFileError(
            f"The checkpoint {path} is damaged or foreign ({type(error).__name__}). The best model "
            "so far is the run's model.safetensors: start a new run from it with --start-from."
        ) from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ModelFileError(f"The checkpoint {path} is not of this version's format {_FORMAT}.")
    return state
