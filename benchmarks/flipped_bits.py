"""Flip single bits in what is kept of trainings and predictions, and count those that are noticed.

    python benchmarks/flipped_bits.py --times 200

Each time one bit, drawn evenly from a file that is drawn evenly from those of a kind, is flipped in
a model file, a kept model, a checkpoint, a run's story, or the kept rows of a prediction. A model
must be refused, a checkpoint passed over for the one before, a line of the story found damaged,
and rows computed again, so that the result is right. The config is for people to edit: a change of
it is said when the training goes on, which the tests of `fit` show.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.config import TrainConfig
from pixelwise.errors import ModelFileError
from pixelwise.images import write_picture
from pixelwise.models.files import load_model
from pixelwise.prediction.result_spool import BLOCK_ROWS, list_blocks, name_spool, opening_spool
from pixelwise.runs import RunFolder
from pixelwise.training.checkpoints import Checkpoints
from pixelwise.training.fit import fit

_SHAPE = (1, 3 * BLOCK_ROWS, 3000)


@dataclass(frozen=True)
class Kind:
    """One kind of state.

    Attributes
    ----------
    name : str
    list_files : callable
        Makes it anew where need be, and gives its files.
    is_noticed : callable
        Uses it, and tells whether the damage was found.
    """

    name: str
    list_files: Callable[[], list[Path]]
    is_noticed: Callable[[Path], bool]


def train(folder: Path) -> RunFolder:
    """Train for two epochs on noise; gives the run."""
    rng = np.random.default_rng(0)
    for name, most in (("images", 255), ("masks", 2)):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, most, (64, 64), np.uint8)
            write_picture(folder / "data" / name / f"{number}.png", pixels)
    config = TrainConfig.create(
        data={"path": folder / "data", "validation_fraction": 0.25},
        run=folder / "run",
        patches={"size": 64},
        model={"name": "unet", "options": {"base_channels": 4, "depth": 2}},
        training={
            "epochs": 2, "batch_size": 2, "device": "cpu", "previews": 0, "keep_every": 1,
            "monitor": "loss",
        },
    )  # fmt: skip
    list(fit(config))
    return RunFolder(config.run)


def is_model_refused(path: Path) -> bool:
    """Whether a model is refused by its name."""
    try:
        load_model(path)
    except ModelFileError as error:
        return str(path) in str(error)
    return False


def is_passed_over(path: Path) -> bool:
    """Whether a checkpoint is not used, but the other one, and that is said."""
    checkpoints = Checkpoints(path.with_name("last.pt"))
    if path.name == "last.pt":
        return load_other(checkpoints, path)
    last = path.with_name("last.pt").rename(path.with_name("aside"))  # so that it is asked first
    try:
        Checkpoints(path.with_name("last.pt")).load()
    except ModelFileError as error:
        return str(path) in str(error)
    finally:
        last.rename(path.with_name("last.pt"))
    return False


def load_other(checkpoints: Checkpoints, path: Path) -> bool:
    """Whether another checkpoint than this one is loaded."""
    state = checkpoints.load()
    return state.path != path and str(path) in " ".join(state.notes)


class Rows:
    """The kept rows of a prediction.

    Parameters
    ----------
    folder : Path
        Where the output would be.
    """

    def __init__(self, folder: Path) -> None:
        self._output = folder / "a_labels.tif"
        self._values = np.random.default_rng(1).integers(0, 9, _SHAPE, np.uint8)

    def keep(self) -> list[Path]:
        """Write all rows as a prediction does that is then stopped; gives the files."""
        with suppress(KeyboardInterrupt):
            self._fill(stop=True)
        files = name_spool(self._output).rglob("*")
        return [path for path in files if path.is_file() and path.stat().st_size]

    def are_mended(self, path: Path) -> bool:  # noqa: ARG002
        """Whether something is computed again, and the rows are right."""
        missing, rows = self._fill(stop=False)
        return missing > 0 and np.array_equal(rows, self._values[0])

    def _fill(self, *, stop: bool) -> tuple[int, np.ndarray]:
        about = {"image": "noise"}
        with opening_spool(self._output, about, shape=_SHAPE, dtype=self._values.dtype) as spool:
            missing = [rows for rows in list_blocks(_SHAPE[1]) if (0, rows.start) not in spool.done]
            for rows in missing:
                spool.record(0, rows.start, spool.write(0, rows.start, self._values[0, rows]))
            if stop:
                raise KeyboardInterrupt
            return len(missing), spool.read(0, slice(0, _SHAPE[1]))


def create_kinds(folder: Path) -> list[Kind]:
    """Make one state of each kind."""
    run = train(folder)
    rows = Rows(folder)

    def always(*paths: Path) -> Callable[[], list[Path]]:
        return lambda: list(paths)

    def is_line_found(_: Path) -> bool:
        return run.mend_events() > 0

    return [
        Kind("model.safetensors", always(run.model), is_model_refused),
        Kind("kept model", always(*run.checkpoints.glob("epoch-*")), is_model_refused),
        Kind("last.pt", always(run.state), is_passed_over),
        Kind("previous.pt", always(run.state.with_name("previous.pt")), is_passed_over),
        Kind("events.jsonl", always(run.events), is_line_found),
        Kind("kept rows", rows.keep, rows.are_mended),
    ]


def flip(content: bytes, bit: int) -> bytes:
    """Give the same bytes with one other bit."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def drill(kinds: list[Kind], *, times: int, seed: int) -> int:
    """Flip `times` bits; gives how many were noticed."""
    draw = random.Random(seed)
    counts = {kind.name: [0, 0] for kind in kinds}
    for number in range(times):
        kind = kinds[number % len(kinds)]
        path = draw.choice(sorted(kind.list_files()))
        content = path.read_bytes()
        bit = draw.randrange(8 * len(content))
        path.write_bytes(flip(content, bit))
        noticed = kind.is_noticed(path)
        counts[kind.name][0] += noticed
        counts[kind.name][1] += 1
        if path.exists():
            path.write_bytes(content)
        if not noticed:
            print(f"NOT NOTICED: bit {bit} of {path}", flush=True)
    for name, (found, tried) in counts.items():
        print(f"{name:18} {found} of {tried} noticed")
    return sum(found for found, _ in counts.values())


def main() -> int:
    """Run the drill; the exit status is 1 if a bit went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="bits to flip [200]")
    parser.add_argument("--seed", type=int, default=0, help="of the bits [0]")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        kinds = create_kinds(Path(temporary))
        noticed = drill(kinds, times=given.times, seed=given.seed)
    print(f"{noticed} of {given.times} noticed")
    return int(noticed < given.times)


if __name__ == "__main__":
    raise SystemExit(main())
