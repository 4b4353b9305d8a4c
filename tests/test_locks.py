from __future__ import annotations

import errno
from pathlib import Path

import pytest
from filelock import FileLock

from pixelwise.errors import WriteError
from pixelwise.locks import take_lock


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    first = take_lock(tmp_path / "lock")
    assert first is not None
    assert take_lock(tmp_path / "lock") is None
    first.release()
    second = take_lock(tmp_path / "lock")
    assert second is not None
    second.release()


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "no") for number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)),
        NotImplementedError("FileSystem does not appear to support flock"),
    ],
    ids=["ENOLCK", "ENOSYS", "EOPNOTSUPP", "filelock's own"],
)
def test_a_disk_without_locks_is_named_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def acquire(self: FileLock, timeout: float) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(WriteError, match=r"cannot lock files.*mounted with locks") as found:
        take_lock(tmp_path / "lock")
    assert str(tmp_path) in str(found.value)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"Cannot write .*lock"):
        take_lock(tmp_path / "file" / "lock")


def test_a_link_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "notes")
    with pytest.raises(WriteError, match="is a link to"):
        take_lock(tmp_path / "lock")
    assert (tmp_path / "notes").read_text() == "precious"
