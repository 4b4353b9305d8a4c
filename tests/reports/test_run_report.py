from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pixelwise.config import TrainConfig
from pixelwise.errors import ReadError
from pixelwise.images import read_image
from pixelwise.prediction.evaluate import evaluate
from pixelwise.reports.page import Code, Pictures, Report, Table, Text
from pixelwise.reports.run_report import report_run
from pixelwise.training.fit import fit
from tests.training.conftest import create_config, discs, write_discs, write_mask

__all__ = ["discs"]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test images that no training sees."""
    return write_discs(tmp_path_factory.mktemp("apart"), images=8)


@pytest.fixture(scope="module")
def trained(discs: Path, apart: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    run = tmp_path_factory.mktemp("trained") / "run"
    config = create_config(discs, run, data={"test": apart}, training={"epochs": 3})
    list(fit(config))
    return config


def find(report: Report, title: str) -> list[object]:
    (section,) = [section for section in report.sections if section.title == title]
    return list(section.blocks)


def read_text(report: Report, title: str) -> str:
    """All text of a section, cell by cell."""
    parts = []
    for block in find(report, title):
        if isinstance(block, Table):
            parts += [" | ".join(row) for row in (block.columns, *block.rows)]
        elif isinstance(block, Text | Code):
            parts.append(block.text)
    return "\n".join(parts)


def test_the_scores_are_those_of_the_images_held_out(trained: TrainConfig, apart: Path) -> None:
    report = report_run(trained.run)
    from pixelwise.datasets import load_dataset

    total = evaluate(trained.run / "model.safetensors", load_dataset(apart), device="cpu").total
    scores = read_text(report, "Scores")
    assert f"scored on the test images in {apart}" in scores
    dice = total.per_class()["foreground"].dice
    assert f"| {dice:.4f} |" in scores
    assert report.headline == f"Dice of the foreground {dice:.3f}"
    assert "2·TP / (2·TP + FP + FN)" in scores


def test_the_worst_and_the_best_images_are_shown(trained: TrainConfig) -> None:
    report = report_run(trained.run)
    legend, *shown = find(report, "Worst and best images")
    assert len(shown) == 6
    assert isinstance(legend, Text)
    assert "missed foreground is blue" in legend.text
    titles = [block.title for block in shown if isinstance(block, Pictures)]
    dice = [float(title.rsplit(" ", 1)[1]) for title in titles]
    assert dice == sorted(dice)
    (table,) = find(report, "Each image, the worst first")
    assert isinstance(table, Table)
    names = [row[0] for row in table.rows]
    assert len(names) == 8
    assert [title.rsplit(",")[0] for title in titles] == [
        *(f"Worst: {name}" for name in names[:3]), *(f"Best: {name}" for name in names[-3:]),
    ]  # fmt: skip
    captions = [caption for block in shown for _, caption in block.pictures]  # type: ignore[attr-defined]
    assert captions[:4] == ["image", "ground truth", "prediction", "errors"]


def test_what_was_trained_on_what(trained: TrainConfig, discs: Path) -> None:
    report = report_run(trained.run)
    text = read_text(report, "Trained on")
    assert str(discs) in text
    assert "training | 4 images in 4 patches" in text
    assert "the run has finished, after epoch 3 of 3" in report.summary
    assert "model: torch" in read_text(report, "Environment")


def test_the_command_trains_the_same_again(
    trained: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixelwise.cli import run

    first, *_ = find(report_run(trained.run), "Repeat it")
    assert isinstance(first, Code)
    program, *arguments = shlex.split(first.text)
    monkeypatch.chdir(tmp_path)
    assert program == "pixelwise"
    assert run(arguments) == 0
    again, before = (load_file(r / "model.safetensors") for r in (tmp_path / "again", trained.run))
    assert all((again[name] == before[name]).all() for name in before)


def test_images_that_a_model_was_corrected_on_are_not_scored(
    apart: Path, discs: Path, tmp_path: Path
) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "fixed" / kind).mkdir(parents=True)
    shutil.copy(apart / "images" / "0.png", tmp_path / "fixed" / "images" / "0.png")
    mask = read_image(apart / "masks" / "0.png")[0].squeeze()
    write_mask(tmp_path / "fixed" / "masks" / "0.png", np.where(mask > 0, 2, 1).astype(np.uint8))
    data = {"test": apart, "corrections": tmp_path / "fixed"}
    list(fit(create_config(discs, tmp_path / "run", data=data, training={"epochs": 1})))
    report = report_run(tmp_path / "run")
    assert "without those that a model was corrected on" in read_text(report, "Scores")
    (table,) = find(report, "Each image, the worst first")
    assert isinstance(table, Table)
    names = {row[0].partition("-")[0] for row in table.rows}  # others of a name have a number
    assert names == {str(number) for number in range(1, 8)}


def test_a_run_without_its_data_has_a_report_that_says_so(
    trained: TrainConfig, tmp_path: Path
) -> None:
    shutil.copytree(trained.run, tmp_path / "run")
    config = TrainConfig.read(tmp_path / "run" / "config.yaml")
    gone = config.model_copy(update={"data": config.data.model_copy(update={"path": "/gone"})})
    (tmp_path / "run" / "config.yaml").write_text(gone.to_yaml())
    report = report_run(tmp_path / "run")
    assert "was not scored for this report: The data folder /gone does not" in read_text(
        report, "Scores"
    )
    assert report.headline == ""
    assert find(report, "Curves")


def test_a_run_that_has_just_begun(discs: Path, tmp_path: Path) -> None:
    events = fit(create_config(discs, tmp_path / "run"))
    next(events)
    events.close()
    report = report_run(tmp_path / "run")
    assert "no epoch is over" in read_text(report, "Scores")
    assert [section.title for section in report.sections] == [
        "Trained on", "Scores", "Environment", "Repeat it",
    ]  # fmt: skip


def test_a_report_of_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ReadError):
        report_run(tmp_path)
