from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pixelwise.config import DataConfig
from pixelwise.datasets.annotations.legend import Label, Legend, create_legend
from pixelwise.errors import ConfigError, DataError

LABELS = [Label("cell", "#ff0000"), Label("nucleus"), Label("debris")]


def create(labels: list[Label] | None = None, **fields: Any) -> Legend:
    config = DataConfig.create(path=Path(), **fields)
    return create_legend(LABELS if labels is None else labels, config, "test")


def names(legend: Legend) -> list[str]:
    return [item.name for item in legend.scheme.classes]


def test_by_default_labels_are_classes_after_the_background() -> None:
    legend = create()
    assert names(legend) == ["background", "cell", "nucleus", "debris"]
    assert legend.by_label == {"cell": 1, "nucleus": 2, "debris": 3}
    assert (legend.background, legend.scheme.background) == (0, 0)
    assert legend.scheme.classes[1].color == "#ff0000"
    assert legend.scheme.words == "test: not annotated = background, cell, nucleus, debris"


@pytest.mark.parametrize("name", ["background", "_background_", "Background"])
def test_a_label_called_background_is_the_background(name: str) -> None:
    legend = create([*LABELS, Label(name)])
    assert legend.by_label[name] == legend.background == 0
    assert names(legend) == ["background", "cell", "nucleus", "debris"]


@pytest.mark.parametrize("name", ["__ignore__", "void", "ignore", "Ignore*"])
def test_labels_that_say_so_are_void(name: str) -> None:
    legend = create([*LABELS, Label(name)])
    assert legend.by_label[name] == 255
    assert f"{name} = void" in legend.scheme.words or name == "void"


@pytest.mark.parametrize(
    ("classes", "expected", "values"),
    [
        ("cell=a,nucleus=b,debris=c", ["background", "a", "b", "c"], (1, 2, 3, 0)),
        ("debris=c,cell=a,nucleus=b", ["background", "c", "a", "b"], (2, 3, 1, 0)),
        ("cell=x,nucleus=x,debris=void", ["background", "x"], (1, 1, 255, 0)),
        ("nucleus=n,*=background", ["background", "n"], (0, 1, 0, 0)),
        ("nucleus=n,cell=c,*=void", ["background", "n", "c"], (2, 1, 255, 0)),
        ("background=rest,*=thing", ["rest", "thing"], (1, 1, 1, 0)),
        ("cell=a,nucleus=b,debris=b,background=void", ["a", "b"], (0, 1, 1, 255)),
        ("1=a,2=b,3=void,0=rest", ["a", "b", "rest"], (0, 1, 255, 2)),
        ("CELL=a,Nucleus=b,debris=b", ["background", "a", "b"], (1, 2, 2, 0)),
        ("instances", ["background", "object"], (1, 1, 1, 0)),
    ],
)
def test_the_users_words_come_first(
    classes: str, expected: list[str], values: tuple[int, ...]
) -> None:
    legend = create(classes=classes)
    assert names(legend) == expected
    found = legend.by_label
    assert (found["cell"], found["nucleus"], found["debris"], legend.background) == values


def test_the_background_that_was_renamed_is_no_foreground() -> None:
    assert create(classes="cell=a,background=rest,*=b").scheme.background == 1


def test_sparse_reads_what_is_not_annotated_as_void() -> None:
    legend = create(sparse=True)
    assert names(legend) == ["cell", "nucleus", "debris"]
    assert (legend.background, legend.scheme.background) == (255, None)
    legend = create([Label("background"), *LABELS], sparse=True)
    assert names(legend) == ["background", "cell", "nucleus", "debris"]
    assert (legend.background, legend.by_label["background"]) == (255, 0)
    assert legend.scheme.background == 0


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("cell=a", r"does not name 2 of the exported classes: nucleus, debris.*\*=background"),
        ("cells=a,*=void", "names 'cells', which is not in the annotations.*cell, nucleus"),
        ("9=a,*=void", "names '9'"),
        ("cell=a,1=b,*=void", "name 'cell' twice"),
        ("#ff0000=a,*=void", "names '#ff0000'"),
    ],
)
def test_words_that_fit_no_label(classes: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(classes=classes)


def test_the_remedy_for_labels_left_out_works() -> None:
    with pytest.raises(ConfigError, match=r"all others at once \(classes: \*=background"):
        create(classes="cell=a")
    assert names(create(classes="cell=a,*=background")) == ["background", "a"]


def test_too_few_and_too_many() -> None:
    with pytest.raises(DataError, match=r"at least two classes .* found background. Is anything"):
        create([])
    many = [Label(f"l{number}") for number in range(300)]
    with pytest.raises(DataError, match=r"301 classes, at most 255 are possible. Merge some"):
        create(many)
    assert len(names(create(many, classes="l1=one,*=background"))) == 2


def test_colours_that_do_not_tell_classes_apart_are_not_used() -> None:
    legend = create([Label("a", "#ff0000"), Label("b", "#ff0000")])
    assert len({item.color for item in legend.scheme.classes}) == 3
