"""Files and folders from strangers, through the commands: one message, nothing outside, no wait."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from pixelwise.cards import METADATA_KEY, Card
from pixelwise.classes import create_classes
from pixelwise.cli import run
from pixelwise.cli.console import show_scores
from pixelwise.config import DataConfig, TrainConfig
from pixelwise.errors import DataError, ModelFileError, ReadError
from pixelwise.images import open_image
from pixelwise.normalization import create_percentile
from pixelwise.scores import create_scores
from tests.fuzzing.containers import sign_model
from tests.test_parsing import BOMB, needs_pipes

CARD = Card(
    architecture="unet",
    options={"base_channels": 4, "depth": 1},
    in_channels=1,
    classes=create_classes(["background", "cell"]),
    normalization=create_percentile(),
    axes="YX",
    dtype="uint8",
    patch_size=(32, 32),
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    from pixelwise.models.files import create_network, save_model

    path = tmp_path / "model.safetensors"
    save_model(path, create_network(CARD).state_dict(), CARD)
    return path


def write_pairs(folder: Path) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(4):
        image = rng.integers(0, 256, (40, 40)).astype(np.uint8)
        tifffile.imwrite(folder / "images" / f"i{number}.tif", image)
        tifffile.imwrite(folder / "masks" / f"i{number}.tif", (image > 99).astype(np.uint8))
    return folder


def change_card(path: Path, **changes: Any) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    card = json.loads(header["__metadata__"][METADATA_KEY]) | changes
    header["__metadata__"][METADATA_KEY] = json.dumps(card)
    write_header(path, header, content[8 + length :])


def write_header(path: Path, header: dict[str, Any], rest: bytes) -> None:
    """Write a model file whose checksum is right, so that more than the checksum is asked."""
    text = json.dumps(header).encode()
    path.write_bytes(sign_model(len(text).to_bytes(8, "little") + text + rest))


@pytest.mark.parametrize("field", ["names", "name", "image", "mask"])
@pytest.mark.parametrize("start", ["../../../victim/evil", "{folder}/victim/evil", "a\0"])
def test_names_of_patches_stay_inside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, start: str
) -> None:
    data, out = write_pairs(tmp_path / "data"), tmp_path / "patches"
    assert run(["patches", str(data), "--out", str(out), "--size", "32"]) == 0
    (tmp_path / "victim").mkdir()
    index = json.loads((out / "patches.json").read_text())
    source, name = index["sources"][0], start.format(folder=tmp_path)
    named = [f"{name}{i}" for i in range(len(source["names"]))]
    source[field] = named if field == "names" else name
    (out / "patches.json").write_text(json.dumps(index))
    again = str(tmp_path / "deep" / "er" / "again")
    capsys.readouterr()
    assert run(["patches", str(out), "--out", again, "--size", "16"]) == 1
    message = capsys.readouterr().err
    assert "patches.json is not a patch index" in message.replace("\n", "")
    assert f"sources.0.{field}" in message
    assert not list((tmp_path / "victim").iterdir())


def test_a_config_of_aliases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bomb.yaml").write_text("data: {path: x}\nrun: y\n" + BOMB)
    start = time.process_time()
    assert run(["train", str(tmp_path / "bomb.yaml"), "--dry-run"]) == 2
    assert time.process_time() - start < 2
    message = capsys.readouterr().err
    assert "anchors and aliases" in message
    assert len(message) < 1000


ODD = {"number": "run: x\n1: 2\n", "date": "data: 2024-99-99\n", "bomb": BOMB, "bytes": "\udcff"}


def test_odd_runs_do_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = TrainConfig(data=DataConfig(path=tmp_path), run=tmp_path / "good")
    for name, text in {**ODD, "good": good.to_yaml()}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert run(["runs", str(tmp_path), "--json"]) == 0
    found = {Path(row["path"]).name: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert found == {"good": "waiting", **dict.fromkeys(ODD, "unreadable")}


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"base_channels": 700, "depth": 5}},
        {"options": {"base_channels": 10**9}},
        {"options": {"base_channels": 4, "depth": 10**6}},
        {"architecture": "segformer", "options": {"decoder_channels": 4096}},
        {"in_channels": 10**9},
        {"in_channels": -1},
        {"classes": [{"name": f"c{i}", "color": "#000000"} for i in range(5000)]},
        {"classes": [{"name": "a\x1b[2J", "color": "#000000"}] * 2},
        {"encoder": "tu-nothing"},
        {"architecture": "x" * 10**6},
        {"options": {"x" * 10**6: 1}},
        {"normalization": None},
    ],
    ids=range(12),
)
def test_a_card_that_asks_for_another_network(model: Path, changes: dict[str, Any]) -> None:
    from pixelwise.models.files import load_model

    assert load_model(model).card.in_channels == 1
    change_card(model, **changes)
    before = read_peak()
    with pytest.raises(ModelFileError) as caught:
        load_model(model)
    assert "model.safetensors" in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert read_peak() - before < 300 << 20


def read_peak() -> int:
    """Most memory of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_header_that_promises_more_than_the_file_holds(model: Path) -> None:
    from pixelwise.models.files import load_model

    content = model.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    entry = next(item for name, item in header.items() if name[:2] != "__")
    endless = {"shape": [10**9] * 1_000_000}  # to multiply these takes minutes
    for change in (
        endless,
        {"shape": [10**6, 10**6]},
        {"dtype": "X"},
        {"data_offsets": [0]},
        {"shape": 1},
    ):
        write_header(model, {**header, "a": {**entry, **change}}, content[8 + length :])
        with pytest.raises(ModelFileError, match="is not a model file"):
            load_model(model)


HOSTILE_ARRAYS = {
    "object": {"dtype": "|O", "filters": [{"id": "pickle"}]},
    "pickle": {"filters": [{"id": "pickle", "protocol": 5}]},
    "compressor": {"compressor": {"id": "pickle"}},
    "msgpack": {"filters": [{"id": "msgpack2"}]},
    "records": {"dtype": [["a", "|O"]]},
    "text": {"dtype": "<U9"},
    "hidden": {"filters": [{"id": "astype", "encode_dtype": "|O", "decode_dtype": "|O"}]},
}


@pytest.mark.parametrize("changes", HOSTILE_ARRAYS.values(), ids=list(HOSTILE_ARRAYS))
@pytest.mark.parametrize("inside", [False, True], ids=["array", "image"])
def test_zarr_that_would_run_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], inside: bool
) -> None:
    folder = tmp_path / "a.zarr"
    array = folder / "0" if inside else folder
    if inside:
        datasets = [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}
        ]
        image = {"axes": [{"name": "y"}, {"name": "x"}], "datasets": datasets, "version": "0.4"}
        zarr.create_group(folder, zarr_format=2, attributes={"multiscales": [image]})
    zarr.create_array(array, shape=(64, 64), dtype="u1", chunks=(32, 32), zarr_format=2)[...] = 1
    assert open_image(folder).read().max() == 1
    metadata = json.loads((array / ".zarray").read_text())
    (array / ".zarray").write_text(json.dumps(metadata | changes))

    def stop(*_: Any, **__: Any) -> Any:
        raise AssertionError("zarr opened it")

    for name in ("open", "open_array", "open_group"):
        monkeypatch.setattr(zarr, name, stop)
    with pytest.raises(DataError, match=r"expected numbers|is not (read|supported)"):
        open_image(folder).read()


@needs_pipes
def test_pipes_in_the_place_of_files(tmp_path: Path, model: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(ReadError, match="pipe"):
        open_image(tmp_path / "a.tif")
    zarr.create_array(tmp_path / "b", shape=(64, 64), dtype="u1", chunks=(64, 64))[...] = 1
    (tmp_path / "b" / "c" / "0" / "0").unlink()
    os.mkfifo(tmp_path / "b" / "c" / "0" / "0")
    with pytest.raises(ReadError, match="pipe"):
        open_image(tmp_path / "b").read()
    model.unlink()
    os.mkfifo(model)
    assert run(["info", str(model)]) == 1


CLASSES = ("[/x]", "[bold]a", "$x$ $", ":smile:")


def test_names_with_markup_are_shown_as_they_are(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = [{"name": name, "color": "#000000"} for name in CLASSES[:2]]
    change_card(model, classes=classes)
    assert run(["info", str(model)]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in CLASSES[:2])


def test_names_with_markup_do_not_break_tables(capsys: pytest.CaptureFixture[str]) -> None:
    show_scores(create_scores(np.eye(4, dtype=np.int64), CLASSES), "scores of [/x]")
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*CLASSES, "scores of [/x]"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("kind", ["image", "folder"])
def test_a_name_of_two_lines_does_not_forge_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "masks\nError: all is lost.png"
    path.mkdir() if kind == "folder" else path.write_bytes(b"")
    assert run(["inspect", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "has a line break" in message
    assert "\nError: all" not in message


def test_nothing_reaches_the_terminal_that_controls_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b]0;x\x07\x9b2J\u202e"
    assert run(["info", str(tmp_path / name)]) == 1
    assert run(["predict", str(tmp_path / name), f"--{name}"]) == 2
    assert run(["train", str(tmp_path / name)]) == 2
    (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / name / "config.yaml").write_text("a: 1")
    for option in ([], ["--json"]):
        assert run(["runs", str(tmp_path / "runs"), *option]) == 0
    shown = "".join(capsys.readouterr())
    assert "\\u001b]0;x\\u0007\\u009b2J\\u202e" in shown
    assert not {"\x1b", "\x07", "\x9b", "\u202e"}.intersection(shown)
