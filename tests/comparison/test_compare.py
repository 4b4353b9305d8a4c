from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.comparison.compare import compare, conclude
from pixelwise.comparison.counts import read_counts, write_counts
from pixelwise.comparison.trials import collect_trials, load_held_out, plan_trials
from pixelwise.comparison_summary import ComparisonSummary
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.errors import DataError, WriteError
from pixelwise.events import EpochEnded, RunStarted
from pixelwise.images import open_image
from pixelwise.prediction.evaluate import evaluate
from tests.training.conftest import discs, write_mask

__all__ = ["discs"]
FILES = [
    "comparison.json", "comparison.md", "comparison.yaml", "counts.csv", "curves.png", "folds.csv",
    "pictures.png", "scores.csv",
]  # fmt: skip


def create_comparison(data: Path, out: Path, **values: Any) -> ComparisonConfig:
    options = {"base_channels": 4, "depth": 2}
    models = [{"name": name, "options": options} for name in ("unet", "r2unet")]
    training = {
        "epochs": 1,
        "epoch_steps": 4,
        "batch_size": 2,
        "device": "cpu",
        "previews": 0,
        "precision": "fp32",
    }
    return ComparisonConfig.create(
        data={"path": data, "folds": 2}, out=out, patches={"size": 64},
        **({"models": models, "training": training} | values),
    ).make_absolute()  # fmt: skip


@pytest.fixture(scope="module")
def done(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> ComparisonConfig:
    """A comparison of two networks in two folds, interrupted twice on the way."""
    config = create_comparison(discs, tmp_path_factory.mktemp("compared") / "out")
    for _ in range(2):
        events = compare(config)
        for event in events:
            if isinstance(event, EpochEnded):
                break
        events.close()
    started = [event for event in compare(config) if isinstance(event, RunStarted)]
    assert 2 <= len(started) <= 3, "what was done before is not done again"
    return config


def test_a_folder_that_was_moved_continues_where_it_is(
    done: ComparisonConfig, tmp_path: Path
) -> None:
    from pixelwise.cli import run

    shutil.copytree(done.out, tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "runs" / "unet-fold-1")
    (tmp_path / "moved" / "comparison.json").unlink()
    before = sorted(path for path in done.out.rglob("*"))
    assert run(["compare", str(tmp_path / "moved" / "comparison.yaml"), "--overwrite"]) == 0
    assert (tmp_path / "moved" / "runs" / "unet-fold-1" / "model.safetensors").is_file()
    assert (tmp_path / "moved" / "comparison.json").is_file()
    assert sorted(path for path in done.out.rglob("*")) == before


def test_one_fold_of_several_is_called_what_it_is(done: ComparisonConfig, tmp_path: Path) -> None:
    trials = collect_trials([done.out / "runs" / "unet-fold-1"])
    summary = conclude(trials, tmp_path / "one")
    assert summary.scored_on == "fold 1, which also chose the best epoch"
    assert len(summary.images) == 3
    assert not (tmp_path / "one" / "ensemble.safetensors").exists()


def test_everything_lies_in_one_folder(done: ComparisonConfig) -> None:
    assert sorted(path.name for path in done.out.iterdir() if path.is_file()) == FILES
    names = [f"{model}-fold-{fold}" for fold in (1, 2) for model in ("unet", "r2unet")]
    assert [trial.name for trial in plan_trials(done)] == names
    text = (done.out / "comparison.md").read_text()
    assert "6 images from 6 sources" in text
    assert "each by the model of the fold that did not train on it" in text
    found = json.loads((done.out / "comparison.json").read_text())
    assert set(found["models"]) == {"unet", "r2unet"}
    assert all(model["cost"]["parameters"] > 1000 for model in found["models"].values())


def test_every_image_is_scored_once_by_a_model_that_did_not_see_it(
    done: ComparisonConfig, discs: Path
) -> None:
    counts = read_counts(done.out / "counts.csv")["unet"]
    assert sorted(counts.images) == [str(number) for number in range(6)]
    pixels = counts.values.sum(axis=-1)
    assert (pixels == 64 * 64).all()
    trials = [trial for trial in plan_trials(done) if trial.model == "unet"]
    seen = set()
    for trial in trials:
        from pixelwise.datasets import load_dataset

        train, held = load_dataset(trial.config.data).split_by(trial.config.data)
        assert not set(train.groups) & set(held.groups)
        seen |= set(held.groups)
        result = evaluate(trial.run.model, held, device="cpu")
        for name, scores in result.images.items():
            place = counts.images.index(name)
            assert counts.values[place][:, 0].tolist() == scores.matrix.diagonal().tolist()
            labels = open_image(done.out / "labels" / trial.name / f"{name}_labels.tif").read()
            assert labels.shape[-2:] == (64, 64)
    assert len(seen) == 6
    listed = (done.out / "folds.csv").read_text().splitlines()
    assert listed[0] == "image,source,fold"
    assert sorted(line.split(",")[0] for line in listed[1:]) == sorted(seen)


def test_a_second_time_nothing_changes_and_a_changed_result_is_kept(
    done: ComparisonConfig,
) -> None:
    before = {path: path.read_bytes() for path in done.out.rglob("*") if path.is_file()}
    conclude(plan_trials(done), done.out)
    assert {p: p.read_bytes() for p in done.out.rglob("*") if p.is_file()} == before
    table = done.out / "scores.csv"
    try:
        table.write_text("my own notes")
        with pytest.raises(WriteError, match=r"(?s)scores\.csv .*--overwrite"):
            conclude(plan_trials(done), done.out)
        assert table.read_text() == "my own notes"
    finally:
        table.write_bytes(before[table])


def test_counts_of_another_model_are_not_taken_for_these(
    done: ComparisonConfig, tmp_path: Path
) -> None:
    """The same folder for a run that was trained anew since."""
    out = tmp_path / "out"
    first, *_, last = plan_trials(done)
    counts = out / "counts" / f"{first.name}.csv"
    conclude([first], out)
    old = counts.read_text()
    renamed = type(first)(first.model, first.name, last.config)
    with pytest.raises(WriteError, match=r"comparison\.md"):
        conclude([renamed], out)
    assert counts.read_text() != old


def test_other_programs_are_compared_on_the_same_images(
    done: ComparisonConfig, tmp_path: Path
) -> None:
    unet = read_counts(done.out / "counts.csv")["unet"]
    (tmp_path / "other.csv").write_text(write_counts({"theirs": unet.select(unet.images[::-1])}))
    others = read_counts(tmp_path / "other.csv")
    summary = conclude(plan_trials(done), tmp_path / "out", others)
    assert summary.models["theirs"].foreground == summary.models["unet"].foreground
    assert ComparisonSummary.load(tmp_path / "out") == summary
    assert summary.models["unet"].cost
    assert summary.models["theirs"].cost is None
    few = {"theirs": unet.select(unet.images[:3])}
    with pytest.raises(DataError, match="theirs lacks the images"):
        conclude(plan_trials(done), tmp_path / "few", few)
    with pytest.raises(DataError, match="two models called unet"):
        conclude(plan_trials(done), tmp_path / "few", {"unet": unet})


def test_images_that_a_model_was_trained_on_are_not_scored(
    done: ComparisonConfig, tmp_path: Path
) -> None:
    """The data have changed since: another draw would hold out what was learned."""
    first, *_ = plan_trials(done)
    data = first.config.data.model_copy(update={"fold": 2})
    other = type(first)("a", "a", first.config.model_copy(update={"data": data}))
    with pytest.raises(DataError, match=r"a was trained on .* have changed since"):
        conclude([other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_that_a_model_was_corrected_on_are_not_scored(
    done: ComparisonConfig, discs: Path, tmp_path: Path
) -> None:
    first, second, *_ = plan_trials(done)
    names = [sample.name for sample in load_held_out(first.config.data).data.samples]
    for part in ("images", "masks"):
        (tmp_path / "corrections" / part).mkdir(parents=True)
        shutil.copy(discs / part / f"{names[0]}.png", tmp_path / "corrections" / part)
    write_mask(tmp_path / "corrections" / "masks" / f"{names[0]}.png", np.eye(64, dtype=np.uint8))
    data = first.config.data.model_copy(update={"corrections": tmp_path / "corrections"})
    improved = type(first)("a", "a", first.config.model_copy(update={"data": data}))
    conclude([improved, second], tmp_path / "out")
    for counts in read_counts(tmp_path / "out" / "counts.csv").values():
        assert set(counts.images) == set(names[1:])
    assert (
        "without those that a model was corrected on"
        in (tmp_path / "out" / "comparison.md").read_text()
    )


def test_runs_that_were_scored_on_other_images_are_refused(
    done: ComparisonConfig, tmp_path: Path
) -> None:
    first, _, last, _ = plan_trials(done)
    apart = [type(first)(name, name, t.config) for name, t in (("a", first), ("b", last))]
    with pytest.raises(DataError, match="models can be compared only on the same images"):
        conclude(apart, tmp_path / "out")
    assert not (tmp_path / "out" / "comparison.md").exists()
