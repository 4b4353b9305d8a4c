from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pixelwise.comparison.trials import begin, collect_trials, load_held_out, plan_trials
from pixelwise.config.comparison import SIX, ComparisonConfig
from pixelwise.errors import ConfigError, ReadError, RunError
from pixelwise.runs import create_run
from tests.comparison.test_compare import create_comparison
from tests.test_events import EVENTS
from tests.training.conftest import create_config, discs

__all__ = ["discs"]
MODELS = ComparisonConfig.model_fields["models"]


def test_seeds_and_folds_have_names_of_their_own(discs: Path, tmp_path: Path) -> None:
    config = create_comparison(discs, tmp_path / "out", seeds=2)
    trials = plan_trials(config)
    assert len({trial.name for trial in trials}) == len(trials) == 8
    assert trials[0].name == "unet-fold-1-seed-0"
    assert {trial.config.training.seed for trial in trials} == {0, 1}
    assert {trial.config.data.fold for trial in trials} == {1, 2}
    assert len({trial.config.run for trial in trials}) == 8


def test_all_six_are_compared_unless_told(discs: Path, tmp_path: Path) -> None:
    config = create_comparison(discs, tmp_path / "out", models=MODELS.default)
    assert tuple(config.name_models()) == SIX
    twice = create_comparison(discs, tmp_path / "out", models="unet, unet,segnet")
    assert list(twice.name_models()) == ["unet", "unet-2", "segnet"]
    with pytest.raises(ConfigError, match=r"'unett'.*unet"):
        create_comparison(discs, tmp_path / "out", models="unett")


def test_a_folder_holds_one_comparison(discs: Path, tmp_path: Path) -> None:
    config = create_comparison(discs, tmp_path / "out")
    begin(config)
    (tmp_path / "out" / "runs").mkdir()
    begin(config)
    with pytest.raises(RunError, match="comparison with other settings"):
        begin(create_comparison(discs, tmp_path / "out", seeds=3))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").touch()
    with pytest.raises(RunError, match="not empty"):
        begin(create_comparison(discs, tmp_path / "photos"))


def test_runs_have_to_be_over(discs: Path, tmp_path: Path) -> None:
    runs = [create_run(create_config(discs, tmp_path / name)) for name in ("a", "b")]
    for run in runs:
        run.append(EVENTS["run_started"])
    with pytest.raises(RunError, match="interrupted: only runs that are over"):
        collect_trials([run.path for run in runs])
    for run in runs:
        run.append(EVENTS["run_ended"].model_copy(update={"reason": "finished"}))
    assert [trial.name for trial in collect_trials([run.path for run in runs])] == ["a", "b"]
    with pytest.raises(RunError, match="Two runs are called a"):
        collect_trials([runs[0].path, runs[0].path])
    with pytest.raises(ReadError, match="not a run folder"):
        collect_trials([tmp_path])


def test_test_images_are_scored_where_there_are_any(discs: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for part in ("images", "masks"):
            shutil.copytree(discs / part, tmp_path / "data" / split / part)
    held = load_held_out(create_config(tmp_path / "data", tmp_path / "run").data)
    assert {sample.split for sample in held.data.samples} == {"test"}
    assert held.what == "the test images of the data set"
    held = load_held_out(create_config(discs, tmp_path / "run").data)
    assert len(held.data.samples) == 2
    assert "also chose the best epoch" in held.what


def test_a_first_try_that_failed_does_not_block_the_folder(discs: Path, tmp_path: Path) -> None:
    begin(create_comparison(discs, tmp_path / "out", seeds=3))
    begin(create_comparison(discs, tmp_path / "out", seeds=2))
    (tmp_path / "out" / "runs").mkdir()
    with pytest.raises(RunError, match="other settings"):
        begin(create_comparison(discs, tmp_path / "out", seeds=4))
