from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from magicgui.widgets import FileEdit

from pixelwise.cards import Card, TrainingSummary, read_card
from pixelwise.classes import create_classes
from pixelwise.models.files import create_network, save_model
from pixelwise.normalization import create_percentile
from pixelwise.starter import starter_path
from pixelwise.widgets import model_list
from pixelwise.widgets.model_list import OTHER, ModelList, describe_training, list_models
from tests.widgets.conftest import TINY

pytestmark = pytest.mark.display
Add = Callable[..., Path]


@pytest.fixture
def add_run(tmp_path: Path) -> Add:
    """Make a run with a model that was trained for some epochs; later ones are newer."""
    made: list[Path] = []

    def add(name: str, epochs: int = 3, classes: tuple[str, ...] = ("cell",)) -> Path:
        summary = TrainingSummary(data="a", images=1, patches=1, epochs=epochs)
        scores = {"dice": 0.914} if epochs else {}
        card = Card(
            architecture="unet",
            options=TINY,
            in_channels=1,
            classes=create_classes(["background", *classes]),
            normalization=create_percentile(),
            axes="YX",
            dtype="uint8",
            patch_size=(32, 32),
            training=summary.model_copy(update={"scores": scores}),
        )
        path = tmp_path / "runs" / name / "model.safetensors"
        path.parent.mkdir(parents=True)
        save_model(path, create_network(card).state_dict(), card)
        os.utime(path, (1.79e9 + 60 * len(made),) * 2)
        made.append(path)
        return path

    return add


def texts(models: ModelList) -> list[str]:
    return [models.box.itemText(i) for i in range(models.box.count())]


@pytest.fixture
def make_list(qtbot: Any, tmp_path: Path) -> Callable[[], tuple[ModelList, FileEdit]]:
    def make() -> tuple[ModelList, FileEdit]:
        field = FileEdit(name="model", label="File")
        models = ModelList(field, lambda: tmp_path / "runs")
        qtbot.addWidget(models)
        return models, field

    return make


def test_models_have_a_name_classes_and_a_score(add_run: Add, make_list: Any) -> None:
    add_run("one", classes=("cell", "wall", "debris", "dust"))
    newest = add_run("two")
    models, field = make_list()
    first, second, starter, last = texts(models)
    assert starter.startswith("Starter model · nucleus · Dice 0.")
    assert "202" not in starter
    assert first.startswith("two · cell · Dice 0.91 · 2026-09-")
    assert second.startswith("one · cell, wall and 2 more · Dice 0.91 · 2026-09-")
    assert last == OTHER
    assert Path(field.value) == newest
    assert models.box.currentIndex() == 0
    assert models._file.isHidden()


def test_what_is_no_trained_model_is_not_offered(add_run: Add, make_list: Any) -> None:
    good = add_run("good")
    add_run("untrained", epochs=0)
    damaged = add_run("damaged")
    damaged.write_bytes(damaged.read_bytes()[:-5])
    add_run("empty").write_bytes(b"")
    add_run("folder").unlink()
    (damaged.parents[1] / "folder" / "model.safetensors").mkdir()
    os.mkfifo(damaged.parents[1] / "folder" / "model.safetensors" / "model.safetensors")
    models, field = make_list()
    assert len(texts(models)) == 3
    assert Path(field.value) == good


def test_a_path_that_is_set_is_chosen_or_added(
    add_run: Add, make_list: Any, tmp_path: Path
) -> None:
    first, second = add_run("one"), add_run("two")
    models, field = make_list()
    field.value = first
    assert models.box.currentText().startswith("one ·")
    other = tmp_path / "mine.safetensors"
    shutil.copy(add_run("untrained", epochs=0), other)
    field.value = other
    assert models.box.currentText().startswith("mine · cell · not trained ·")
    assert models._file.isHidden()
    models.refresh()
    assert Path(field.value) == other, "a choice is kept"
    names = [text.split(" · ")[0] for text in texts(models)]
    assert names == ["two", "one", "Starter model", "mine", OTHER]
    field.value = tmp_path / "missing.safetensors"
    assert models.box.currentText() == OTHER
    assert not models._file.isHidden()
    models.box.setCurrentIndex(0)
    models.box.activated.emit(0)
    assert Path(field.value) == second
    models.box.activated.emit(4)
    assert not models._file.isHidden()
    assert Path(field.value) == second, "until another file is chosen"


def test_a_run_that_has_ended_is_taken_unless_somebody_has_chosen(
    add_run: Add, make_list: Any
) -> None:
    models, field = make_list()
    assert len(texts(models)) == 2
    assert Path(field.value) == starter_path(), "without a model of one's own"
    assert models._file.isHidden()
    first = add_run("one")
    models.refresh()
    assert Path(field.value) == first
    second = add_run("two")
    models.refresh()
    assert Path(field.value) == second
    models.box.activated.emit(1)
    add_run("three")
    models.refresh()
    assert Path(field.value) == first
    assert models.box.currentText().startswith("one ·")


def test_cards_are_read_once_and_never_for_long(
    add_run: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [add_run(f"run {i}") for i in range(5)]
    read: list[Path] = []
    monkeypatch.setattr(model_list, "read_card", lambda path: read.append(path) or read_card(path))
    folder = paths[0].parents[1]
    assert list_models(folder, seconds=-1) == ([], False)
    assert len(list_models(folder)[0]) == 5
    assert list_models(folder, seconds=-1)[1], "all are known"
    assert len(read) == 5
    os.utime(paths[0], (1.8e9, 1.8e9))
    assert list_models(folder)[0][0].path == paths[0]
    assert read[5:] == [paths[0]]


def test_the_rest_of_many_models_is_read_a_moment_later(
    add_run: Add, make_list: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run("one")
    pauses = iter([-1.0, 5.0])
    real = model_list.list_models
    monkeypatch.setattr(model_list, "list_models", lambda folder: real(folder, next(pauses, 5.0)))
    models, field = make_list()
    assert len(texts(models)) == 2
    qtbot.waitUntil(lambda: len(texts(models)) == 3)
    assert Path(field.value).parent.name == "one"


def test_the_text_of_a_training() -> None:
    summary = TrainingSummary(data="a", images=1, patches=1, epochs=1, scores={"dice": 0.5})
    assert describe_training(summary) == ("trained for 1 epoch, Dice 0.50 on the validation images")
    assert "not trained" in describe_training(summary.model_copy(update={"epochs": 0}))
    assert "nothing is said" in describe_training(None)


def test_predict_shows_the_list(open_widget: Any, add_run: Add, tmp_path: Path) -> None:
    widget = open_widget("Predict")
    assert "3 channels; classes: background, nucleus; trained for" in widget.card_text.text()
    add_run("nuclei-1")
    widget.models.refresh()
    assert widget.models.box.currentText().startswith("nuclei-1 · cell · Dice 0.91")
    assert "1 channel; classes: background, cell; trained for 3 epochs" in widget.card_text.text()
    widget.model.value = add_run("started", epochs=0)
    assert "not trained" in widget.card_text.text()
