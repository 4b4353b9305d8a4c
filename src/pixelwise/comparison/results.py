"""Results of a comparison: the counts of all models on the same images, judged, and written.

One folder holds it all: ``comparison.md`` to read, ``scores.csv`` and ``counts.csv`` for a table
program, ``comparison.json`` for another program, ``curves.png`` and ``pictures.png`` to look at.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from math import isnan
from pathlib import Path
from statistics import mean

from pixelwise.comparison.counts import ImageCounts, write_counts
from pixelwise.comparison.statistics import Interval, Judgement, judge
from pixelwise.comparison_summary import (
    DEFINITIONS,
    FILE,
    ComparisonSummary,
    Cost,
    Estimate,
    ModelResult,
    PairedDifference,
    list_tables,
)
from pixelwise.errors import DataError
from pixelwise.scores import SCORE_NAMES, divide_counts

_NAMES = 3  # that an error message gives


@dataclass(frozen=True)
class Results:
    """Models that were scored on the same images.

    Attributes
    ----------
    counts : dict of str to ImageCounts
        By model, on the same images and classes, in the same order.
    groups : dict of str to str
        Source image of each image.
    background : int or None
        Class that is not foreground.
    costs : dict of str to Cost
        Of the models that were trained here.
    scored_on : str
        What the images are, in words.
    folds : dict of str to int
        Fold of each image; empty without folds.
    runs : dict of str to tuple of Path
        Run folders of each model that was trained here.
    """

    counts: dict[str, ImageCounts]
    groups: dict[str, str]
    background: int | None
    costs: dict[str, Cost]
    scored_on: str
    folds: dict[str, int] = field(default_factory=dict)
    runs: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    def add_others(self, others: Mapping[str, ImageCounts]) -> Results:
        """Add the counts of other programs.

        Raises
        ------
        DataError
            They are of other images or classes, or a model has the name of one that is there.
        """
        first = next(iter(self.counts.values()))
        added = {}
        for model, counts in others.items():
            if model in self.counts:
                raise DataError(f"There are two models called {model}: rename one of them.")
            added[model] = align(first, counts, model=model)
        return replace(self, counts=self.counts | added)

    def judge(self) -> Judgement:
        """Scores with their intervals, and differences."""
        return judge(self.counts, self.groups, background=self.background)


def align(first: ImageCounts, counts: ImageCounts, *, model: str) -> ImageCounts:
    """Put counts into the order of images and classes of others.

    Raises
    ------
    DataError
        The images or classes are not the same.
    """
    for what, known, found in (
        ("images", first.images, counts.images),
        ("classes", first.classes, counts.classes),
    ):
        if set(known) != set(found):
            extra = sorted(set(found) - set(known)) or sorted(set(known) - set(found))
            where = "has" if set(found) - set(known) else "lacks"
            named = ", ".join(extra[:_NAMES]) + ", …" * (len(extra) > _NAMES)
            raise DataError(
                f"{model} {where} the {what} {named}: models can be compared only on the same "
                f"{what}."
            )
    places = [counts.classes.index(name) for name in first.classes]
    chosen = counts.select(first.images)
    return ImageCounts(first.images, first.classes, chosen.values[:, places])


def write_tables(results: Results, summary: ComparisonSummary) -> dict[str, str]:
    """Write tables as text, CSV and JSON: the content of each file by its name."""
    folds = {"folds.csv": _write_folds(results)} if results.folds else {}
    return folds | {
        "comparison.md": describe(summary),
        "scores.csv": _write_scores(summary),
        "counts.csv": write_counts(results.counts),
        FILE: summary.model_dump_json(indent=2) + "\n",
    }


def summarize(results: Results, judged: Judgement) -> ComparisonSummary:
    """Sum up what is kept and shown."""
    return ComparisonSummary(
        scored_on=results.scored_on,
        images=next(iter(results.counts.values())).images,
        sources=judged.groups,
        background=results.background,
        models={
            model: ModelResult(
                foreground={k: _estimate(v) for k, v in judged.means[model].items()},
                class_dice={k: _estimate(v) for k, v in judged.classes[model].items()},
                image_dice=tuple(
                    None if isnan(dice) else dice
                    for dice in results.counts[model].dice_by_image(results.background).tolist()
                ),
                fold_dice=_score_folds(results, model),
                cost=results.costs.get(model),
                runs=results.runs.get(model, ()),
            )
            for model in rank(judged)
        },
        differences=tuple(
            PairedDifference(
                **_estimate(pair.interval).model_dump(),
                models=pair.models,
                p=pair.p,
                clear=pair.is_clear,
            )
            for pair in judged.differences
            if judged.is_sound
        ),
    )


def _score_folds(results: Results, model: str) -> tuple[float | None, ...]:
    """Mean Dice of the foreground on the images of each fold; none without folds."""
    counts, found = results.counts[model], []
    for fold in sorted(set(results.folds.values())):
        images = tuple(name for name in counts.images if results.folds[name] == fold)
        dice = divide_counts(counts.select(images).total())[SCORE_NAMES.index("dice")]
        front = [value for i, value in enumerate(dice.tolist()) if i != results.background]
        known = [value for value in front if not isnan(value)]
        found.append(mean(known) if known else None)
    return tuple(found)


def describe(summary: ComparisonSummary) -> str:
    """Describe a comparison in Markdown: scores, classes, differences, costs, definitions."""
    lines = ["# Comparison", "", summary.headline, ""]
    for number, table in enumerate(list_tables(summary)):
        lines += [f"## {table.title}", ""] if number else []  # the scores need no heading
        lines += [table.note, ""] if table.note else _list_table(table.columns, table.rows)
    return "\n".join([*lines, "## Definitions", "", DEFINITIONS, ""])


def rank(judged: Judgement) -> list[str]:
    """Models by their mean Dice, the best first; undefined ones last."""

    def key(model: str) -> float:
        value = judged.means[model]["dice"].value
        return 1.0 if isnan(value) else -value

    return sorted(judged.means, key=key)


def _estimate(interval: Interval) -> Estimate:
    """Give an interval without NaN."""
    return Estimate(**{name: None if isnan(x) else x for name, x in asdict(interval).items()})


def _list_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, and an empty one."""
    listed = [[_escape(cell) for cell in row] for row in (head, *rows)]
    listed.insert(1, ["---", *["---:"] * (len(head) - 1)])
    return [*(f"| {' | '.join(row)} |" for row in listed), ""]


def _escape(cell: str) -> str:
    """Text that is no markup, on one line."""
    return " ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _write_scores(summary: ComparisonSummary) -> str:
    """All scores as CSV, one row for each."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "of", "score", "value", "low", "high"])
    for name, model in summary.models.items():
        rows = [("foreground", score, one) for score, one in model.foreground.items()]
        rows += [(of, "dice", one) for of, one in model.class_dice.items()]
        for of, score, one in rows:
            values = ("nan" if x is None else f"{x:.6f}" for x in (one.value, one.low, one.high))
            writer.writerow([name, of, score, *values])
    return text.getvalue()


def _write_folds(results: Results) -> str:
    """Each image with its source image and its fold, as CSV."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "source", "fold"])
    for image, fold in sorted(results.folds.items(), key=lambda item: (item[1], item[0])):
        writer.writerow([image, results.groups[image], fold])
    return text.getvalue()
