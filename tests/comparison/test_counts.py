from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.comparison.counts import COLUMNS, ImageCounts, read_counts, write_counts
from pixelwise.errors import DataError, ReadError
from pixelwise.scores import create_scores

NAMES = ("ground", "cell")
GOOD = "m,a,ground,1,2,3,4\nm,a,cell,4,3,2,1\nm,b,ground,5,6,7,8\nm,b,cell,8,7,6,5\n"


def write(path: Path, rows: str, head: str = ",".join(COLUMNS)) -> Path:
    path.write_text(f"{head}\n{rows}")
    return path


def test_counts_of_confusion_matrices_survive_a_table(tmp_path: Path) -> None:
    matrices = {"a, b": np.array([[5, 1], [2, 9]]), 'c "d"': np.array([[0, 3], [4, 0]])}
    scores = {name: create_scores(matrix, NAMES) for name, matrix in matrices.items()}
    counts = ImageCounts.create(scores)
    assert counts.values[0].tolist() == [[5, 2, 1, 9], [9, 1, 2, 5]]
    (tmp_path / "a.csv").write_text(write_counts({"one": counts}))
    read = read_counts(tmp_path / "a.csv")["one"]
    assert (read.images, read.classes) == (counts.images, counts.classes)
    assert np.array_equal(read.values, counts.values)
    total = create_scores(sum(matrices.values()), NAMES)  # type: ignore[arg-type]
    assert counts.total().tp.tolist() == np.diag(total.matrix).tolist()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "no counts"),
        ("m,a,ground,1,2,3\n", "line 2: 6 values, expected 7"),
        ("m,a,ground,1,2,3,-4\n", "line 2: expected a number of pixels, got '-4'"),
        ("m,a,ground,1,2,3,4.5\n", "'4.5'"),
        ("m,a,ground,1,2,3,٤\n", "expected a number of pixels"),
        (f"m,a,ground,1,2,3,{10**30}\n", "expected a number of pixels"),
        (GOOD + "m,a,cell,1,1,1,1\n", "line 6: a, cell is there twice for m"),
        (GOOD + "m,c,cell,1,1,1,1\n", "c has the classes cell for m"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_line(
    tmp_path: Path, rows: str, said: str
) -> None:
    with pytest.raises(ReadError, match=said.replace("(", r"\(")):
        read_counts(write(tmp_path / "a.csv", rows))


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="expected the columns model,image,class,tp,fp,fn,tn"):
        read_counts(write(tmp_path / "a.csv", "1,2\n", head="x,y"))
    with pytest.raises(ReadError, match="Cannot read the table of counts"):
        read_counts(tmp_path / "missing.csv")


def test_counts_of_folds_and_seeds_are_joined(tmp_path: Path) -> None:
    found = read_counts(write(tmp_path / "a.csv", GOOD))["m"]
    first, both = found.select(("a",)), found.select(("b", "a"))
    joined = first.add(both)
    assert joined.images == ("a", "b")
    assert np.array_equal(joined.values[0], 2 * found.values[0])
    assert np.array_equal(joined.values[1], found.values[1])
    other = ImageCounts(("a",), ("ground", "disc"), first.values)
    with pytest.raises(DataError, match="ground, cell and ground, disc"):
        first.add(other)
