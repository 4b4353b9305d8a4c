"""Results of a comparison as its folder keeps them, in ``comparison.json``: read without torch.

The tables of ``comparison.md``, of the report and of the window are made here, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Final, Self

from pydantic import ValidationError, model_validator

from pixelwise.config_base import Config, describe_invalid
from pixelwise.errors import ReadError
from pixelwise.parsing import parse_json, read_text
from pixelwise.runs import RunFolder
from pixelwise.scores import SCORE_NAMES

CONFIG: Final = "comparison.yaml"
FILE: Final = "comparison.json"
ENSEMBLE_FILE: Final = "ensemble.safetensors"
"""In the folder of a network trained in folds: the models of all folds in one."""
FEWEST: Final = 6
"""Source images below which intervals and differences mean nothing."""
DEFINITIONS: Final = (
    "Counts of all images are summed first and divided last. Dice, IoU, sensitivity, specificity "
    "and precision are means over the foreground classes; accuracy is the share of pixels with "
    "the right class. In brackets: the interval of 95 % by the bootstrap over source images. "
    "p: two-sided, by the paired bootstrap over source images, corrected for the number of pairs "
    "(Holm); below 0.05 a difference is larger than chance explains. Neither knows how much a "
    "second training of the same network would differ: that takes several seeds. "
    "Multiply-adds are those of one patch, forward; memory is what one training batch keeps for "
    "its backward pass, computed for fp32."
)
_MOST_BYTES: Final = 64 << 20


class Estimate(Config):
    """A score or a difference with its bootstrap interval of 95 %; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def short(self) -> str:
        """The value alone."""
        return "-" if self.value is None else f"{self.value:.3f}"

    @property
    def interval(self) -> str:
        """The interval alone."""
        return (
            "-" if self.low is None or self.high is None else f"{self.low:.3f} to {self.high:.3f}"
        )

    def __str__(self) -> str:
        return self.short if self.interval == "-" else f"{self.short} ({self.interval})"


class Cost(Config):
    """What the trainings of a model took.

    Attributes
    ----------
    parameters : int
        Weights of the network.
    multiply_adds : int
        Multiplications with an addition for one patch, forward.
    batch_bytes : int
        What one training batch keeps for its backward pass in fp32, computed and not measured;
        mixed precision takes about half.
    seconds : float
        Of training, validation included, summed over the runs.
    patches_per_second : float or None
        Of the training steps, mean over the epochs.
    """

    parameters: int
    multiply_adds: int
    batch_bytes: int
    seconds: float
    patches_per_second: float | None


class ModelResult(Config):
    """One model of a comparison.

    Attributes
    ----------
    foreground : dict of str to Estimate
        By score: the mean over the foreground classes; accuracy is over all pixels.
    class_dice : dict of str to Estimate
        By class.
    image_dice : tuple of float
        Dice of each image of the comparison, the mean over its foreground classes; None if it has
        none and none was predicted.
    fold_dice : tuple of float
        Mean Dice of the foreground on each fold; empty without folds.
    cost : Cost or None
        None for results of other programs.
    runs : tuple of Path
        Run folders of its trainings; those inside the comparison's folder are relative to it.
    """

    foreground: dict[str, Estimate]
    class_dice: dict[str, Estimate]
    image_dice: tuple[float | None, ...]
    fold_dice: tuple[float | None, ...] = ()
    cost: Cost | None = None
    runs: tuple[Path, ...] = ()


class PairedDifference(Estimate):
    """Mean Dice of one model minus that of another, and how often chance gives as much."""

    models: tuple[str, str]
    p: float
    clear: bool


class ComparisonSummary(Config):
    """Results of a comparison; the best model comes first.

    Attributes
    ----------
    scored_on : str
        What the images are, in words.
    images : tuple of str
        Their names.
    sources : int
        Source images that they come from.
    background : int or None
        Class that is not foreground.
    models : dict of str to ModelResult
    differences : tuple of PairedDifference
        Of all pairs; empty if there are too few source images, see `FEWEST`.
    """

    scored_on: str
    images: tuple[str, ...]
    sources: int
    background: int | None
    models: dict[str, ModelResult]
    differences: tuple[PairedDifference, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.models:
            raise ValueError("there is no model")
        first = next(iter(self.models.values()))
        for name, model in self.models.items():
            if len(model.image_dice) != len(self.images):
                raise ValueError(f"{name} has {len(model.image_dice)} images of {len(self.images)}")
            if set(model.foreground) != set(SCORE_NAMES):
                raise ValueError(f"{name} lacks scores, or has unknown ones")
            if list(model.class_dice) != list(first.class_dice):
                raise ValueError(f"{name} has other classes than the first model")
        return self

    @classmethod
    def load(cls, folder: Path) -> ComparisonSummary:
        """Read the results in a comparison's folder.

        Raises
        ------
        ReadError
            There are none, or they cannot be read.
        """
        file = folder / FILE
        if not file.is_file() and (folder / CONFIG).is_file():
            raise ReadError(
                f"{folder} holds a comparison that is not over: continue it with 'pixelwise "
                f"compare {folder / CONFIG}'."
            )
        text = read_text(file, what="results of a comparison", most=_MOST_BYTES)
        try:
            return cls.model_validate(parse_json(text, str(file)))
        except ValidationError as error:
            raise ReadError(
                f"{file} cannot be read; it may come from another version: "
                f"{describe_invalid(error, 'the comparison')} Delete it, and run "
                "the same 'pixelwise compare' again: it writes it anew and trains nothing again."
            ) from error

    def worst_first(self) -> list[tuple[str, list[float | None]]]:
        """Images with the Dice of each model, that of the lowest mean first."""
        listed = zip(*(model.image_dice for model in self.models.values()), strict=True)
        rows = [(name, list(dice)) for name, dice in zip(self.images, listed, strict=True)]
        return sorted(rows, key=lambda row: average_dice(row[1]))

    def list_runs(self, folder: Path) -> list[RunFolder]:
        """List the runs of all models, for a comparison in `folder`."""
        return [RunFolder(folder / run) for model in self.models.values() for run in model.runs]

    @property
    def headline(self) -> str:
        """What was scored on what, in a sentence."""
        models = "1 model" if len(self.models) == 1 else f"{len(self.models)} models"
        return (
            f"{models}, scored on {self.scored_on}: {len(self.images)} images "
            f"from {self.sources} sources."
        )


def average_dice(dice: Sequence[float | None]) -> float:
    """Mean Dice of an image over the models; where nothing was to be found and nothing was, 1."""
    return mean(1.0 if value is None else value for value in dice)


@dataclass(frozen=True)
class ResultTable:
    """A table of a comparison: text in the first column, and what is said in its place."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def list_tables(summary: ComparisonSummary) -> list[ResultTable]:
    """Make all tables: scores, Dice of each class, differences, costs."""
    scores = {name: model.foreground for name, model in summary.models.items()}
    by_class = {name: model.class_dice for name, model in summary.models.items()}
    tables = [_list_scores("Scores", scores), _list_scores("Dice of each class", by_class)]
    if any(model.fold_dice for model in summary.models.values()):
        tables.append(_list_folds(summary))
    if len(scores) > 1:
        tables.append(_list_differences(summary))
    if any(model.cost for model in summary.models.values()):
        tables.append(_list_costs(summary))
    return tables


def _list_scores(title: str, scores: Mapping[str, Mapping[str, Estimate]]) -> ResultTable:
    """List estimates by model, in one column for each name."""
    names = list(next(iter(scores.values())))
    rows = [[model, *(str(found[name]) for name in names)] for model, found in scores.items()]
    return ResultTable(title, ["model", *names], rows)


def _list_folds(summary: ComparisonSummary) -> ResultTable:
    """List the Dice of each fold, with their mean and standard deviation."""
    rows = []
    for name, model in summary.models.items():
        known = [dice for dice in model.fold_dice if dice is not None]
        spread = f"{mean(known):.3f} ± {stdev(known):.3f}" if len(known) > 1 else "-"
        folds = ("-" if dice is None else f"{dice:.3f}" for dice in model.fold_dice)
        rows.append([name, spread, *folds])
    count = max(len(model.fold_dice) for model in summary.models.values())
    columns = ["model", "mean ± deviation", *(f"fold {i}" for i in range(1, count + 1))]
    return ResultTable("Dice of each fold", columns, [row for row in rows if len(row) > 2])


def _list_differences(summary: ComparisonSummary) -> ResultTable:
    """List all pairs, the clearest first."""
    few = f"Not judged: {summary.sources} source images are too few, it takes {FEWEST} or more."
    rows = [
        [
            f"{pair.models[0]} - {pair.models[1]}",
            str(pair),
            f"{pair.p:.4f}",
            "larger than chance" if pair.clear else "may be chance",
        ]
        for pair in sorted(summary.differences, key=lambda pair: pair.p)
    ]
    columns = ["pair", "difference", "p", "verdict"]
    return ResultTable("Differences of Dice", columns, rows, "" if rows else few)


def _list_costs(summary: ComparisonSummary) -> ResultTable:
    """List what the trainings took."""
    rows = []
    for name, model in summary.models.items():
        if (cost := model.cost) is not None:
            pace = cost.patches_per_second
            rows.append([
                name, f"{cost.parameters:,}", f"{cost.multiply_adds / 1e9:.2f} G",
                f"{cost.batch_bytes / 2**20:.0f} MiB", f"{cost.seconds / 60:.1f}",
                "-" if pace is None else f"{pace:.1f}",
            ])  # fmt: skip
    columns = ["model", "parameters", "multiply-adds", "memory", "minutes", "patches/s"]
    return ResultTable("Costs", columns, rows)
