from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from pixelwise.samples import samples_path
from tests.fixtures.formats.write import pattern
from tests.training.conftest import write_discs


def test_inspect_says_and_draws(pixelwise: Callable, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    result = pixelwise("inspect", samples_path(), "--figure", figure)
    assert result.status == 0, result.err
    assert "32" in result.out
    assert figure.stat().st_size > 10_000
    found = json.loads(pixelwise("inspect", samples_path(), "--json").out)
    assert found["images"] == 32


EXPORTS = Path(__file__).resolve().parents[1] / "fixtures" / "exports"


@pytest.mark.parametrize(
    ("folder", "layout", "images", "classes"),
    [
        ("coco", "coco", 3, {"background": 0.7841, "cell": 0.1193, "nucleus": 0.0966}),
        ("supervision", "coco", 2, {"background": 0.8320, "leaf": 0.0905, "stem": 0.0775}),
        ("datumaro/voc", "voc", 3, {"background": 0.8737, "cell wall": 0.0622, "nucleus": 0.0641}),
        ("labelme/json", "labelme", 2, {"background": 0.8229, "cell": 0.1314, "nucleus": 0.0457}),
        ("nnunet", "nnunet", 3, {"background": 0.9141, "tumour": 0.0693, "core": 0.0166}),
        ("imagej", "imagej", 1, {"background": 0.6582, "object": 0.3418}),
        ("cellpose", "cellpose", 2, {"background": 0.9202, "object": 0.0798}),
    ],
)
def test_inspect_of_exports_tells_pairs_classes_and_shares(
    pixelwise: Callable, folder: str, layout: str, images: int, classes: dict[str, float]
) -> None:
    result = pixelwise("inspect", EXPORTS / folder, "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert (found["layout"], found["images"], found["sound"]) == (layout, images, True)
    shares = {item["name"]: round(item["share"], 4) for item in found["classes"]}
    assert shares == classes


def test_inspect_ends_with_1_when_something_is_broken(pixelwise: Callable, tmp_path: Path) -> None:
    data = write_discs(tmp_path / "data")
    image = data / "images" / "0.png"
    image.write_bytes(image.read_bytes()[:100])
    (data / "masks" / "1.png").unlink()
    result = pixelwise("inspect", data)
    assert result.status == 1
    assert "0.png" in result.out
    assert "1.png" in result.out


@pytest.mark.parametrize("form", ["npy", "nifti", "hdf5"])
def test_inspect_takes_pairs_in_other_formats(
    pixelwise: Callable, tmp_path: Path, form: str
) -> None:
    for name, top in (("images", 251), ("masks", 2)):
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels, path = pattern((40 + i, 50), top), tmp_path / name / f"s{i}"
            if form == "npy":
                np.save(path, pixels)
            elif form == "nifti":
                nibabel.save(nibabel.Nifti1Image(pixels.T, np.eye(4)), f"{path}.nii.gz")
            else:
                with h5py.File(f"{path}.h5", "w") as file:
                    file["data"] = pixels
    result = pixelwise("inspect", tmp_path, "--json")
    assert result.status == 0, result.out
    found = json.loads(result.out)
    assert found["images"] == 3
    assert len(found["classes"]) == 2


def test_patches_of_the_published_system(
    pixelwise: Callable, tmp_path: Path, data_dir: Path
) -> None:
    options = ["--size", 256, "--step", 128, "--edge", "drop", "--json"]
    result = pixelwise("patches", data_dir / "monuseg2018", "--out", tmp_path / "p", *options)
    assert result.status == 0, result.err
    found = json.loads(result.out)
    assert found["patches"] == 1080
    assert {source["kept"] for source in found["sources"]} == {36}


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [("missing", 1, "missing"), ("empty", 1, "empty")],
)
def test_bad_folders(
    pixelwise: Callable, tmp_path: Path, name: str, status: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    for command in (["inspect"], ["patches", "--out", tmp_path / "out"]):
        result = pixelwise(command[0], tmp_path / name, *command[1:])
        assert result.status == status
        assert message in result.err
        assert "Traceback" not in result.err
    assert not (tmp_path / "out").exists()


def test_a_patch_larger_than_the_images(pixelwise: Callable, tmp_path: Path) -> None:
    data = write_discs(tmp_path / "data")
    result = pixelwise("patches", data, "--out", tmp_path / "out", "--size", 512)
    assert result.status == 1
    assert "--size 64" in result.err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_is_wrong(pixelwise: Callable, tmp_path: Path) -> None:
    source = write_discs(tmp_path / "discs")
    sound = pixelwise("patches", source, "--size", 32, "--dry-run", "--json")
    assert sound.status == 0, sound.err
    assert json.loads(sound.out)["problems"] == []
    image = sorted((source / "images").iterdir())[0]
    image.write_bytes(image.read_bytes()[:100])
    broken = pixelwise("patches", source, "--size", 32, "--dry-run", "--json")
    assert broken.status == 1
    (problem,) = json.loads(broken.out)["problems"]
    assert problem["fatal"]
    assert image.name in problem["message"]
