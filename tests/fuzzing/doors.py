"""The public doors that an attacked file comes to, called as users call them."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from pixelwise.errors import PixelwiseError
from tests.fuzzing.stage import Stage

Door = Callable[[Stage], int | None]
"""Gives the exit status, where it is a command."""
LONGEST_MESSAGE = 4_000  # characters of an exception; a terminal shows less
LONGEST_OUTPUT = 6_000  # on standard error: a message, and notes of the images


class Fault(AssertionError):
    """The program answered, but not as it should."""


def check_length(text: str, limit: int) -> None:
    """See that a text is not too long to be read."""
    if len(text) > limit:
        raise Fault(f"{len(text)} characters: {text[:300]!r}")


def check_shown(text: str) -> None:
    """See that nothing in a text controls the terminal."""
    odd = sorted({char for char in text if unicodedata.category(char) == "Cc"} - set("\n\t"))
    if odd:
        raise Fault(f"control characters {odd} in {text[:300]!r}")


def call(arguments: list[str]) -> int:
    """Run the command in this process, and check what it prints; gives the exit status."""
    from pixelwise.cli import run

    printed = io.BytesIO(), io.BytesIO()
    out, err = (
        io.TextIOWrapper(file, encoding="utf-8", errors=errors, write_through=True)
        for file, errors in zip(printed, ("strict", "backslashreplace"), strict=True)
    )  # as Python makes them
    with redirect_stdout(out), redirect_stderr(err):
        status = run(arguments)
    said, noted = (file.getvalue().decode() for file in printed)
    if "Please report" in noted:
        run([*arguments, "--debug"])  # raises it, so that its place is known
    if "Please report" in noted or status not in (0, 1, 2):
        raise Fault(f"pixelwise {arguments[0]} ends with {status}: {noted[-600:]}")
    check_shown(said)
    check_shown(noted)
    check_length(noted, LONGEST_OUTPUT)
    return status


@dataclass(frozen=True)
class Command:
    """The command line; ``INPUT`` and ``OUT`` at the start of a word are the folders."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)

    def __call__(self, stage: Stage) -> int:
        """Call it."""
        folders = {"INPUT": stage.input, "OUT": stage.out}
        parts = [word.partition("/") for word in self.words]
        return call([f"{folders.get(first, first)}{slash}{rest}" for first, slash, rest in parts])


def list_inputs(stage: Stage) -> list[Path]:
    """What a person would name as images."""
    return sorted(stage.input.iterdir())


def read_images(stage: Stage) -> None:
    """Read each image, its colours and its values, whole and in part."""
    from pixelwise.images import describe_gaps, open_image

    for path in list_inputs(stage):
        for palette in ("color", "index"):
            try:
                image = open_image(path, palette=palette)  # type: ignore[arg-type]
                image.read_region(tuple(slice(0, min(n, 8)) for n in image.shape))
                notes = image.decode().notes
                check_length(" ".join((*notes, describe_gaps(image) or "")), LONGEST_MESSAGE)
            except PixelwiseError as error:
                check_length(str(error), LONGEST_MESSAGE)


def read_model(stage: Stage) -> None:
    """Read a card, and the model with it."""
    from pixelwise.cards import read_card
    from pixelwise.models.files import load_model

    read_card(stage.input / "model.safetensors")
    load_model(stage.input / "model.safetensors")


def verify_results(stage: Stage) -> None:
    """Ask of each result whether it is as it was written."""
    for path in list_inputs(stage):
        call(["verify", str(path)])


def read_data(stage: Stage) -> None:
    """Open a data set, as a training does, and as an inspection does."""
    from pixelwise.datasets import inspect_dataset, load_dataset

    inspect_dataset(load_dataset(stage.input, strict=False)).text()
    for sample in load_dataset(stage.input).samples:
        sample.read_mask()
        sample.read_finite_image()


def read_config(stage: Stage) -> None:
    """Read what a training is asked."""
    from pixelwise.config import TrainConfig

    TrainConfig.read(stage.input / "config.yaml").to_yaml()


def read_runs(stage: Stage) -> None:
    """List a run among others, and look at it alone."""
    from pixelwise.runs import open_run
    from pixelwise.summaries import list_runs, read_epochs, summarize_run

    list_runs(stage.input)
    run = open_run(stage.input / "run")
    summarize_run(run)
    read_epochs(run)


def resume_run(stage: Stage) -> None:
    """Go on with a run for three events."""
    from pixelwise.training.fit import resume

    with closing(resume(stage.input / "run")) as events:
        for _ in zip(range(3), events, strict=False):
            pass


def read_checkpoints(stage: Stage) -> None:
    """Read the state of a run."""
    from pixelwise.runs import RunFolder
    from pixelwise.training.checkpoints import Checkpoints

    notes = Checkpoints(RunFolder(stage.input / "run").state).load().notes
    check_length(" ".join(notes), LONGEST_MESSAGE)
