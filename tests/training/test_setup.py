"""What a training is prepared with where its images do not fit the memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from pixelwise.patches import decoded_images
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.training.fit import fit
from pixelwise.training.setup import prepare
from tests.training.conftest import assert_same_run, create_config


@pytest.mark.parametrize("resident", [False, True])
def test_a_training_on_mapped_planes_has_the_same_bits(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resident: bool
) -> None:
    list(fit(create_config(discs, tmp_path / "held")))
    monkeypatch.setattr(decoded_images, "MEMORY_SHARE", 0)
    if resident:
        monkeypatch.setattr("pixelwise.training.prefetch._measure_free", lambda _: 2**40)
    made, map_planes = [], decoded_images._map_planes

    def note(*args: Any) -> list[DecodedImage]:
        made.append(args)
        return map_planes(*args)

    monkeypatch.setattr(decoded_images, "_map_planes", note)
    list(fit(create_config(discs, tmp_path / "mapped")))
    assert len(made) == 2
    assert_same_run(tmp_path / "held", tmp_path / "mapped")
    assert [
        sorted(p.name for p in (tmp_path / name).rglob("*")) for name in ("held", "mapped")
    ] == [sorted(p.name for p in (tmp_path / "held").rglob("*"))] * 2


def test_the_user_is_told_and_the_run_folder_stays_empty(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded_images, "MEMORY_SHARE", 0)
    (tmp_path / "run").mkdir()
    made, create = list[Path](), tempfile.TemporaryFile

    def note(dir: Path) -> object:  # noqa: A002  tempfile's name for it
        made.append(dir)
        return create(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", note)
    setup = prepare(create_config(discs, tmp_path / "run"))
    assert set(made) == {tmp_path}  # elsewhere than on Linux the file has a name
    assert str(tmp_path) in setup.notes[-1]
