from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import DataError
from pixelwise.images import write_picture
from pixelwise.widgets.project_files import Project, read_doubt


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("b.png", "a.png"):
        write_picture(tmp_path / name, np.zeros((8, 9), np.uint8))
    return Project(tmp_path)


def test_states_and_values_are_remembered(project: Project) -> None:
    first, second = project.list_images()
    assert (first.name, second.name) == ("a.png", "b.png")
    project.note(first, doubt=0.25, model="m")
    project.note(second, done=True)
    project.note(first, corrected=True)
    notes = project.read_notes()
    assert [project.find_state(image, notes) for image in (first, second)] == ["empty", "done"]
    project.find_labels(first).touch()
    assert project.find_state(first, notes) == "corrected"
    project.note(first, corrected=False)
    assert project.find_state(first, project.read_notes()) == "strokes"
    assert read_doubt(first, notes, "m") == 0.25
    assert read_doubt(first, notes, "another model") is None
    assert read_doubt(second, notes, "m") is None


def test_labels_of_a_renamed_image_are_found(project: Project) -> None:
    first, _ = project.list_images()
    project.note(first, done=True)
    project.find_labels(first).touch()
    assert project.list_lost() == []
    first.rename(first.with_name("c.png"))
    assert project.list_lost() == ["a_labels.tif"]
    assert project.find_labels(first).exists()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a.png": 3}'])
def test_damaged_notes_are_as_none(project: Project, text: str) -> None:
    first, _ = project.list_images()
    project.note(first, done=True)
    project.notes_path.write_text(text)
    assert project.find_state(first, project.read_notes()) == "empty"
    project.note(first, done=True)
    assert project.find_state(first, project.read_notes()) == "done"


def test_folders_that_are_no_project(project: Project, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        Project(tmp_path / "none").list_images()
    write_picture(tmp_path / "a.jpg", np.zeros((8, 9), np.uint8))
    with pytest.raises(DataError, match="several images called a"):
        project.list_images()
