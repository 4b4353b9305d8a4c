"""How well a model does on a data set with masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.classes import VOID
from pixelwise.config import PredictConfig
from pixelwise.datasets import Dataset, Sample
from pixelwise.errors import DataError
from pixelwise.images import write_tiff
from pixelwise.models.files import Model
from pixelwise.prediction.predictor import Predictor
from pixelwise.scores import Scores, count_confusion, create_scores


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a data set.

    Attributes
    ----------
    total : Scores
        Of one confusion matrix over all pixels of all images.
    images : dict of str to Scores
        Of each image.
    """

    total: Scores
    images: dict[str, Scores]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "total": self.total.to_dict(),
            "images": {name: scores.to_dict() for name, scores in self.images.items()},
        }


def evaluate(model: Model | str | Path, data: Dataset, **settings: Any) -> Evaluation:
    """Predict every image of a data set and score it against its mask; void is left out.

    Parameters
    ----------
    model : Model or path
    data : Dataset
        With the model's classes, in the model's order.
    **settings
        Fields of `PredictConfig`.

    Raises
    ------
    DataError
        Classes or channels of data and model differ, or an image cannot be read.
    """
    predictor = Predictor(model, PredictConfig.create(**settings))
    return sum_evaluation(predictor, dict(iter_evaluate(predictor, data)))


def iter_evaluate(
    predictor: Predictor, data: Dataset, *, labels: Path | None = None
) -> Iterator[tuple[str, Scores]]:
    """Evaluate image by image: name and scores of each, as they are ready.

    Parameters
    ----------
    predictor : Predictor
    data : Dataset
    labels : Path, optional
        Folder to keep the predicted labels in, as NAME_labels.tif, (N, Y, X).
    """
    _require_same_classes(predictor.model, data)
    if not data.samples:
        raise DataError(
            f"There is no image to evaluate in {data.root}: a split that was drawn at random is "
            "not part of a data set. Use --split all, or a folder of test images."
        )
    for sample in data.samples:
        yield sample.name, _evaluate_sample(predictor, sample, labels)


def sum_evaluation(predictor: Predictor, images: dict[str, Scores]) -> Evaluation:
    """Sum the confusion matrices of all images."""
    card = predictor.model.card
    matrix = np.zeros((len(card.classes), len(card.classes)), np.int64)
    for scores in images.values():
        matrix += scores.matrix
    total = create_scores(matrix, card.class_names, background=card.background)
    return Evaluation(total, images)


def _evaluate_sample(predictor: Predictor, sample: Sample, folder: Path | None) -> Scores:
    """Scores of one image, all its planes together; its labels are kept in `folder`."""
    names = predictor.model.card.class_names
    result = predictor.predict_planes(sample.read_image())
    labels = result.argmax(axis=1) if predictor.config.probabilities else result
    truth = sample.read_mask()
    if truth[truth != VOID].size and truth[truth != VOID].max() >= len(names):
        raise DataError(f"The mask of {sample.name} holds a class that the model does not have.")
    if folder is not None:
        path = folder / f"{sample.name}_labels.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tiff(path, labels.astype(np.uint8), axes="ZYX")
    matrix = count_confusion(truth, labels, len(names))
    return create_scores(matrix, names, background=predictor.model.card.background)


def _require_same_classes(model: Model, data: Dataset) -> None:
    """Refuse to compare classes that mean different things."""
    wanted = model.card.class_names
    found = tuple(item.name for item in data.classes)
    if wanted != found:
        raise DataError(
            f"The model has {len(wanted)} classes ({', '.join(wanted)}), the data set {len(found)} "
            f"({', '.join(found)}): expected the same names in the same order. Say what the mask "
            f"values mean, e.g. --classes 0={wanted[0]},255={wanted[1]}."
        )
