"""The state of runs, read from their events: one run, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.errors import PixelwiseError, ReadError
from pixelwise.events import EpochEnded, Event, RunEnded, RunFailed, RunStarted
from pixelwise.runs import RunFolder, is_training, iter_lines


def read_epochs(run: RunFolder) -> list[EpochEnded]:
    """Read the results of each epoch; of a repeated epoch the last counts."""
    events = (event for _, event in iter_lines(run, with_steps=False))
    return keep_last(event for event in events if isinstance(event, EpochEnded))


def keep_last(epochs: Iterable[EpochEnded]) -> list[EpochEnded]:
    """Epochs in order, without those that were repeated, or that follow a repeated one."""
    kept: list[EpochEnded] = []
    for event in epochs:
        _add_last(kept, event)
    return kept


def _add_last(kept: list[EpochEnded], event: EpochEnded) -> None:
    """Append an epoch, dropping earlier results of it and of those after it."""
    while kept and kept[-1].epoch >= event.epoch:
        kept.pop()
    kept.append(event)


@dataclass(frozen=True)
class RunSummary:
    """One run in a list.

    Attributes
    ----------
    path : Path
    state : str
        "waiting", "training", "finished", "stopped", "no_progress", "failed", "interrupted"
        (killed), or in lists "unreadable".
    architecture : str
    epoch, epochs : int
        Epochs done and requested.
    best_score : float or None
        Best value of `monitor` so far.
    monitor : str
    """

    path: Path
    state: str
    architecture: str
    epoch: int
    epochs: int
    best_score: float | None
    monitor: str

    def to_dict(self) -> dict[str, Any]:
        """Summary ready for JSON."""
        return {**self.__dict__, "path": str(self.path)}


class RunStory:
    """Follows the state of a run; each look reads only the events added since the last."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._config, self._written = run.read_config(), _find_stamp(run)
        self._place = 0
        self._state = "waiting"
        self._epochs: list[EpochEnded] = []

    @property
    def is_of_another(self) -> bool:
        """Whether this run was deleted and a new one now has its path."""
        return _find_stamp(self.run) != self._written

    def look(self) -> RunSummary:
        """Read new events and return the state; damaged lines are skipped."""
        for end, event in iter_lines(self.run, self._place, with_steps=False):
            self._place = end
            self._add(event)
        lost = self._state == "training" and not is_training(self.run)
        training, epochs = self._config.training, self._epochs
        best = next((event for event in reversed(epochs) if event.best), None)
        return RunSummary(
            self.run.path, "interrupted" if lost else self._state, self._config.model.name,
            epochs[-1].epoch if epochs else 0, epochs[-1].epochs if epochs else training.epochs,
            None if best is None else _score(best, training.shown_score), training.shown_score,
        )  # fmt: skip

    def _add(self, event: Event | None) -> None:
        match event:
            case RunStarted():
                self._state = "training"
            case RunEnded():
                self._state = event.reason
            case RunFailed():
                self._state = "failed"
            case EpochEnded():
                _add_last(self._epochs, event)
            case _:
                pass


def _find_stamp(run: RunFolder) -> tuple[int, int]:
    """Identity of a run: inode and time of its config, which is written once."""
    found = run.config.stat()
    return found.st_ino, found.st_mtime_ns


def summarize_run(run: RunFolder) -> RunSummary:
    """Read the state of a run."""
    return RunStory(run).look()


def list_runs(
    folder: str | Path, *, stories: dict[Path, RunStory] | None = None
) -> list[RunSummary]:
    """Summaries of the runs directly inside `folder`, or of `folder` itself, by name.

    Parameters
    ----------
    folder : path
    stories : dict, optional
        Cache by run, so that the next call reads only new events; filled here.

    Raises
    ------
    ReadError
        There is no such folder.
    """
    folder, stories = Path(folder), {} if stories is None else stories
    if not folder.is_dir():
        raise ReadError(f"{folder} is not a folder: expected a folder that contains runs.")
    candidates = [folder, *sorted(folder.iterdir())]
    return [_summarize(path, stories) for path in candidates if (path / "config.yaml").is_file()]


def _summarize(path: Path, stories: dict[Path, RunStory]) -> RunSummary:
    """Summary of one run in a list; one that cannot be read does not hide the others."""
    try:
        if path not in stories or stories[path].is_of_another:
            stories[path] = RunStory(RunFolder(path))
        return stories[path].look()
    except PixelwiseError:
        stories.pop(path, None)
        return RunSummary(path, "unreadable", "", 0, 0, None, "")


def _score(event: EpochEnded, name: str) -> float | None:
    """Return the validation loss or a score by its name."""
    return event.validation_loss if name == "loss" else event.scores.get(name)
