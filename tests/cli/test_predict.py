from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from PIL import Image

from pixelwise.classes import create_classes
from pixelwise.cli.predict import find_model
from pixelwise.errors import ReadError
from pixelwise.images import read_image, write_picture, write_zarr
from pixelwise.models.files import create_network, save_model
from pixelwise.samples import samples_path
from pixelwise.starter import starter_path
from tests.images.microscopes.handmade import write_lif
from tests.prediction.conftest import create_card


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    classes = create_classes(["background", "foreground"])
    card = create_card(3, 2, dtype="uint8").model_copy(update={"classes": classes})
    path = tmp_path / "m.safetensors"
    save_model(path, create_network(card).state_dict(), card)
    return path


def test_predict_writes_labels(pixelwise: Callable, model: Path, tmp_path: Path) -> None:
    folder = samples_path() / "test" / "images"
    result = pixelwise("predict", model, folder, "--out", tmp_path / "out", "--tile", 128)
    assert result.status == 0, result.err
    assert "read as YXC" in result.out
    outputs = sorted((tmp_path / "out").iterdir())
    assert len(outputs) == 8
    assert tifffile.imread(outputs[0]).dtype == np.uint8


def test_predict_takes_a_folder_of_any_formats(
    pixelwise: Callable, model: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    rgb = np.zeros((40, 40, 3), np.uint8)
    np.save(images / "a.npy", rgb)
    Image.fromarray(rgb).save(images / "b.gif")
    Image.fromarray(rgb).save(images / "c.ppm")
    Image.fromarray(rgb).save(images / "d.jp2")
    write_lif(images / "e.lif", {"a": ("YXS", rgb)})
    tifffile.imwrite(images / "f.svs", rgb)
    result = pixelwise("predict", model, images, "--out", tmp_path / "out")
    assert result.status == 0, result.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{letter}_labels.tif" for letter in "abcdef"]


def test_predict_reports_what_failed(pixelwise: Callable, model: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    write_picture(images / "good.png", np.zeros((40, 40, 3), np.uint8))
    (images / "bad.png").write_bytes(b"nothing")
    result = pixelwise("predict", model, images, "--out", tmp_path / "out")
    assert result.status == 1
    assert "1 images could not be predicted" in result.err
    assert "bad.png" in result.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good_labels.tif"]


def test_evaluate_scores_per_image_and_in_total(pixelwise: Callable, model: Path) -> None:
    result = pixelwise("evaluate", model, samples_path(), "--split", "test", "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert len(found["images"]) == 8
    total = np.array(found["total"]["confusion"])
    each = [np.array(image["confusion"]) for image in found["images"].values()]
    np.testing.assert_array_equal(total, sum(each))
    text = pixelwise("evaluate", model, samples_path(), "--split", "test", "--per-image").out
    assert "macro, foreground" in text
    assert all(name in text for name in found["images"])


def test_a_model_cut_in_half(pixelwise: Callable, model: Path, tmp_path: Path) -> None:
    model.write_bytes(model.read_bytes()[:-5000])
    image = samples_path() / "test"
    result = pixelwise("predict", model, image, "--out", tmp_path / "out")
    assert result.status == 1
    assert "damaged" in result.err
    assert not (tmp_path / "out").exists()


def test_other_classes_are_refused(pixelwise: Callable, model: Path) -> None:
    classes = "0=a,255=b,7=c"
    result = pixelwise("evaluate", model, samples_path(), "--classes", classes)
    assert result.status == 1
    assert "2 classes" in result.err


def test_predict_reads_and_writes_zarr(pixelwise: Callable, model: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (3, 70, 50)).astype(np.uint8)
    write_zarr(images / "a.zarr", pixels, axes="CYX")
    for given, out in ((images, "folder"), (images / "a.zarr", "image")):
        result = pixelwise("predict", model, given, "--out", tmp_path / out, "--format", "zarr")
        assert result.status == 0, result.err
        assert "read as CYX (OME-Zarr 0.5 metadata)" in result.out
        assert [path.name for path in (tmp_path / out).iterdir()] == ["a_labels.zarr"]
    tiff = pixelwise("predict", model, images, "--out", tmp_path / "tiff")
    assert tiff.status == 0, tiff.err
    expected = tifffile.imread(tmp_path / "tiff" / "a_labels.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "image" / "a_labels.zarr")[0], expected)


def test_predict_says_what_to_point_at(pixelwise: Callable, model: Path, tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "a.zarr", attributes={"ome": {"labels": ["nuclei"]}})
    result = pixelwise("predict", model, tmp_path / "a.zarr", "--out", tmp_path / "out")
    assert result.status == 1
    assert f"e.g. {tmp_path / 'a.zarr' / 'nuclei'}" in result.err.replace("\n", "")


def test_workers_predict_what_one_process_predicts(
    pixelwise: Callable, model: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 255, (90, 100, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(256, 256))
    command = ("predict", model, tmp_path / "a.tif", "--tile", 256, "--table", "--out")
    for out, more in (("one", ()), ("two", ("--workers", 2))):
        result = pixelwise(*command, tmp_path / out, *more)
        assert result.status == 0, result.err
    names = ["a_labels.tif", "a_objects.csv", "a_objects.csv.json"]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert "tiles in parallel" in result.err
    result = pixelwise(*command, tmp_path / "two", "--skip-existing")
    assert (result.status, result.out) == (0, "")


def test_two_clusters_are_one_too_many(pixelwise: Callable, model: Path, tmp_path: Path) -> None:
    image = samples_path() / "test" / "images"
    options = ("--out", tmp_path, "--workers", 2, "--dask", "tcp://127.0.0.1:9")
    result = pixelwise("predict", model, image, *options)
    assert result.status != 0
    assert "exclude each other" in result.err


def test_predict_names_what_it_leaves_out(pixelwise: Callable, model: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "more").mkdir(parents=True)
    pixels = np.zeros((40, 40, 3), np.uint8)
    tifffile.imwrite(images / "f.svs", pixels, photometric="rgb")
    write_picture(images / "a.png", pixels)
    write_picture(images / "more" / "b.png", pixels)
    (images / "e.vsi").write_bytes(b"Olympus")
    (images / "g.xyz").write_bytes(b"0123")
    result = pixelwise("predict", model, images, "--out", tmp_path / "out")
    assert result.status == 0, result.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_labels.tif", "f_labels.tif"]
    assert "2 left out: e.vsi, g.xyz (unsupported format)" in result.err
    assert "left out: more/ (sub-folders: name them to predict them)" in result.err
    result = pixelwise("predict", model, images, images / "more", "--out", tmp_path / "json",
                       "--json")  # fmt: skip
    events = [json.loads(line) for line in result.out.splitlines()]
    left = [event for event in events if event["kind"] == "files_left_out"]
    assert [event["files"] for event in left] == [["e.vsi", "g.xyz"]]


def test_a_folder_without_images_names_what_it_holds(
    pixelwise: Callable, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "e.vsi").write_bytes(b"Olympus")
    result = pixelwise("predict", model, tmp_path / "images", "--out", tmp_path / "out")
    assert result.status == 1
    assert "holds e.vsi (unsupported format)" in result.err


def test_notes_on_an_image_reach_the_user(pixelwise: Callable, model: Path, tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:20, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    result = pixelwise("predict", model, tmp_path / "a.png", "--out", tmp_path / "out", "--json")
    event = json.loads(result.out.splitlines()[-1])
    assert any("alpha" in note for note in event["notes"])
    result = pixelwise("predict", model, tmp_path / "a.png", "--out", tmp_path / "out")
    assert "alpha" in result.err


def test_the_starter_model_has_a_name(pixelwise: Callable, tmp_path: Path) -> None:
    image = next((samples_path() / "test" / "images").glob("*.png"))
    result = pixelwise("predict", "starter", image, "--out", tmp_path / "labels")
    assert result.status == 0, result.err
    assert 0 < tifffile.imread(tmp_path / "labels" / f"{image.stem}_labels.tif").mean() < 1
    assert "nucleus" in pixelwise("info", "starter").out
    given = "train", samples_path(), "--out", "r", "--start-from", "starter", "--dry-run"
    assert str(starter_path()) in pixelwise(*given).out


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model(Path("starter")) == starter_path()
    (tmp_path / "starter").mkdir()
    with pytest.raises(ReadError, match="not a run folder"):
        find_model(Path("starter"))
