from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import WriteError
from pixelwise.widgets.annotation_files import (
    Annotation,
    AnnotationFile,
    create_key,
    list_left,
    read_file,
    remove_old,
)

KEY = create_key("cells", "", (5, 6))
ABOUT = Annotation(
    image="cells", path="", name="cells labels", axes="YX", sparse=True,
    classes=[["ground", "#8c8c8c"], ["cell", "#ff0000"]],
)  # fmt: skip
PIXELS = np.arange(30, dtype=np.uint8).reshape(5, 6)


def write_in_another_process(folder: Path) -> None:
    """Write a file and crash."""
    code = (
        "import os, sys; from pathlib import Path; from tests.widgets import test_annotation_files "
        "as t; t.AnnotationFile(Path(sys.argv[1]), t.KEY).write(t.PIXELS, t.ABOUT); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False)


def test_a_file_of_a_window_that_is_gone_is_found_and_others_are_left_alone(tmp_path: Path) -> None:
    mine = AnnotationFile(tmp_path, KEY)
    mine.write(PIXELS + 1, ABOUT)
    assert list_left(tmp_path, KEY) == [], "its window is open"
    write_in_another_process(tmp_path)
    (left,) = list_left(tmp_path, KEY)
    found = read_file(left)
    assert found is not None
    np.testing.assert_array_equal(found[0], PIXELS)
    assert found[1] == ABOUT
    assert list_left(tmp_path, create_key("cells", "", (6, 5))) == []
    mine.write(PIXELS + 2, ABOUT)
    assert len(list(tmp_path.glob("*.npz"))) == 2
    mine.remove()
    assert sorted(p.stem for p in tmp_path.iterdir()) == [left.stem] * 2


def test_the_key_is_that_of_the_file_if_there_is_one() -> None:
    assert create_key("a", "/x.tif", (5, 6)) == create_key("renamed", "/x.tif", (5, 6))
    assert create_key("a", "", (5, 6)) != create_key("b", "", (5, 6))


@pytest.mark.parametrize("text", [b"", b"PK damaged"])
def test_a_damaged_file_is_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(text)
    assert read_file(path) is None


def test_old_files_go_but_not_those_of_open_windows(tmp_path: Path) -> None:
    mine = AnnotationFile(tmp_path, KEY)
    mine.write(PIXELS, ABOUT)
    old, new = tmp_path / "old.npz", tmp_path / "new.npz"
    for path in (old, new):
        path.touch()
    long_ago = time.time() - 40 * 86_400
    for path in (old, mine.path):
        os.utime(path, (long_ago, long_ago))
    remove_old(tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.npz")) == sorted(["new.npz", mine.path.name])
    mine.remove()


def test_a_full_disk_leaves_the_last_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = AnnotationFile(tmp_path, KEY)
    mine.write(PIXELS, ABOUT)
    kept = mine.path.read_bytes()

    def fill(path: Path, **_: object) -> None:
        path.write_bytes(kept[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fill)
    with pytest.raises(WriteError, match="No space left"):
        mine.write(PIXELS + 1, ABOUT)
    assert mine.path.read_bytes() == kept
    mine.remove()
    assert list(tmp_path.iterdir()) == []
