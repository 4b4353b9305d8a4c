from __future__ import annotations

from math import prod

from pixelwise.cards import read_card, read_shapes
from pixelwise.datasets import load_dataset
from pixelwise.models.files import load_model
from pixelwise.prediction.evaluate import evaluate
from pixelwise.samples import samples_path
from pixelwise.starter import starter_path


def test_its_card_says_what_it_is() -> None:
    card = read_card(starter_path())
    assert card.class_names == ("background", "nucleus")
    assert (card.in_channels, card.normalization.kind) == (3, "percentile")
    assert card.training is not None
    assert "DSB2018" in card.training.data
    assert "CC0" in card.training.data


def test_it_is_small() -> None:
    assert starter_path().stat().st_size < 8e6
    assert sum(map(prod, read_shapes(starter_path()).values())) < 4e6


def test_it_labels_the_samples() -> None:
    data = load_dataset(samples_path(), classes={"0": "background", "255": "nucleus"})
    scores = evaluate(load_model(starter_path()), data.select("test")).total
    assert (scores.per_class()["nucleus"].dice or 0) > 0.85
