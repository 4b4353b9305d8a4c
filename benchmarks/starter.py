"""Train the starter model that the wheel holds, and score it on images that it never saw.

    python benchmarks/starter.py ../shared/data/dsb2018/stage1_train.zip --out /tmp/starter

The training is an ordinary `pixelwise train` on the 240 images of DSB2018 that `dsb2018.py` does
not hold out (BBBC038v1, CC0), from random weights, with a seed. Its model is stored in half
precision as ``nuclei.safetensors``; ``--keep`` puts it into the package. Scored are the 60 other
images, and the bright ones among them (median grey above 127).
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import numpy as np
from dsb2018 import pixelwise, split
from PIL import Image

OPTIONS = (
    "--layout", "dsb2018", "--model", "unet", "--options", "base_channels=16,up=transposed",
    "--size", "128", "--epochs", "14", "--batch-size", "8", "--learning-rate", "3e-3",
    "--augment", "microscopy", "--normalization", "percentile", "--monitor", "last",
    "--validation-fraction", "0.05", "--seed", "0", "--previews", "0",
)  # fmt: skip
LARGE = 1024  # values; smaller tensors, as those of batch normalisation, stay in single precision


def main() -> None:
    """Train, store, score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("archive", type=Path, help="stage1_train.zip")
    parser.add_argument("--out", type=Path, required=True, help="folder for data, run and model")
    parser.add_argument("--keep", action="store_true", help="put the model into the package")
    arguments, more = parser.parse_known_args()
    out, run = arguments.out, arguments.out / "run"
    train, test = out / "train" / "stage1_train", out / "test" / "stage1_train"
    if not test.is_dir():
        split(arguments.archive, out)
    if not (run / "config.yaml").is_file():
        pixelwise("train", train, "--out", run, *OPTIONS, *more)
    model = halve(run / "model.safetensors", out / "nuclei.safetensors")
    scores = json.loads(
        pixelwise("evaluate", model, test, "--layout", "dsb2018", "--json", read=True)
    )
    print(f"{model}: {model.stat().st_size / 1e6:.1f} MB")
    print(f"60 images: {describe(scores)}")
    bright = select_bright(test, out / "bright")
    scores = json.loads(
        pixelwise("evaluate", model, bright, "--layout", "dsb2018", "--json", read=True)
    )
    print(f"{len(list(bright.iterdir()))} bright images: {describe(scores)}")
    image = next(iter(test.iterdir())) / "images"
    started = time.perf_counter()
    pixelwise("predict", model, image, "--out", out / "labels", "--overwrite", read=True)
    print(f"one image from a cold command: {time.perf_counter() - started:.1f} s")
    if arguments.keep:
        from pixelwise.starter import starter_path

        shutil.copy(model, starter_path())


def halve(model: Path, path: Path) -> Path:
    """Store a model in half precision, with what it was trained on as its name."""
    import torch

    from pixelwise.models.files import load_model, save_model

    loaded = load_model(model)
    state = loaded.network.state_dict()
    is_large = {n: t.is_floating_point() and t.numel() >= LARGE for n, t in state.items()}
    weights = {n: t.to(torch.float16) if is_large[n] else t for n, t in state.items()}
    training = loaded.card.training
    assert training is not None
    named = training.model_copy(update={"data": "DSB2018 stage 1 (BBBC038v1, CC0)"})
    save_model(path, weights, loaded.card.model_copy(update={"training": named}))
    return path


def select_bright(test: Path, out: Path) -> Path:
    """Copy the images whose median grey is above 127, with their masks."""
    for folder in sorted(test.iterdir()):
        (image,) = (folder / "images").iterdir()
        if np.median(np.asarray(Image.open(image).convert("L"))) > 127:
            shutil.copytree(folder, out / folder.name, dirs_exist_ok=True)
    return out


def describe(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Foreground Dice and IoU, from one confusion matrix."""
    row = scores["total"]["micro_foreground"]
    return f"Dice {row['dice']:.4f}, IoU {row['iou']:.4f}"


if __name__ == "__main__":
    main()
