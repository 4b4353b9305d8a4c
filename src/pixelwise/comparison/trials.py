"""Trials of a comparison: one network, fold and seed each, trained and scored.

A trial that is done is never done again, and one that was interrupted continues, so the same call
again goes on with a comparison that was stopped or killed.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from pixelwise.atomic import make_folder, replacing, require_own, write_text
from pixelwise.cards import read_card
from pixelwise.checksums import Checksum, hash_content
from pixelwise.comparison.counts import ImageCounts, read_counts, write_counts
from pixelwise.comparison_summary import CONFIG, Cost
from pixelwise.config import DataConfig, PredictConfig, TrainConfig
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.datasets import Dataset, load_dataset
from pixelwise.datasets.corrections import load_corrections
from pixelwise.errors import DataError, RunError
from pixelwise.events import Event, RunStarted
from pixelwise.marks import Mark, check_mark, read_mark, write_mark_beside
from pixelwise.models.files import create_network
from pixelwise.models.summary import summarize
from pixelwise.outputs import plan_outputs
from pixelwise.patches.decoded_images import read_decoded_images
from pixelwise.prediction.evaluate import iter_evaluate, match_model, plan_labels
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.provenance import create_mark
from pixelwise.runs import RunFolder, iter_events, open_run
from pixelwise.summaries import read_epochs, summarize_run
from pixelwise.training.checkpoints import Checkpoints
from pixelwise.training.fingerprint import check_images, find_trained_on
from pixelwise.training.fit import fit, resume

_BATCH = 8  # of runs of versions that did not write it down
_OVER = ("finished", "no_progress")
_VALIDATED = "the validation images, which also chose the best epoch"
BY_FOLDS = (
    "all images, each by the model of the fold that did not train on it, whose best epoch it chose"
)
WITHOUT_CORRECTED = ", without those that a model was corrected on"


@dataclass(frozen=True)
class Trial:
    """One training of a comparison.

    Attributes
    ----------
    model : str
        Name of the model in the comparison.
    name : str
        Its own name: that of the model, with its fold and seed where there are several.
    config : TrainConfig
        With the run folder of its own.
    """

    model: str
    name: str
    config: TrainConfig

    @property
    def run(self) -> RunFolder:
        """Run folder of the trial."""
        return RunFolder(self.config.run)

    @property
    def is_trained(self) -> bool:
        """Whether its training is over."""
        return self.run.is_there and summarize_run(self.run).state in _OVER


def plan_trials(config: ComparisonConfig) -> list[Trial]:
    """List the trials: fold by fold and seed by seed, so that all networks get on alike."""
    folds = [None] if config.data.folds is None else list(range(1, config.data.folds + 1))
    trials = []
    for fold in folds:
        for seed in range(config.seeds):
            for model, network in config.name_models().items():
                parts = [model]
                parts += [] if fold is None else [f"fold-{fold}"]
                parts += [] if config.seeds == 1 else [f"seed-{seed}"]
                name = "-".join(parts)
                training = {"seed": config.training.seed + seed}
                trials.append(
                    Trial(
                        model,
                        name,
                        TrainConfig(
                            data=config.data.model_copy(update={"fold": fold}),
                            run=config.out / "runs" / name,
                            patches=config.patches,
                            model=network,
                            augmentation=config.augmentation,
                            training=config.training.model_copy(update=training),
                        ),
                    )
                )
    return trials


def collect_trials(runs: Sequence[Path]) -> list[Trial]:
    """Trials of trainings that are over, one for each run folder, named after it.

    Raises
    ------
    RunError
        A run is not over, or two have the same name.
    ReadError
        There is no run.
    """
    trials: list[Trial] = []
    for path in runs:
        run = open_run(path)
        config = run.read_config().model_copy(update={"run": run.path})
        trial = Trial(run.path.absolute().name, run.path.absolute().name, config)
        if trial.name in {other.name for other in trials}:
            raise RunError(f"Two runs are called {trial.name}: rename the folder of one of them.")
        if not trial.is_trained:
            state = summarize_run(run).state
            raise RunError(
                f"{path} is {state}: only runs that are over can be compared. Continue it with "
                f"'pixelwise resume {path}', or leave it out."
            )
        trials.append(trial)
    return trials


def begin(config: ComparisonConfig) -> None:
    """Create the comparison's folder, or find it with the same config.

    Raises
    ------
    RunError
        The folder holds another comparison, or other files.
    WriteError
        It cannot be written.
    """
    file, text = config.out / CONFIG, config.to_yaml()
    if file.is_file() and (config.out / "runs").is_dir():
        if ComparisonConfig.read(file).model_copy(update={"out": config.out}) != config:
            raise RunError(
                f"{config.out} holds a comparison with other settings: give those of {file} to "
                "continue it, or another --out."
            )
        return
    others = config.out.exists() and (
        not config.out.is_dir() or any(path != file for path in config.out.iterdir())
    )
    if others:
        raise RunError(f"{config.out} is not empty: give a new folder as --out.")
    require_own(file)  # one is left if the first training could not begin
    make_folder(config.out)
    write_text(file, text)


def train_trial(trial: Trial) -> Generator[Event, None, None]:
    """Train a trial, or continue it; nothing if its training is over."""
    if trial.is_trained:
        return
    yield from resume(trial.config.run) if trial.run.is_there else fit(trial.config)


@dataclass(frozen=True)
class HeldOut:
    """Images that trials are scored on.

    Attributes
    ----------
    data : Dataset
    what : str
        What they are, in words.
    checks : dict of str to dict
        Of each sample by its name: checksums of its planes, see `check_images`.
    """

    data: Dataset
    what: str
    checks: dict[str, dict[str, tuple[str, str]]]


def load_held_out(config: DataConfig) -> HeldOut:
    """Load the images that trainings on a data set are scored on.

    These are the test images of the data set; without any, or with folds, they are those that the
    trainings were validated on, which also chose their best epochs.
    """
    data = load_dataset(config, strict=False)
    test = data.select("test")
    if config.folds is not None:
        held = data.split_by(config)[1]
        what = f"fold {config.fold}, which also chose the best epoch"
    elif config.test is not None:
        held, what = test, f"the test images in {config.test}"
    elif test.samples and len(test.samples) < len(data.samples):
        held, what = test, "the test images of the data set"
    else:
        held, what = data.split_by(config)[1], _VALIDATED
    checks = {s.name: check_images(read_decoded_images([s])) for s in held.samples}
    return HeldOut(held, what, checks)


def has_all_folds(trials: Sequence[Trial]) -> bool:
    """Whether trials are those of a cross-validation, with all of its folds."""
    data = [trial.config.data for trial in trials]
    counts, found = {one.folds for one in data}, {one.fold for one in data}
    count, *others = counts
    return count is not None and not others and found == set(range(1, count + 1))


def leave_out_corrected(held: HeldOut, corrected: set[str]) -> Dataset:
    """Leave out images that a model was corrected on, for all models alike.

    Raises
    ------
    DataError
        None is left.
    """
    kept = tuple(
        sample
        for sample in held.data.samples
        if corrected.isdisjoint(image for image, _ in held.checks[sample.name].values())
    )
    if not kept:
        raise DataError(
            f"All images to score in {held.data.root} were corrected, and trained on: add images "
            "that no model has seen."
        )
    return replace(held.data, samples=kept)


def require_unseen(trial: Trial, held: HeldOut) -> None:
    """Refuse to score images that a trial was trained on.

    Without a checkpoint, it is not known which they are.

    Raises
    ------
    DataError
        The data have changed since, and with them what is held out.
    """
    state = Checkpoints(trial.run.state)
    known = state.load().progress.data if state.exist else {}
    for planes in held.checks.values():
        if trained := find_trained_on(known, planes):
            raise DataError(
                f"{trial.name} was trained on {trained[0]}, which would be scored now: the data in "
                f"{held.data.root} have changed since. Train it again, or give the data as they "
                "were."
            )


def find_corrected(trials: Sequence[Trial]) -> set[str]:
    """Checksums of all images that a trial was corrected on, and so trained on."""
    found = set()
    for trial in trials:
        if trial.config.data.corrections is not None:
            data = load_dataset(trial.config.data, strict=False)
            corrected = read_decoded_images(load_corrections(trial.config.data, data))
            found |= {image for image, _ in check_images(corrected).values()}
    return found


def score_trial(
    trial: Trial, data: Dataset, folder: Path, *, overwrite: bool = False
) -> ImageCounts:
    """Score a trial on the images of `data`; counts and predicted labels are kept in `folder`.

    Raises
    ------
    DataError
        The images cannot be scored.
    WriteError
        A file is not to be replaced, see `outputs`.
    """
    file = folder / "counts" / f"{trial.name}.csv"
    settings = PredictConfig(device=trial.config.training.device)
    predictor = Predictor(trial.run.model, settings)
    data = match_model(predictor.model, data).require_sound()
    mark = create_mark(predictor, None, axes="data").model_copy(update={"image": _stamp(data)})
    if (counts := _read_kept(file, mark)) is not None:
        return counts
    labels = folder / "labels" / trial.name
    plan = plan_labels(predictor, data, labels, overwrite=overwrite)
    plan_outputs([file], root=folder, overwrite=overwrite)
    scored = dict(iter_evaluate(predictor, data, labels=labels, plan=plan))
    counts = ImageCounts.create({name: image.scores for name, image in scored.items()})
    make_folder(file.parent)
    file.unlink(missing_ok=True)  # before its mark, see `write_table`
    with replacing(file) as temp:
        temp.write_text(write_counts({trial.model: counts}), encoding="utf-8")
        write_mark_beside(file, mark, content=hash_content(temp))
    return counts


def _read_kept(file: Path, mark: Mark) -> ImageCounts | None:
    """Read counts of the same model on the same data; None if there are none."""
    known = read_mark(file)
    fields = {"checksum", "content"}
    if known is None or known.model_dump(exclude=fields) != mark.model_dump(exclude=fields):
        return None
    if check_mark(file) is not Checksum.RIGHT:
        return None
    (counts,) = read_counts(file).values()
    return counts


def _stamp(data: Dataset) -> str:
    """Digest of the names, sizes and times of all images and masks."""
    digest = sha256()
    for sample in data.samples:
        digest.update(repr(sample.name).encode())
        for path in sorted(sample.files):
            stat = path.stat()
            digest.update(repr((str(path), stat.st_size, stat.st_mtime_ns)).encode())
    return digest.hexdigest()


def read_cost(trials: Sequence[Trial]) -> Cost:
    """Count the operations of a model, and read what its trials took from their events."""
    epochs = [epoch for trial in trials for epoch in read_epochs(trial.run)]
    rates = [epoch.patches_per_second for epoch in epochs if epoch.patches_per_second]
    started = next(event for event in iter_events(trials[0].run) if isinstance(event, RunStarted))
    card = read_card(trials[0].run.model)
    batch = started.batch_size or _BATCH
    summary = summarize(create_network(card), card.patch_size, batch_size=batch)
    return Cost(
        parameters=summary.parameters,
        multiply_adds=summary.multiply_adds,
        batch_bytes=summary.activation_bytes,
        seconds=sum(epoch.seconds for epoch in epochs),
        patches_per_second=sum(rates) / len(rates) if rates else None,
    )
