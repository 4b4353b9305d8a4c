from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pixelwise.errors import WriteError
from pixelwise.outputs import Sources, plan_outputs, require_outside_images
from tests.test_marks import write

NEVER = {
    "input": lambda d: d / "in.tif",
    "through a folder that is a link": lambda d: d / "linked" / "in.tif",
    "hard link": lambda d: d / "hard.tif",
    "in a zarr": lambda d: d / "in.zarr" / "a.tif",
    "in another's zarr": lambda d: d / "folder.zarr" / "0" / "a.tif",
    "around an input": lambda d: d / "folder.zarr",
    "link to a file": lambda d: d / "link.tif",
    "link to nothing": lambda d: d / "nowhere.tif",
    "folder": lambda d: d / "other",
    "folder that is no zarr": lambda d: d / "other.zarr",
    "pipe": lambda d: d / "pipe.tif",
    "among the masks": lambda d: d / "masks" / "stranger.tif",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with everything that may lie where a result is to be."""
    for name in ("other", "other.zarr", "in.zarr", "folder.zarr", "masks"):
        (tmp_path / name).mkdir()
    for name in ("in.tif", "stranger.tif", "folder.zarr/in.tif", "folder.zarr/zarr.json",
                 "other/a", "other.zarr/a", "masks/m.tif", "masks/stranger.tif"):  # fmt: skip
        (tmp_path / name).write_text(name)
    os.link(tmp_path / "in.tif", tmp_path / "hard.tif")
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "link.tif").symlink_to(tmp_path / "other" / "a")
    (tmp_path / "nowhere.tif").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe.tif")
    return tmp_path


def list_sources(place: Path) -> Sources:
    files = (place / "in.tif", place / "in.zarr", place / "folder.zarr" / "in.tif")
    return Sources((*files, place / "masks" / "m.tif"), (place / "masks",))


@pytest.mark.skipif(os.name == "nt", reason="links and pipes")
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", NEVER.values(), ids=NEVER.keys())
def test_what_is_never_written(
    place: Path, name: Callable[[Path], Path], *, overwrite: bool
) -> None:
    with pytest.raises(WriteError, match="Nothing was written") as caught:
        plan_outputs([name(place)], list_sources(place), overwrite=overwrite)
    assert str(name(place)) in str(caught.value)
    assert "--overwrite" not in str(caught.value)


@pytest.mark.parametrize("name", ["stranger.tif", "changed.tif", "changed.zarr", "old.zarr"])
def test_what_is_not_ours_is_replaced_by_request_only(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if "changed" in name:
        write(path)
        file = path / "zarr.json" if path.is_dir() else path
        file.write_bytes(file.read_bytes() + b" ")
    elif "old" in name:
        path.mkdir()
        (path / ".zgroup").write_text("{}")
    else:
        path.write_text("two years")
    reason = "has been changed since" if "changed" in name else "not known to be a result"
    with pytest.raises(WriteError, match=rf"{reason}.*\n.*--overwrite"):
        plan_outputs([path])
    plan_outputs([path], overwrite=True)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.csv"])
def test_a_result_of_ours_may_be_replaced_unless_it_is_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    plan_outputs([path, tmp_path / "new.tif"], Sources((), (tmp_path,)))
    with pytest.raises(WriteError, match="would overwrite"):
        plan_outputs([path], Sources((path,)), overwrite=True)


def test_an_empty_folder_may_become_a_zarr(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    plan_outputs([tmp_path / "a.zarr"])


def test_the_folder_that_was_named_may_be_a_link_but_none_in_it(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "real")
    plan_outputs([tmp_path / "out" / "inner" / "a.tif"], root=tmp_path / "out")
    (tmp_path / "real" / "away").symlink_to(tmp_path)
    for name in ("away/a.tif", "../a.tif"):
        with pytest.raises(WriteError, match=r"outside of|behind the link"):
            plan_outputs([tmp_path / "out" / name], root=tmp_path / "out")


def test_many_conflicts_are_said_in_one_message(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.tif" for n in range(20)]
    for path in paths:
        path.touch()
    with pytest.raises(WriteError) as caught:
        plan_outputs(paths)
    assert str(paths[4]) in str(caught.value)
    assert str(paths[5]) not in str(caught.value)
    assert "and 15 more" in str(caught.value)


def test_what_came_while_the_job_ran_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    plan = plan_outputs([path])
    plan.require_unchanged(path)
    path.write_text("somebody else's")
    with pytest.raises(WriteError, match="was created or changed"):
        plan.require_unchanged(path)


def test_a_new_folder_lies_outside_of_images(place: Path) -> None:
    for name in ("run", "0/run"):
        with pytest.raises(WriteError, match="inside the image"):
            require_outside_images(place / "folder.zarr" / name)
    require_outside_images(place / "other" / "run")


def test_a_change_inside_a_zarr_is_seen_before_it_is_replaced(tmp_path: Path) -> None:
    output = tmp_path / "a.zarr"
    (output / "c").mkdir(parents=True)
    (output / "zarr.json").write_text("{}")
    (output / "c" / "0").write_text("pixels")
    plan = plan_outputs([output], overwrite=True)
    plan.require_unchanged(output)
    os.utime(output / "c" / "0", ns=(10**18 * 3, 10**18 * 3))
    with pytest.raises(WriteError, match="created or changed"):
        plan.require_unchanged(output)
