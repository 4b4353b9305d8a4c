"""What a training is prepared with where its images do not fit the memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from pixelwise.cards import read_card
from pixelwise.events import EpochEnded, RunEnded
from pixelwise.patches import decoded_images
from pixelwise.patches.decoded_images import DecodedImage
from pixelwise.runs import RunFolder
from pixelwise.training import setup
from pixelwise.training.fit import fit, resume
from pixelwise.training.setup import prepare
from tests.training.conftest import assert_same_run, create_config, write_discs


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
    prepared = prepare(create_config(discs, tmp_path / "run"))
    assert set(made) == {tmp_path}  # elsewhere than on Linux the file has a name
    assert str(tmp_path) in prepared.notes[-1]


def test_patches_are_smaller_without_a_gpu_and_stay_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_discs(tmp_path / "data", size=272)
    config = create_config(data, tmp_path / "run", patches={"size": "auto"})
    assert prepare(config).card.patch_size == (128, 128)
    events = fit(config)
    next(event for event in events if isinstance(event, EpochEnded))
    events.close()
    monkeypatch.setattr(setup, "CPU_PATCH", (96, 96))
    assert prepare(config).card.patch_size == (96, 96)
    assert isinstance(list(resume(config.run))[-1], RunEnded)
    assert read_card(RunFolder(config.run).model).patch_size == (128, 128)
    kept = prepare(config).card.normalization
    assert prepare(config, kept=kept).card.patch_size == (256, 256)  # as older versions had
