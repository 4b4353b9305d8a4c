"""What is attacked: small sound files and folders of every kind, with the doors they come to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

from tests.disks import disks as draw_disks
from tests.disks import picture, write_set
from tests.fixtures.formats.write import FOLDER, pattern
from tests.fuzzing import doors
from tests.fuzzing.doors import Command, Door

EXPORTS = FOLDER.parent / "exports"


@dataclass(frozen=True)
class Case:
    """One sound input.

    Attributes
    ----------
    write : callable
        Writes it into an empty folder.
    doors : tuple of Door
        What opens it.
    attacked : str
        Pattern of the names of the files that are changed.
    keeps_input : bool
        Whether nothing may be written where it lies.
    """

    write: Callable[[Path], object]
    doors: tuple[Door, ...]
    attacked: str = "*"
    keeps_input: bool = True


def small_disks(root: Path, count: int = 3) -> Path:
    """Pairs of images and masks."""
    return write_set(root, lambda _, mask: (mask * 255).astype(np.uint8), count=count)


# Models and runs; torch is loaded where they are written


def write_model(folder: Path, classes: int = 3) -> None:
    import torch

    from pixelwise.models.files import create_network, save_model
    from tests.prediction.conftest import create_card

    torch.manual_seed(0)
    card = create_card(classes=classes, dtype="uint8")
    save_model(folder / "model.safetensors", create_network(card).state_dict(), card)


def write_run(folder: Path) -> None:
    """A run that is over, and whose config was then given one more epoch."""
    from pixelwise.training.fit import fit
    from tests.training.conftest import create_config, write_discs

    data = folder.parent / f"data of {folder.name}"
    config = create_config(
        write_discs(data, images=3, size=32), folder / "run", patches={"size": 32}
    )
    for _ in fit(config):
        pass
    shutil.rmtree(folder / "run" / "previews")
    path = folder / "run" / "config.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))


def write_config(folder: Path) -> None:
    from pixelwise.config import TrainConfig

    values = {
        "data": {"path": "nuclei", "classes": {"0": "ground", "255": "cell"}},
        "run": "runs/a",
    }
    config = TrainConfig.create(**values, model={"name": "unet", "options": {"depth": 2}})
    (folder / "config.yaml").write_text(config.to_yaml())


def write_patches(folder: Path) -> None:
    from pixelwise.datasets import load_dataset
    from pixelwise.patches import make_patches

    data = small_disks(folder.parent / f"data of {folder.name}")
    make_patches(load_dataset(data), folder / "patches", size=48)
    for path in (folder / "patches").iterdir():
        shutil.move(path, folder)
    (folder / "patches").rmdir()


def write_predicted(folder: Path) -> None:
    """A model, and images of several formats."""
    write_model(folder)
    (folder / "images").mkdir()
    image = picture(draw_disks(1), 1)
    Image.fromarray(image).save(folder / "images" / "a.png")
    tifffile.imwrite(folder / "images" / "b.tif", image, tile=(32, 32))
    write_zarr(folder / "images" / "c.zarr", 2)
    np.save(folder / "images" / "d.npy", image)


def write_evaluated(folder: Path) -> None:
    (folder / "data").mkdir()
    write_patches(folder / "data")
    write_model(folder, classes=2)


def write_results(folder: Path) -> None:
    """Results that carry their marks: a TIFF, a table, an OME-Zarr."""
    source = folder.parent / f"source of {folder.name}"
    source.mkdir()
    write_predicted(source)
    for index, kind in enumerate((["--table"], ["--format", "zarr"])):
        out = folder.parent / f"{index} of {folder.name}"
        named = [f"{source}/model.safetensors", f"{source}/images/a.png", "--out", str(out)]
        doors.call(["predict", *named, *kind])
        shutil.copytree(out, folder, dirs_exist_ok=True)


# Images


def write_zarr(path: Path, zarr_format: int) -> None:
    """A plain array."""
    import zarr

    stored = zarr.create_array(
        path, shape=(20, 24), dtype="u1", chunks=(10, 24), zarr_format=zarr_format, overwrite=True
    )
    stored[...] = pattern((20, 24), 251)


def write_ome_zarr(path: Path, version: str) -> None:
    from tests.images.test_zarr import write_image

    write_image(path, pattern((2, 20, 24), 251, "uint16"), version=version)


def write_zarrs(folder: Path) -> None:
    write_zarr(folder / "two.zarr", 2)
    write_zarr(folder / "three.zarr", 3)


def write_ome_zarrs(folder: Path) -> None:
    write_ome_zarr(folder / "four.zarr", "0.4")
    write_ome_zarr(folder / "five.zarr", "0.5")


def write_tiffs(folder: Path) -> None:
    image = picture(draw_disks(2), 2)
    tifffile.imwrite(folder / "plain.tif", image)
    tifffile.imwrite(folder / "tiles.tif", image, tile=(32, 32), compression="lzw", predictor=True)
    tifffile.imwrite(
        folder / "rgb.tif",
        np.stack([image] * 3, -1),
        photometric="rgb",
        extratags=[(274, "H", 1, 6)],
    )
    palette = np.arange(768, dtype=np.uint16).reshape(3, 256)
    tifffile.imwrite(folder / "palette.tif", image, photometric="palette", colormap=palette)


def write_ome_tiffs(folder: Path) -> None:
    stack = pattern((2, 3, 20, 24), 251)
    tifffile.imwrite(
        folder / "ome.ome.tif", stack, metadata={"axes": "ZCYX"}, photometric="minisblack"
    )
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(folder / "shaped.tif", stack, metadata={"axes": "ZCYX"}, compression="zlib")


def write_pictures(folder: Path) -> None:
    image = Image.fromarray(picture(draw_disks(3), 3))
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "a picture")
    image.save(folder / "grey.png", pnginfo=notes, dpi=(100, 100))
    image.convert("P").save(folder / "palette.png", transparency=0)
    image.convert("RGBA").save(folder / "alpha.png")
    exif = Image.Exif()
    exif[274] = 6
    image.convert("RGB").save(folder / "photo.jpg", exif=exif)
    for name in ("a.bmp", "a.webp", "a.gif"):
        image.save(folder / name)


def write_arrays(folder: Path) -> None:
    np.save(folder / "a.npy", pattern((20, 24), 251))
    np.savez_compressed(folder / "one.npz", data=pattern((20, 24), 251))
    for name in ("ilastik.h5", "raw_and_label.h5"):
        shutil.copy(FOLDER / name, folder)


def write_scans(folder: Path) -> None:
    """Formats of scanners and cameras."""
    names = [
        "alpha.jp2",
        "colour.j2k",
        "bits.pbm",
        "colour.ppm",
        "deep.pgm",
        "bytes.mrc",
        "map.mrc",
    ]
    for name in [*names, "ct.dcm", "rgb.dcm", "frames.dcm", "scaled.nii", "volume.nii.gz"]:
        shutil.copy(FOLDER / name, folder)


def write_microscopes(folder: Path) -> None:
    from tests.images.microscopes.handmade import write_czi, write_lif, write_nd2

    write_nd2(folder / "a.nd2", pattern((2, 5, 6, 2), 251, "uint16"), [("Z", 2)])
    write_lif(folder / "a.lif", {"Series 1": ("CYX", pattern((2, 5, 7), 251))})
    write_czi(
        folder / "a.czi",
        [({"B": 0, "C": 0}, pattern((5, 6), 251, "uint16"))],
        compression=5,
        encode=imagecodecs.zstd_encode,
    )


# Data sets


def copy_export(name: str, folder: Path) -> None:
    """Take an export that a tool has written."""
    shutil.copytree(EXPORTS / name, folder, dirs_exist_ok=True)


def write_qupath(folder: Path) -> None:
    from tests.datasets.layouts.test_qupath import feature, ring, write

    image = pattern((16, 20), 251)
    Image.fromarray(image).save(folder / "a.png")
    holes = [[ring(2, 3, 12, 9), ring(4, 4, 6, 6)], [ring(14, 1, 18, 5)]]
    write(folder / "a.geojson", feature(), feature("Stroma", holes, "MultiPolygon"))


def write_roboflow(folder: Path) -> None:
    from tests.datasets.layouts.test_roboflow import write

    write(folder / "train", "a_jpg.rf.1f", "b_jpg.rf.2f")
    write(folder / "valid", "c_jpg.rf.3f")


def write_monuseg(folder: Path) -> None:
    from tests.datasets.layouts.test_monuseg import fill

    fill(folder / "Tissue Images", folder / "Annotations")


def write_h5_pairs(folder: Path) -> None:
    for name, values in (("images", 251), ("masks", 2)):
        (folder / name).mkdir()
        for number in range(2):
            with h5py.File(folder / name / f"{number}.h5", "w") as file:
                file["data"] = pattern((20, 24), values)


def write_scripted(folder: Path) -> None:
    """Pairs with a legend of the colours."""
    small_disks(folder)
    (folder / "classes.json").write_text(json.dumps({"0": "ground", "255": "cell"}))


_IMAGE = (doors.read_images,)
_DATA = (
    doors.read_data,
    Command(("inspect", "INPUT")),
    Command(("patches", "INPUT", "--out", "OUT/cut", "--size", "6")),
)
_RUN = (
    doors.read_runs, Command(("runs", "INPUT")), Command(("info", "INPUT/run")), doors.resume_run,
)  # fmt: skip

KINDS: dict[str, dict[str, Case]] = {
    "model": {
        "model": Case(
            write_model,
            (
                doors.read_model,
                Command(("info", "INPUT/model.safetensors")),
                Command(("info", "INPUT/model.safetensors", "--json")),
                Command(("verify", "INPUT/model.safetensors")),
            ),
        ),
    },
    "run": {
        "run": Case(write_run, _RUN, keeps_input=False),
        "events": Case(write_run, _RUN, "events.jsonl", keeps_input=False),
        "checkpoint": Case(
            write_run, (doors.read_checkpoints, doors.resume_run), "*.pt", keeps_input=False
        ),
    },
    "config": {
        "config": Case(
            write_config,
            (
                doors.read_config,
                Command(("train", "INPUT/config.yaml", "--dry-run")),
                Command(("runs", "INPUT")),
            ),
        ),
    },
    "patches": {
        "patches": Case(write_patches, _DATA),
        "index": Case(write_patches, _DATA, "patches.json"),
    },
    "zarr": {"plain": Case(write_zarrs, _IMAGE), "ome": Case(write_ome_zarrs, _IMAGE)},
    "tiff": {"plain": Case(write_tiffs, _IMAGE), "described": Case(write_ome_tiffs, _IMAGE)},
    "pictures": {"pictures": Case(write_pictures, _IMAGE)},
    "arrays": {"arrays": Case(write_arrays, _IMAGE), "pairs": Case(write_h5_pairs, _DATA)},
    "scans": {"scans": Case(write_scans, _IMAGE), "microscopes": Case(write_microscopes, _IMAGE)},
    "exports": {
        "qupath": Case(write_qupath, _DATA),
        "roboflow": Case(write_roboflow, _DATA),
        "monuseg": Case(write_monuseg, _DATA),
        "pairs": Case(write_scripted, _DATA),
        **{
            name: Case(partial(copy_export, name), _DATA)
            for name in (
                "coco",
                "supervision",
                "labelme/json",
                "labelme/voc",
                "nnunet",
                "imagej",
                "cellpose",
                "datumaro/voc",
            )
        },
    },
    "prediction": {
        "images": Case(
            write_predicted,
            (Command(("predict", "INPUT/model.safetensors", "INPUT/images", "--out", "OUT")),),
        ),
        "evaluated": Case(
            write_evaluated,
            (
                Command(
                    ("evaluate", "INPUT/model.safetensors", "INPUT/data", "--labels", "OUT/labels")
                ),
            ),
            "patches.json",
        ),
        "results": Case(write_results, (doors.verify_results,)),
    },
}
"""All that is attacked. A kind has a process of its own."""
