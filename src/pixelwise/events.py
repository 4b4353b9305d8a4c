"""What a job reports while it runs: immutable events, one JSON line each.

`fit` and `predict` yield them, the run folder keeps them, the command line prints them, and the
widgets read the same lines.
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Final, Literal, get_args
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Scalar = float | None


class _Event(BaseModel):
    """Base of all events: frozen, stamped with the time (seconds since 1970, UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    time: float = Field(default_factory=time.time)

    def to_json(self) -> str:
        """Write the event as one line of JSON."""
        return self.model_dump_json()


class RunStarted(_Event):
    """A training run starts or continues: its device, network and data."""

    kind: Literal["run_started"] = "run_started"
    run: str
    resumed: bool
    device: str
    device_reason: str
    precision: str
    precision_reason: str
    architecture: str
    parameters: int
    classes: tuple[str, ...]
    data: str
    normalization: str
    train_images: int
    validation_images: int
    train_patches: int
    validation_patches: int
    epochs: int
    batch_size: int | None = None
    steps: int | None = None
    augmentation: str = ""
    processes: int = 1


class StepsDone(_Event):
    """Progress inside an epoch, a few times a second at most."""

    kind: Literal["steps_done"] = "steps_done"
    epoch: int
    step: int
    steps: int
    train_loss: Scalar
    learning_rate: float
    patches_per_second: float
    seconds_left: Scalar

    @property
    def pace(self) -> str:
        """Patches per second and, if known, the time left."""
        pace = f"{self.patches_per_second:.1f} patches/s"
        if self.seconds_left is None:
            return pace
        return f"{pace}, {describe_duration(self.seconds_left)} left"


def describe_duration(seconds: float) -> str:
    """Write a duration for people: 19 s, 3 min 05 s, or 1 h 02 min."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


class EpochEnded(_Event):
    """One epoch has ended, with its validation.

    Losses are means over patches; `scores` are those of the validation images (macro over the
    foreground classes for Dice and IoU), null if undefined. `patches_per_second` covers the
    training steps; it is null if the run was resumed at this epoch's validation.
    """

    kind: Literal["epoch_ended"] = "epoch_ended"
    epoch: int
    epochs: int
    train_loss: Scalar
    validation_loss: Scalar
    scores: dict[str, Scalar]
    class_dice: dict[str, Scalar]
    learning_rate: float
    seconds: float
    patches_per_second: Scalar
    best: bool


class ModelSaved(_Event):
    """A model file has been written completely."""

    kind: Literal["model_saved"] = "model_saved"
    path: str
    epoch: int
    reason: Literal["start", "best", "kept", "final"]


class PreviewsWritten(_Event):
    """Input, ground truth and prediction of the fixed validation images, after an epoch."""

    kind: Literal["previews_written"] = "previews_written"
    epoch: int
    picture: str


class Warned(_Event):
    """Something the user should know that does not end the job."""

    kind: Literal["warned"] = "warned"
    message: str


class RunEnded(_Event):
    """The training run has ended, and why."""

    kind: Literal["run_ended"] = "run_ended"
    reason: Literal["finished", "stopped", "no_progress"]
    epochs_done: int
    best_epoch: int | None
    best_score: Scalar
    monitor: str
    seconds: float
    model: str


class RunFailed(_Event):
    """The training ended with an error; the last checkpoint is kept."""

    kind: Literal["run_failed"] = "run_failed"
    message: str


class PredictionStarted(_Event):
    """The header of an image has been read, and its prediction starts.

    `output` is a NumPy file of planes, (N, Y, X) labels or (N, classes, Y, X) probabilities,
    filled row by row; `axes` and `shape` are those of the result.
    """

    kind: Literal["prediction_started"] = "prediction_started"
    output: str
    axes: str
    shape: tuple[int, ...]
    device: str
    device_reason: str
    notes: tuple[str, ...] = ()


class RowsPredicted(_Event):
    """Rows `start` to `stop` of one plane are final; `done` is the fraction of all rows, 0 to 1."""

    kind: Literal["rows_predicted"] = "rows_predicted"
    plane: int
    start: int
    stop: int
    done: float


class NetworkDescribed(_Event):
    """The output of `pixelwise info --model`."""

    kind: Literal["network_described"] = "network_described"
    summary: dict[str, Any]


class JobEnded(_Event):
    """A request to ``pixelwise serve`` has ended; the message says what went wrong.

    `notes` are those of `PredictionStarted`, and what was found in the pixels since.
    """

    kind: Literal["job_ended"] = "job_ended"
    number: int
    status: Literal["done", "cancelled", "failed"]
    message: str = ""
    notes: tuple[str, ...] = ()


class ImagePredicted(_Event):
    """One image of a prediction is done."""

    kind: Literal["image_predicted"] = "image_predicted"
    source: str
    output: str
    axes: str
    shape: tuple[int, ...]
    seconds: float
    notes: tuple[str, ...] = ()


class FilesLeftOut(_Event):
    """Files of a folder that may be images but are skipped, and why."""

    kind: Literal["files_left_out"] = "files_left_out"
    folder: str
    files: tuple[str, ...]
    reason: str


class ImageProgressed(_Event):
    """A fraction `done` (0 to 1) of one image is predicted; a few times a second at most."""

    kind: Literal["image_progressed"] = "image_progressed"
    source: str
    done: float


class ImageFailed(_Event):
    """One image could not be predicted; the job continues with the others."""

    kind: Literal["image_failed"] = "image_failed"
    source: str
    message: str


Event = (
    RunStarted
    | StepsDone
    | EpochEnded
    | ModelSaved
    | PreviewsWritten
    | Warned
    | RunEnded
    | RunFailed
    | PredictionStarted
    | RowsPredicted
    | ImagePredicted
    | FilesLeftOut
    | ImageProgressed
    | ImageFailed
    | NetworkDescribed
    | JobEnded
)

_ADAPTER: TypeAdapter[Any] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def parse_event(line: str | bytes) -> Event:
    """Read one line that `to_json` wrote.

    Raises
    ------
    ValueError
        The line is not an event (pydantic's error says why).
    """
    event: Event = _ADAPTER.validate_json(line)
    return event


_CHECK: Final = b',"crc":"'
_END: Final = b'"}'
_CHECK_BYTES: Final = len(_CHECK) + 8 + len(_END)
_STEPS: Final = b'"kind":"steps_done"'
_KIND_BYTES: Final = 80  # the time comes before the kind
_KINDS: Final = {item.model_fields["kind"].default for item in get_args(Event)}


def write_line(event: Event) -> str:
    """Write an event as a line of a run's log: its JSON, with a checksum as the last field."""
    text = event.to_json()
    return f'{text[:-1]},"crc":"{crc32(text.encode()):08x}"}}\n'


def read_line(line: bytes) -> Event | None:
    """Read a line of a run's log; None if it is damaged, or from another version.

    Lines of older versions have no checksum.
    """
    text, is_right = _take_check(line)
    if is_right is False:
        return None
    try:
        return parse_event(text)
    except ValueError:
        return None


def is_of_another_version(line: bytes) -> bool:
    """Whether a line that `read_line` rejects is intact, but an event unknown to this version.

    Without a checksum, a line counts as intact if its kind is unknown.
    """
    text, is_right = _take_check(line)
    if is_right is not None:
        return is_right
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    kind = found.get("kind") if isinstance(found, dict) else None
    return isinstance(kind, str) and kind not in _KINDS


def has_check(line: bytes) -> bool:
    """Whether a possibly truncated line includes its checksum."""
    return _END in line.rpartition(_CHECK)[2] and _CHECK in line


def tells_steps(line: bytes) -> bool:
    """Whether an unparsed line is a `StepsDone`, as most are."""
    return _STEPS in line[:_KIND_BYTES]


def _take_check(line: bytes) -> tuple[bytes, bool | None]:
    """Split off a line's checksum, and check it; None if there is none."""
    line = line.removesuffix(b"\n")
    place = len(line) - _CHECK_BYTES
    if place < 0 or not (line.startswith(_CHECK, place) and line.endswith(_END)):
        return line, None
    text = line[:place] + b"}"
    return text, line[place + len(_CHECK) : -len(_END)] == b"%08x" % crc32(text)
