"""The models of all folds in one file, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import torch

from pixelwise.cards import ENSEMBLE, Card, TrainingSummary
from pixelwise.errors import DataError
from pixelwise.models.ensemble import Ensemble, Member
from pixelwise.models.files import Model, load_model

_MUST_AGREE = {
    "in_channels": "channels",
    "class_names": "classes",
    "background": "background",
    "resize": "size that images are resized to",
    "axes": "axes",
    "dtype": "dtype of the images",
}


def join_models(files: Sequence[Path]) -> Model:
    """Join models into one that averages their probabilities.

    Parameters
    ----------
    files : sequence of Path
        Two model files or more, none of which is an ensemble.

    Raises
    ------
    DataError
        They have other channels, classes, axes, dtypes, or another kind of normalisation.
    """
    models = {file: load_model(file) for file in files}
    cards = {file: model.card for file, model in models.items()}
    _require_alike(cards)
    network = Ensemble([model.network for model in models.values()])
    first = next(iter(cards.values()))
    if first.normalization.kind == "fixed":
        for number, card in enumerate(cards.values()):
            _fit_normalization(network, number, first=first, card=card)
    card = first.model_copy(
        update={
            "architecture": ENSEMBLE,
            "encoder": None,
            "options": {"members": [_describe(card) for card in cards.values()]},
            "patch_size": max(card.patch_size for card in cards.values()),
            "intensities": _join_intensities(list(cards.values())),
            "training": _sum_up([card.training for card in cards.values() if card.training]),
        }
    )
    return Model(network.eval(), card)


def _require_alike(cards: dict[Path, Card]) -> None:
    """Refuse models that cannot answer the same question."""
    (file, first), *rest = cards.items()
    if not rest:
        raise DataError(f"{file} is one model: an ensemble joins two or more.")
    for other, card in rest:
        for name, what in _MUST_AGREE.items():
            here, there = getattr(first, name), getattr(card, name)
            if here != there:
                raise DataError(
                    f"{file} and {other} cannot be joined: their {what} differ, {here} and {there}."
                )
        ours, theirs = first.normalization, card.normalization
        if (ours.kind, ours.low, ours.high) != (theirs.kind, theirs.low, theirs.high):
            raise DataError(
                f"{file} and {other} cannot be joined: one normalises by {ours.source}, the other "
                f"by {theirs.source}."
            )


def _fit_normalization(network: Ensemble, number: int, *, first: Card, card: Card) -> None:
    """Let a member see images as it was trained on, where they are normalised as for the first."""
    ours, theirs = first.normalization, card.normalization
    scale, offset = torch.tensor(theirs.scale), torch.tensor(theirs.offset)
    network.factors[number] = torch.tensor(ours.scale) / scale
    network.shifts[number] = (torch.tensor(ours.offset) - offset) / scale


def _describe(card: Card) -> dict[str, object]:
    """Describe a member for the card of the ensemble."""
    member = Member(architecture=card.architecture, encoder=card.encoder, options=card.options)
    return member.model_dump()


def _join_intensities(cards: Sequence[Card]) -> tuple[float, float] | None:
    """Range that the training images of all models have."""
    known = [card.intensities for card in cards if card.intensities is not None]
    if len(known) < len(cards):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _sum_up(trained: Sequence[TrainingSummary]) -> TrainingSummary | None:
    """Sum up what the members were trained on: all folds but one each; scores are their means."""
    if not trained:
        return None
    largest = max(trained, key=lambda one: one.images)
    scores = {}
    for name in largest.scores:
        values = [one.scores.get(name) for one in trained]
        known = [value for value in values if value is not None]
        scores[name] = mean(known) if known else None
    together = {
        name: round(sum(getattr(one, name) for one in trained) / max(len(trained) - 1, 1))
        for name in ("images", "patches")
    }
    return largest.model_copy(update={"scores": scores, **together})
