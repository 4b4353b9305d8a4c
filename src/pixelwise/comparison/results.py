"""Results of a comparison: the counts of all models on the same images, judged, and written.

One folder holds it all: ``comparison.md`` to read, ``scores.csv`` and ``counts.csv`` for a table
program, ``comparison.json`` for another program, ``curves.png`` and ``pictures.png`` to look at.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from math import isnan
from typing import Any

from pixelwise.comparison.counts import ImageCounts, write_counts
from pixelwise.comparison.statistics import FEWEST, Interval, Judgement, judge
from pixelwise.comparison.trials import Cost
from pixelwise.errors import DataError
from pixelwise.scores import SCORE_NAMES

_COST_COLUMNS = ("model", "parameters", "multiply-adds", "memory", "minutes", "patches/s")
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
    """

    counts: dict[str, ImageCounts]
    groups: dict[str, str]
    background: int | None
    costs: dict[str, Cost]
    scored_on: str
    folds: dict[str, int] = field(default_factory=dict)

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


def write_tables(results: Results, judged: Judgement) -> dict[str, str]:
    """Write tables as text, CSV and JSON: the content of each file by its name."""
    folds = {"folds.csv": _write_folds(results)} if results.folds else {}
    return folds | {
        "comparison.md": describe(results, judged),
        "scores.csv": _write_scores(judged),
        "counts.csv": write_counts(results.counts),
        "comparison.json": json.dumps(_to_dict(results, judged), indent=2) + "\n",
    }


def describe(results: Results, judged: Judgement) -> str:
    """Describe a comparison in Markdown: scores, classes, differences, costs, definitions."""
    first = next(iter(results.counts.values()))
    ranked = rank(judged)
    lines = [
        "# Comparison",
        "",
        (
            f"{len(ranked)} models, scored on {results.scored_on}: {len(first.images)} images "
            f"from {judged.groups} sources."
        ),
        "",
        *_list_table(
            ["model", *SCORE_NAMES],
            [[m, *(_show(judged.means[m][name]) for name in SCORE_NAMES)] for m in ranked],
        ),
        "## Dice of each class",
        "",
        *_list_table(
            ["model", *first.classes],
            [[m, *(_show(judged.classes[m][name]) for name in first.classes)] for m in ranked],
        ),
    ]
    if len(ranked) > 1:
        lines += ["## Differences of Dice", "", *_describe_differences(judged)]
    if results.costs:
        lines += ["## Costs", "", *_describe_costs(results, ranked)]
    return "\n".join([*lines, "## Definitions", "", _DEFINITIONS, ""])


def rank(judged: Judgement) -> list[str]:
    """Models by their mean Dice, the best first; undefined ones last."""

    def key(model: str) -> float:
        value = judged.means[model]["dice"].value
        return 1.0 if isnan(value) else -value

    return sorted(judged.means, key=key)


_DEFINITIONS = (
    "Counts of all images are summed first and divided last. Dice, IoU, sensitivity, specificity "
    "and precision are means over the foreground classes; accuracy is the share of pixels with "
    "the right class. In brackets: the interval of 95 % by the bootstrap over source images. "
    "p: two-sided, by the paired bootstrap over source images, corrected for the number of pairs "
    "(Holm); below 0.05 a difference is larger than chance explains. Neither knows how much a "
    "second training of the same network would differ: that takes several seeds. "
    "Multiply-adds are those of one patch, forward; memory is what one training batch keeps for "
    "its backward pass, computed for fp32."
)


def _describe_differences(judged: Judgement) -> list[str]:
    """Table of all pairs."""
    if not judged.is_sound:
        return [
            f"Not judged: {judged.groups} source images are too few, it takes {FEWEST} or more.",
            "",
        ]
    rows = [
        [
            f"{pair.models[0]} - {pair.models[1]}",
            _show(pair.interval),
            f"{pair.p:.4f}",
            "larger than chance" if pair.is_clear else "may be chance",
        ]
        for pair in sorted(judged.differences, key=lambda pair: pair.p)
    ]
    return _list_table(["pair", "difference", "p", "verdict"], rows)


def _describe_costs(results: Results, ranked: Sequence[str]) -> list[str]:
    """Table of what the trainings took."""
    rows = []
    for model in ranked:
        if (cost := results.costs.get(model)) is not None:
            pace = cost.patches_per_second
            rows.append([
                model, f"{cost.parameters:,}", f"{cost.multiply_adds / 1e9:.2f} G",
                f"{cost.batch_bytes / 2**20:.0f} MiB", f"{cost.seconds / 60:.1f}",
                "-" if pace is None else f"{pace:.1f}",
            ])  # fmt: skip
    return _list_table(_COST_COLUMNS, rows)


def _list_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, and an empty one."""
    listed = [[_escape(cell) for cell in row] for row in (head, *rows)]
    listed.insert(1, ["---", *["---:"] * (len(head) - 1)])
    return [*(f"| {' | '.join(row)} |" for row in listed), ""]


def _escape(cell: str) -> str:
    """Text that is no markup, on one line."""
    return " ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _show(interval: Interval) -> str:
    """Show a value with its interval."""
    if isnan(interval.value):
        return "-"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _write_scores(judged: Judgement) -> str:
    """All scores as CSV, one row for each."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "of", "score", "value", "low", "high"])
    for model in rank(judged):
        rows = [("foreground", name, one) for name, one in judged.means[model].items()]
        rows += [(name, "dice", one) for name, one in judged.classes[model].items()]
        for of, name, one in rows:
            writer.writerow([model, of, name, *(f"{x:.6f}" for x in asdict(one).values())])
    return text.getvalue()


def _write_folds(results: Results) -> str:
    """Each image with its source image and its fold, as CSV."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "source", "fold"])
    for image, fold in sorted(results.folds.items(), key=lambda item: (item[1], item[0])):
        writer.writerow([image, results.groups[image], fold])
    return text.getvalue()


def _to_dict(results: Results, judged: Judgement) -> dict[str, Any]:
    """Everything, ready for JSON."""
    return {
        "scored_on": results.scored_on,
        "images": list(next(iter(results.counts.values())).images),
        "sources": judged.groups,
        "models": {
            model: {
                "foreground": {k: to_plain(v) for k, v in judged.means[model].items()},
                "class_dice": {k: to_plain(v) for k, v in judged.classes[model].items()},
                "cost": asdict(results.costs[model]) if model in results.costs else None,
            }
            for model in rank(judged)
        },
        "differences": [
            {"models": list(d.models), **to_plain(d.interval), "p": d.p, "clear": d.is_clear}
            for d in judged.differences
            if judged.is_sound
        ],
    }


def to_plain(interval: Interval) -> dict[str, float | None]:
    """Give an interval ready for JSON, without NaN."""
    return {name: None if isnan(x) else x for name, x in asdict(interval).items()}
