from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.classes import create_classes
from pixelwise.datasets import load_dataset
from pixelwise.errors import WriteError
from pixelwise.images import read_image, write_tiff
from pixelwise.widgets import project
from pixelwise.widgets.annotation_files import Annotation, AnnotationFile, create_key
from pixelwise.widgets.corrections import accept_prediction, accept_region, add_corrections
from pixelwise.widgets.layers import MODEL, PREDICTED, SOURCE, SPARSE, color_labels
from pixelwise.widgets.regions import REGION
from tests.widgets.conftest import draw_discs, wait_until

pytestmark = [pytest.mark.display, pytest.mark.one_binding]
NAMES = ("a", "b", "c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images, _ = draw_discs(3)
    found = tmp_path / "project"
    found.mkdir()
    for name, pixels in zip(NAMES, images, strict=True):
        write_tiff(found / f"{name}.tif", pixels, axes="YX")
    return found


@pytest.fixture
def page(open_widget: Callable[..., Any]) -> Any:
    return open_widget("Annotate")


def list_states(page: Any) -> list[str]:
    table = page.project.table
    return [table.item(row, 1).text() for row in range(table.rowCount())]


def list_layers(page: Any) -> list[str]:
    return [layer.name for layer in page.viewer.layers]


def test_strokes_are_saved_on_leaving_and_come_back(page: Any, folder: Path) -> None:
    page.project.open(folder)
    assert list_layers(page) == ["a.tif", "a.tif labels"]
    assert page.layer.metadata[SPARSE]
    page.layer.data[3:6] = 2
    page.project.next_button.click()
    assert list_layers(page) == ["b.tif", "b.tif labels"]
    assert list_states(page) == ["strokes", "empty", "empty"]
    page.project.previous_button.click()
    assert set(page.layer.data[3]) == {2}
    page.project.previous_button.click()
    assert page.project.image == folder / "a.tif", "there is none before"
    page.project.done.click()
    assert list_states(page)[0] == "done"
    assert sorted(p.name for p in folder.iterdir()) == ["a.tif", "b.tif", "c.tif", "pixelwise"]
    page.project.open(folder)
    assert page.project.image == folder / "b.tif", "the first one that is not done"
    assert list_layers(page) == ["b.tif", "b.tif labels"]
    page.layer.data[9] = 1
    page.project.close_button.click()
    assert list_layers(page) == []
    page.project.open(folder)
    assert page.layer.data[9].all()


def test_corrections_are_saved_on_top(page: Any, folder: Path) -> None:
    page.project.open(folder)
    page.layer.data[3:6] = 2
    found = page.viewer.add_labels(np.ones((64, 64), np.uint8), name="a.tif prediction")
    found.metadata = {PREDICTED: True, SOURCE: "a.tif", MODEL: "m"}
    color_labels(found, page.classes)
    add_corrections(page.viewer, found).data[5:8] = 1
    page.project.next_button.click()
    assert list_layers(page) == ["b.tif", "b.tif labels"]
    assert list_states(page)[0] == "corrected"
    mask = read_image(folder / "pixelwise" / "a_labels.tif")[0]
    assert [mask[row, 0] for row in (4, 5, 7, 9)] == [2, 1, 1, 0]


def test_corrections_are_merged_by_the_names_of_their_classes(page: Any, folder: Path) -> None:
    page.project.open(folder)
    page.layer.data[3:6] = 2
    found = page.viewer.add_labels(np.zeros((64, 64), np.uint8), name="a.tif prediction")
    found.metadata = {PREDICTED: True, SOURCE: "a.tif", MODEL: "m"}
    color_labels(found, create_classes(["object", "background", "dog"]))
    added = add_corrections(page.viewer, found)
    added.data[8], added.data[9], added.data[10] = 1, 2, 3
    path = folder / "pixelwise" / "a_labels.tif"
    page.project.next_button.click()
    assert "a.tif corrections has the class dog" in page.message
    assert "the classes background, object. Nothing was written" in page.message
    assert not path.exists()
    assert added in page.viewer.layers
    added.data[10] = 0
    found.data[12] = 1
    accept_prediction(found)
    assert page.project.save()
    mask = read_image(path)[0]
    assert [mask[row, 0] for row in (8, 9, 10, 12)] == [2, 1, 2, 1]


def test_what_was_accepted_is_saved(page: Any, folder: Path) -> None:
    page.project.open(folder)
    page.layer.data[3:6] = 2
    live = page.viewer.add_labels(np.zeros((64, 64), np.uint8), name="a.tif live")
    live.metadata = {PREDICTED: True, SPARSE: True, SOURCE: "a.tif"}
    color_labels(live, page.classes, first=1)
    live.data[10:12] = 2
    region = page.viewer.add_labels(np.ones((4, 64), np.uint8), name="a.tif prediction")
    region.metadata = {
        PREDICTED: True, SOURCE: "a.tif", MODEL: "m",
        REGION: {"level": 0, "plane": {}, "rows": (20, 24), "columns": (0, 64)},
    }  # fmt: skip
    color_labels(region, page.classes)
    path = folder / "pixelwise" / "a_labels.tif"
    assert page.project.save()
    mask = read_image(path)[0]
    assert [mask[row, 0] for row in (4, 10, 21, 40)] == [2, 0, 0, 0], "nothing is accepted yet"
    accept_prediction(live)
    accept_region(page.viewer, region)
    page.project.next_button.click()
    assert list_layers(page) == ["b.tif", "b.tif labels"]
    mask = read_image(path)[0]
    assert [mask[row, 0] for row in (4, 10, 21, 40)] == [2, 2, 2, 0]


def test_training_takes_all_annotated_images(page: Any, folder: Path) -> None:
    page.project.open(folder)
    page.project.train()
    assert "No image of the folder has strokes yet" in page.message
    for _ in range(2):
        page.layer.data[3:6], page.layer.data[9:12] = 1, 2
        page.project.next_button.click()
    opened = []
    train = type("Train", (), {})()
    train.data = train
    train.choose_folder = lambda path, **fields: opened.append((path, fields))
    page.open_page = lambda _: train
    page.project.train()
    ((path, fields),) = opened
    from pixelwise.config import DataConfig

    data = load_dataset(DataConfig.create(path=path, **fields))
    assert [sample.name for sample in data.samples] == ["a", "b"]
    assert [item.name for item in data.classes] == ["background", "object"]
    assert set(np.unique(data.samples[0].read_mask())) == {0, 1, 255}


def fill_disk(*_: object) -> None:
    raise WriteError("No space left on device.")


def test_nothing_is_lost_by_other_windows_full_disks_and_renamed_images(
    page: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.project.open(folder)
    page.layer.data[3:6] = 2
    with monkeypatch.context() as patch:
        patch.setattr(project, "write_labels", fill_disk)
        page.project.next_button.click()
    assert "No space left" in page.message
    assert page.project.image == folder / "a.tif"
    assert page.project.save()
    other = folder / "pixelwise" / "a_labels.tif"
    write_tiff(other, np.full((64, 64), 1, np.uint8), axes="YX")
    page.layer.data[8:9] = 2
    page.project.next_button.click()
    assert "changed by another program" in page.message
    assert page.project.image == folder / "a.tif"
    assert page.layer.data[8].any()
    assert read_image(other)[0].min() == 1
    page.viewer.layers.remove(page.layer)
    (folder / "b.tif").rename(folder / "z.tif")
    write_tiff(folder / "pixelwise" / "b_labels.tif", np.ones((64, 64), np.uint8), axes="YX")
    page.project.open(folder)
    assert "b_labels.tif. They stay as they are" in page.message
    (folder / "c.tif").unlink()
    page.project.go(folder / "c.tif")
    assert "c.tif" in page.message
    assert page.project.image == folder / "a.tif"


def test_the_images_a_model_is_least_sure_of_come_first(
    page: Any, folder: Path, write_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    page.project.open(folder)
    page.project.model.value = write_model()
    asked = []

    def start(images: list[Path], model: Path, _: object) -> None:
        asked.append([image.name for image in images])
        for image, value in zip(images, (0.1, 0.3, 0.2), strict=True):
            page.project._doubts.measured.emit(image, value, model)
        page.project._doubts.ended.emit("")

    monkeypatch.setattr(page.project._doubts, "start", start)
    page.project.order.setCurrentText("least sure first")
    shown = [page.project.table.item(row, 0).text() for row in range(3)]
    assert shown == ["b.tif", "c.tif", "a.tif"]
    assert page.project.table.item(0, 2).text() == "0.300"
    assert page.project.image == folder / "a.tif", "the open image stays"
    page.project.order.setCurrentText("by name")
    assert page.project.table.item(0, 0).text() == "a.tif"
    page.project._doubts.measured.emit(folder / "a.tif", 0.9, Path("other"))
    assert page.project.table.item(0, 2).text() == "", "another model's value is not this one's"


def test_the_warm_child_measures(page: Any, folder: Path, write_model: Callable[..., Path]) -> None:
    page.project.open(folder)
    page.project.model.value = write_model()
    said = []
    page.project._doubts.started.connect(lambda *_: said.append(page.message))
    page.project.order.setCurrentText("least sure first")
    wait_until(lambda: not page.project._doubts.is_running)
    assert [text.partition(": ")[2] for text in said] == [f"image {n} of 3…" for n in (1, 2, 3)]
    assert page.message == ""
    values = [float(page.project.table.item(row, 2).text()) for row in range(3)]
    assert values == sorted(values, reverse=True)
    assert all(0 < value < 1 for value in values)


def test_a_process_that_cannot_start_ends_the_measuring(
    page: Any, folder: Path, write_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    page.project.open(folder)
    page.project.model.value = write_model()
    monkeypatch.setattr("pixelwise.widgets.jobs.Server.submit", refuse)
    page.project.order.setCurrentText("least sure first")
    assert "Cannot allocate memory" in page.message
    assert not page.project._doubts.is_running
    assert page.project.table.rowCount() == 3


def test_strokes_that_a_crash_left_go_into_the_project(page: Any, folder: Path) -> None:
    about = Annotation(image="a.tif", path="", name="old", axes="YX", sparse=True)
    kept = page.autosave._folder
    for name in ("a.tif", "b.tif"):
        left = AnnotationFile(kept, create_key(name, str(folder / name), (64, 64)))
        left.write(np.full((64, 64), 2, np.uint8), about)
        assert left._lock is not None
        left._lock.release()
    page.ask_restore, page.isVisible = lambda *_: "restore", lambda: True
    page.project.open(folder)
    wait_until(lambda: page.layer is not None and page.layer.data.all())
    assert list_layers(page) == ["a.tif", "a.tif labels"]
    wait_until(lambda: not page.autosave.is_busy)
    assert read_image(folder / "pixelwise" / "a_labels.tif")[0].all()
    assert len(list(kept.glob("*.npz"))) == 1, "that of b"


def leave(page: Any, image: Path, rows: slice, value: int, model: str = "") -> None:
    """Leave strokes on an image as a crash does."""
    classes = [(item.name, item.color) for item in page.classes]
    about = Annotation(
        image=image.name, path="", name="old", axes="YX", sparse=True, model=model, classes=classes
    )
    pixels = np.zeros((64, 64), np.uint8)
    pixels[rows] = value
    left = AnnotationFile(page.autosave._folder, create_key(image.name, str(image), (64, 64)))
    left.write(pixels, about)
    assert left._lock is not None
    left._lock.release()


def test_what_a_crash_left_replaces_no_saved_strokes(page: Any, folder: Path) -> None:
    page.project.open(folder)
    page.layer.data[3:6] = 2
    page.project.next_button.click()
    leave(page, folder / "a.tif", slice(10, 12), 1)
    leave(page, folder / "a.tif", slice(20, 22), 1, model="m")
    page.ask_restore, page.isVisible = lambda *_: "restore", lambda: True
    page.project.previous_button.click()
    wait_until(lambda: len(page.viewer.layers) == 3 and page.layer.data[10].all())
    wait_until(lambda: not page.autosave.is_busy)
    mask = read_image(folder / "pixelwise" / "a_labels.tif")[0]
    assert [mask[row, 0] for row in (4, 10, 20, 30)] == [2, 1, 1, 0]
    (corrections,) = [x for x in page.viewer.layers if MODEL in x.metadata]
    assert corrections.data[20].all(), "Improve finds it"
    page.project.next_button.click()
    mask = read_image(folder / "pixelwise" / "a_labels.tif")[0]
    assert [mask[row, 0] for row in (4, 10, 20, 30)] == [2, 1, 1, 0]
