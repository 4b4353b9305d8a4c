"""A finished or running training's model, scored on the images that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from pixelwise.comparison.pictures import read_panel, read_predictions
from pixelwise.comparison.trials import (
    WITHOUT_CORRECTED,
    Trial,
    find_corrected,
    leave_out_corrected,
    load_held_out,
    require_unseen,
)
from pixelwise.config import PredictConfig, TrainConfig
from pixelwise.datasets import Sample
from pixelwise.figures import overlay, paint_errors
from pixelwise.models.files import Model
from pixelwise.prediction.evaluate import Evaluation, iter_evaluate, match_model, sum_evaluation
from pixelwise.prediction.predictor import Predictor
from pixelwise.reports.page import embed_picture
from pixelwise.runs import RunFolder
from pixelwise.scores import Scores

_EACH = 3  # of the worst images, and of the best


@dataclass(frozen=True)
class ScoredRun:
    """The model of a run, scored on images that it was not trained on.

    Attributes
    ----------
    evaluation : Evaluation
    scored_on : str
        What the images are, in words.
    pictures : dict of str to list of (str, str)
        Of the worst and the best images, by a title: input, truth, prediction and errors, each as
        a data URI with its caption.
    """

    evaluation: Evaluation
    scored_on: str
    pictures: dict[str, list[tuple[str, str]]]

    def worst_first(self) -> list[tuple[str, Scores]]:
        """Images with their scores, the lowest Dice first."""
        return _sort(self.evaluation.images)


def score_run(run: RunFolder, config: TrainConfig) -> ScoredRun:
    """Score the model of a run on the images that were held out.

    Raises
    ------
    PixelwiseError
        The data are not as they were in training, or cannot be read.
    """
    held = load_held_out(config.data)
    trial = Trial(config.model.name, run.path.name, config.model_copy(update={"run": run.path}))
    require_unseen(trial, held)
    corrected = find_corrected([trial])
    predictor = Predictor(run.model, PredictConfig())
    data = match_model(predictor.model, leave_out_corrected(held, corrected)).require_sound()
    with TemporaryDirectory(prefix="pixelwise-report-") as folder:
        labels = Path(folder)
        images = dict(iter_evaluate(predictor, data, labels=labels))
        evaluation = sum_evaluation(predictor, images, notes=map(str, data.problems))
        samples = {sample.name: sample for sample in data.samples}
        pictures = {
            f"{which}: {name}, Dice {scores.summary()['dice']:.3f}": _draw(
                samples[name], predictor.model, labels
            )
            for which, name, scores in _choose(evaluation.images)
        }
    return ScoredRun(evaluation, held.what + WITHOUT_CORRECTED * bool(corrected), pictures)


def _sort(images: dict[str, Scores]) -> list[tuple[str, Scores]]:
    """Sort by Dice; images without any foreground come last."""

    def dice(item: tuple[str, Scores]) -> float:
        value = item[1].summary()["dice"]
        return inf if value is None else value

    return sorted(images.items(), key=dice)


def _choose(images: dict[str, Scores]) -> Iterator[tuple[str, str, Scores]]:
    """Choose the worst images, and the best that are not among them."""
    ranked = [item for item in _sort(images) if item[1].summary()["dice"] is not None]
    for name, scores in ranked[:_EACH]:
        yield "Worst", name, scores
    for name, scores in ranked[_EACH:][-_EACH:]:
        yield "Best", name, scores


def _draw(sample: Sample, model: Model, labels: Path) -> list[tuple[str, str]]:
    """Draw input, truth, prediction and errors of the first plane of an image."""
    panel = read_panel(sample)
    (prediction,) = read_predictions(sample, {"": labels}).values()
    classes = model.card.classes
    return [
        (embed_picture(panel.image), "image"),
        (embed_picture(overlay(panel.image, panel.labels, classes=classes)), "ground truth"),
        (embed_picture(overlay(panel.image, prediction, classes=classes)), "prediction"),
        (embed_picture(paint_errors(panel.image, panel.labels, prediction)), "errors"),
    ]
