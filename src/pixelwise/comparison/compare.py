"""The whole comparison: train, score, judge, write."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixelwise.atomic import make_folder, write_text
from pixelwise.cards import Card, read_card
from pixelwise.comparison.counts import ImageCounts
from pixelwise.comparison.ensemble import join_models
from pixelwise.comparison.pictures import choose_images, collect_rows
from pixelwise.comparison.results import Results, align, summarize, write_tables
from pixelwise.comparison.trials import (
    BY_FOLDS,
    WITHOUT_CORRECTED,
    HeldOut,
    Trial,
    begin,
    find_corrected,
    has_all_folds,
    leave_out_corrected,
    load_held_out,
    plan_trials,
    read_cost,
    require_unseen,
    score_trial,
    train_trial,
)
from pixelwise.comparison_summary import ENSEMBLE_FILE, ComparisonSummary
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.datasets import Sample
from pixelwise.errors import DataError
from pixelwise.events import Event
from pixelwise.figures import draw_curves, draw_predictions
from pixelwise.models.files import save_model
from pixelwise.outputs import Sources, plan_outputs
from pixelwise.summaries import read_epochs


def compare(config: ComparisonConfig) -> Generator[Event, None, None]:
    """Train and compare networks: iterate to run it; what was done before is not done again.

    Parameters
    ----------
    config : ComparisonConfig
        Networks, data, budget, and the folder to write.

    Yields
    ------
    Event
        Those of the trainings. When the last is scored, the results lie in the folder, see
        `results`.

    Raises
    ------
    PixelwiseError
        As `fit`, or the folder holds another comparison.
    """
    config = config.make_absolute()
    begin(config)
    trials = plan_trials(config)
    for trial in trials:
        yield from train_trial(trial)
    conclude(trials, config.out)


@dataclass
class _Model:
    """What is known of one model."""

    trials: list[Trial] = field(default_factory=list)
    counts: ImageCounts | None = None


def conclude(
    trials: Sequence[Trial],
    out: Path,
    others: Mapping[str, ImageCounts] | None = None,
    *,
    overwrite: bool = False,
) -> ComparisonSummary:
    """Score trials that are trained, judge them, and write the results into `out`.

    Parameters
    ----------
    trials : sequence of Trial
    out : Path
        Folder; created if necessary.
    others : mapping of str to ImageCounts, optional
        Of other programs, by the name of the model.
    overwrite : bool
        Replace results of another comparison, and files that somebody changed.

    Raises
    ------
    WriteError
        A file is not to be replaced, see `outputs`.
    DataError
        The models cannot be compared: they have other classes, or were scored on other images.
    """
    results, samples = _score_all(trials, out, overwrite=overwrite)
    results = results.add_others(others or {})
    summary = summarize(results, results.judge())
    tables = write_tables(results, summary)
    changed = {name: text for name, text in tables.items() if not _holds(out / name, text)}
    curves, pictures = out / "curves.png", out / "pictures.png"
    read = Sources.of_data({file for sample, _ in samples.values() for file in sample.files})
    outputs = [*(out / name for name in changed), curves, pictures]
    joined = find_joined(trials)
    outputs += [out / ENSEMBLE_FILE] if joined else []
    plan_outputs(outputs, read, root=out, overwrite=overwrite)
    make_folder(out)
    for name, text in changed.items():
        write_text(out / name, text)
    draw_curves({trial.name: read_epochs(trial.run) for trial in trials}, curves)
    rows = collect_rows(choose_images(results), list(samples.values()))
    draw_predictions(rows, read_card(trials[0].run.model).classes, pictures)
    if joined:
        model = join_models(joined)
        save_model(out / ENSEMBLE_FILE, model.network.state_dict(), model.card)
    return summary


def find_joined(trials: Sequence[Trial]) -> list[Path]:
    """Models of all folds, to be joined; none if there are no folds, or several networks."""
    is_one = len({trial.model for trial in trials}) == 1
    return [trial.run.model for trial in trials] if is_one and has_all_folds(trials) else []


def _score_all(
    trials: Sequence[Trial], out: Path, *, overwrite: bool
) -> tuple[Results, dict[str, tuple[Sample, dict[str, Path]]]]:
    """Score all trials; also gives each image with the folders of its labels, by model.

    What cannot be compared is refused before the first image is predicted.
    """
    card, held_out = _read_common_card(trials), _load_all(trials)
    corrected = find_corrected(trials)
    models: dict[str, _Model] = {}
    samples: dict[str, tuple[Sample, dict[str, Path]]] = {}
    folds: dict[str, int] = {}
    for trial, held in zip(trials, held_out, strict=True):
        data = leave_out_corrected(held, corrected)
        model = models.setdefault(trial.model, _Model())
        counts = score_trial(trial, data, out, overwrite=overwrite)
        model.trials.append(trial)
        model.counts = counts if model.counts is None else model.counts.add(counts)
        for sample in data.samples:
            _, folders = samples.setdefault(sample.name, (sample, {}))
            folders.setdefault(trial.model, out / "labels" / trial.name)
            if trial.config.data.fold is not None:
                folds[sample.name] = trial.config.data.fold
    on = " and ".join(dict.fromkeys(held.what for held in held_out))
    on = BY_FOLDS if has_all_folds(trials) else on
    results = Results(
        counts=_align_all({name: model.counts for name, model in models.items() if model.counts}),
        groups={name: sample.group for name, (sample, _) in samples.items()},
        background=card.background,
        costs={name: read_cost(model.trials) for name, model in models.items()},
        scored_on=on + WITHOUT_CORRECTED * bool(corrected),
        folds=folds,
        runs={name: _name_runs(model.trials, out) for name, model in models.items()},
    )
    return results, samples


def _name_runs(trials: Sequence[Trial], out: Path) -> tuple[Path, ...]:
    """Run folders, relative to `out` where they lie in it."""
    paths = (trial.run.path.absolute() for trial in trials)
    return tuple(p.relative_to(out) if p.is_relative_to(out) else p for p in paths)


def _load_all(trials: Sequence[Trial]) -> list[HeldOut]:
    """Load the images of each trial, those of one data set and fold once.

    Raises
    ------
    DataError
        A trial was trained on some of them, or two images or masks of one name are not the same.
    """
    known: dict[str, HeldOut] = {}
    checks: dict[str, dict[str, tuple[str, str]]] = {}
    held_out = []
    for trial in trials:
        key = trial.config.data.model_dump_json()
        held = known.get(key) or load_held_out(trial.config.data)
        known[key] = held
        require_unseen(trial, held)
        _require_same_images(trial, held, checks)
        held_out.append(held)
    return held_out


def _holds(path: Path, text: str) -> bool:
    """Whether a file is there and holds this text."""
    data = text.encode()
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _require_same_images(
    trial: Trial, held: HeldOut, checks: dict[str, dict[str, tuple[str, str]]]
) -> None:
    """Refuse images and masks that have the names of others' and are not the same."""
    for name, planes in held.checks.items():
        if checks.setdefault(name, planes) != planes:
            raise DataError(
                f"{trial.name} was scored on another image or mask called {name} than the models "
                "before it: models can be compared only on the same images."
            )


def _read_common_card(trials: Sequence[Trial]) -> Card:
    """Card of the first model; all have the same classes.

    Raises
    ------
    DataError
        The models have other classes.
    """
    cards = {trial.name: read_card(trial.run.model) for trial in trials}
    (first, card), *rest = cards.items()
    for name, other in rest:
        if other.class_names != card.class_names or other.background != card.background:
            raise DataError(
                f"{first} knows the classes {', '.join(card.class_names)}, {name} "
                f"{', '.join(other.class_names)}: models can be compared only on the same classes."
            )
    return card


def _align_all(counts: Mapping[str, ImageCounts]) -> dict[str, ImageCounts]:
    """Put the counts of all models into the order of the first's images."""
    first = next(iter(counts.values()))
    return {name: align(first, one, model=name) for name, one in counts.items()}
