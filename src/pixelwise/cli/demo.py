"""The command demo: train, predict and score on the shipped samples."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from pixelwise.atomic import require_free_folder, write_text
from pixelwise.cli.console import note, say, show_scores, write_json
from pixelwise.cli.progress import show_events
from pixelwise.config import TrainConfig
from pixelwise.datasets import Dataset, Sample, load_dataset
from pixelwise.errors import ConfigError
from pixelwise.events import ImageFailed, ImagePredicted
from pixelwise.figures import Panel, draw_comparison, draw_losses, to_rgb8
from pixelwise.images import read_image
from pixelwise.runs import RunFolder, require_new_run
from pixelwise.samples import samples_path
from pixelwise.scores import Scores
from pixelwise.summaries import read_epochs

_CLASSES = {"0": "background", "255": "nucleus"}


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("pixelwise-demo"),
    help="Folder to write [pixelwise-demo]",
)
@click.option("--epochs", type=click.IntRange(1), default=26, help="Passes over the patches [26]")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON")
def demo(out: Path, epochs: int, as_json: bool) -> None:
    """Train a small U-Net on the shipped nuclei (CC0), predict others, and score them.

    Writes label images (TIFF), an overlay picture, the loss curve, the scores and the model.
    """
    started = time.perf_counter()
    run = _choose_run(out)
    note(f"The samples are in {samples_path()}; the demo writes {out}.")
    _train(run, epochs)
    test = load_dataset(samples_path(), classes=_CLASSES).select("test")
    scores = _predict(run, test, out)
    draw_losses(read_epochs(run), out / "loss.png")
    write_text(out / "scores.json", json.dumps(scores.to_dict(), indent=2))
    if as_json:
        write_json(scores.to_dict())
        return
    show_scores(scores, f"{len(test.samples)} images not used in training")
    dice = scores.per_class()[scores.names[1]].dice
    say(f"\nForeground Dice {dice:.3f}, {time.perf_counter() - started:.0f} s in all. Look at:")
    for name in ("labels", "overlay.png", "loss.png", "scores.json", "run/model.safetensors"):
        say(f"  {(out / name).resolve()}")


def create_demo_config(run: Path, epochs: int) -> TrainConfig:
    """Config of the demo's training: a U-Net small enough for two CPU cores."""
    return TrainConfig.create(
        data={"path": samples_path(), "classes": _CLASSES, "validation_fraction": 0.05},
        run=run,
        patches={"size": 128},
        model={"name": "unet", "options": {"base_channels": 12, "up": "transposed"}},
        augmentation={"preset": "light"},  # a short training learns less from stronger ones
        training={
            "epochs": epochs,
            "batch_size": 8,  # fewer mix bright and dark images too unevenly for batch norm
            "learning_rate": 3e-3,
            "monitor": "last",  # one validation image is too few to choose by
            "previews": 2,
        },
    )


def _choose_run(out: Path) -> RunFolder:
    """Run folder of the demo; refused if it exists."""
    if (out / "run").exists():
        raise ConfigError(f"{out} already holds a demo: delete it, or give another --out.")
    require_free_folder(out)
    return require_new_run(out / "run")


def _train(run: RunFolder, epochs: int) -> None:
    from pixelwise.training.fit import fit

    show_events(fit(create_demo_config(run.path, epochs)))


def _predict(run: RunFolder, test: Dataset, out: Path) -> Scores:
    """Write labels and overlay of the test images, and score them."""
    from pixelwise.prediction.evaluate import evaluate
    from pixelwise.prediction.predict import iter_predict_files
    from pixelwise.prediction.predictor import Predictor

    predictor = Predictor(run.model)
    files = [sample.image_path for sample in test.samples]
    for event in iter_predict_files(predictor, files, out / "labels"):
        if isinstance(event, ImagePredicted | ImageFailed):
            note(f"labels of {event.source}")
    rows = [(_create_panel(sample), _read_labels(sample.name, out)) for sample in test.samples[:4]]
    draw_comparison(rows, predictor.model.card.classes, out / "overlay.png")
    return evaluate(predictor.model, test).total


def _create_panel(sample: Sample) -> Panel:
    """Image and truth of a sample, to look at."""
    return Panel(sample.name, to_rgb8(sample.read_image()[0]), sample.read_mask()[0])


def _read_labels(name: str, out: Path) -> npt.NDArray[np.uint8]:
    """Labels that the demo has written for an image."""
    labels, _ = read_image(out / "labels" / f"{name}_labels.tif")
    return np.asarray(labels, np.uint8)
