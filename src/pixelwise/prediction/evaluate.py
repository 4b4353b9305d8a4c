"""Evaluation of a model on a data set with masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pixelwise.axes import NamedAxes
from pixelwise.classes import VOID
from pixelwise.config import PredictConfig
from pixelwise.datasets import Dataset, KnownClasses, Sample, match_classes
from pixelwise.errors import DataError
from pixelwise.images import ImageArray, ImageContent, load_writer
from pixelwise.models.files import Model
from pixelwise.outputs import Outputs, Sources, plan_outputs
from pixelwise.prediction.pipeline import predict_array
from pixelwise.prediction.predictor import Predictor
from pixelwise.prediction.provenance import create_mark
from pixelwise.scores import Scores, count_confusion, create_scores

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ImageScores:
    """Scores of one image, and notes on how it was read."""

    scores: Scores
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a data set.

    Attributes
    ----------
    total : Scores
        Of one confusion matrix over all pixels of all images.
    images : dict of str to Scores
        Of each image.
    notes : tuple of str
        Notes on the data set and its images.
    """

    total: Scores
    images: dict[str, Scores]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "total": self.total.to_dict(),
            "images": {name: scores.to_dict() for name, scores in self.images.items()},
            "notes": list(self.notes),
        }


def evaluate(model: Model | str | Path, data: Dataset, **settings: Any) -> Evaluation:
    """Predict every image of a data set and score it against its mask; void is left out.

    Parameters
    ----------
    model : Model or path
    data : Dataset
        With no class that the model does not have; in any order, see `match_classes`.
    **settings
        Fields of `PredictConfig`.

    Raises
    ------
    DataError
        Classes or channels of data and model differ, or an image cannot be read.
    """
    predictor = Predictor(model, PredictConfig.create(**settings))
    data = match_model(predictor.model, data).require_sound()
    images = dict(iter_evaluate(predictor, data))
    return sum_evaluation(predictor, images, notes=map(str, data.problems))


def match_model(model: Model, data: Dataset) -> Dataset:
    """Return the data set with the model's classes, in the model's order.

    Raises
    ------
    DataError
        The data set holds a class that the model does not have.
    """
    card = model.card
    known = KnownClasses(card.classes, card.background, card.mask_values)
    return match_classes(data, known)


def iter_evaluate(
    predictor: Predictor,
    data: Dataset,
    *,
    labels: Path | None = None,
    plan: Outputs | None = None,
) -> Iterator[tuple[str, ImageScores]]:
    """Evaluate image by image, and yield the name and scores of each.

    Parameters
    ----------
    predictor : Predictor
    data : Dataset
        With the model's classes, as `match_model` gives it.
    labels : Path, optional
        Folder to keep the predicted labels in, as NAME_labels.tif, (N, Y, X).
    plan : Outputs, optional
        Result of `plan_labels` for that folder; computed here if not given.

    Raises
    ------
    WriteError
        What is in the folder is not to be replaced, see `outputs`.
    """
    if not data.samples:
        raise DataError(
            f"There is no image to evaluate in {data.root}: a split that was drawn at random is "
            "not part of a data set. Use --split all, or a folder of test images."
        )
    if labels is not None:
        plan = plan or plan_labels(predictor, data, labels)
    for sample in data.samples:
        yield sample.name, _evaluate_sample(predictor, sample, labels, plan=plan)


def plan_labels(
    predictor: Predictor,
    data: Dataset,
    labels: Path,
    *,
    whole: Dataset | None = None,
    overwrite: bool = False,
) -> Outputs:
    """Decide whether the labels of a data set may be written.

    Parameters
    ----------
    predictor : Predictor
    data : Dataset
        What is evaluated.
    labels : Path
        Folder for the labels.
    whole : Dataset, optional
        The data set that `data` is a part of.
    overwrite : bool

    Raises
    ------
    WriteError
        As in `plan_outputs`.
    """
    read = {file for sample in (whole or data).samples for file in sample.files}
    sources = Sources.of_data(read, *([] if predictor.file is None else [predictor.file]))
    outputs = [_name_labels(labels, sample) for sample in data.samples]
    return plan_outputs(outputs, sources, root=labels, apart=True, overwrite=overwrite)


def _name_labels(folder: Path, sample: Sample) -> Path:
    return folder / f"{sample.name}_labels.tif"


def sum_evaluation(
    predictor: Predictor, images: dict[str, ImageScores], *, notes: Iterable[str] = ()
) -> Evaluation:
    """Sum the confusion matrices of all images; notes on the data set come before theirs."""
    card = predictor.model.card
    matrix = np.zeros((len(card.classes), len(card.classes)), np.int64)
    heard: dict[str, list[str]] = {}
    for name, scored in images.items():
        matrix += scored.scores.matrix
        for text in scored.notes:
            heard.setdefault(text, []).append(name)
    total = create_scores(matrix, card.class_names, background=card.background)
    found = (f"{_name_some(names)}: {text}" for text, names in heard.items())
    scores = {name: scored.scores for name, scored in images.items()}
    return Evaluation(total, scores, (*notes, *found))


def _name_some(names: Sequence[str]) -> str:
    """Name an image, or say how many share a note."""
    return names[0] if len(names) == 1 else f"{len(names)} images, e.g. {names[0]}"


def _evaluate_sample(
    predictor: Predictor, sample: Sample, folder: Path | None, *, plan: Outputs | None
) -> ImageScores:
    """Scores of one image, all its planes together; its labels are kept in `folder`."""
    names = predictor.model.card.class_names
    planes, notes = sample.read_image_and_notes()
    try:
        source = ImageArray(planes, NamedAxes("ZCYX", "planes"))
        result = predict_array(predictor, source)
    except DataError as error:
        raise type(error)(f"{sample.image_path}: {error}") from error
    labels = result.argmax(axis=1) if predictor.config.probabilities else result
    truth = sample.read_mask()
    if truth[truth != VOID].size and truth[truth != VOID].max() >= len(names):
        raise DataError(f"The mask of {sample.name} holds a class that the model does not have.")
    if folder is not None and plan is not None:
        _write_labels(predictor, sample, labels.astype(np.uint8), folder=folder, plan=plan)
    matrix = count_confusion(truth, labels, len(names))
    scores = create_scores(matrix, names, background=predictor.model.card.background)
    return ImageScores(scores, tuple(dict.fromkeys((*notes, *predictor.heard))))


def _write_labels(
    predictor: Predictor, sample: Sample, labels: Array, *, folder: Path, plan: Outputs
) -> None:
    """Write labels (N, Y, X) with their mark."""
    path = _name_labels(folder, sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = create_mark(predictor, sample.image_path, axes=sample.header.axes.names)
    content = ImageContent("ZYX", labels.shape, labels.dtype, mark=mark.model_dump(mode="json"))
    check = partial(plan.require_unchanged, path)
    write_rows = load_writer(path).write_rows
    write_rows(path, content, lambda plane, rows, _=None: labels[plane, rows], check=check)
