from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.datasets.polygons import draw_polygons, read_polygons
from pixelwise.errors import ReadError
from pixelwise.images import open_image

SQUARE = """<Annotations><Annotation><Regions>
<Region><Vertices><Vertex X="1" Y="2"/><Vertex X="3" Y="2"/><Vertex X="3" Y="4"/>
<Vertex X="1" Y="4"/></Vertices></Region><Region><Vertices/></Region>
</Regions></Annotation></Annotations>"""

BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">
<!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">
<!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;">]>
<Annotations>&lol3;</Annotations>"""


def test_a_square(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(SQUARE)
    polygons = read_polygons(tmp_path / "a.xml")
    assert [polygon.tolist() for polygon in polygons] == [[[2, 1], [2, 3], [4, 3], [4, 1]]]
    mask = draw_polygons(polygons, (6, 6))
    expected = np.zeros((6, 6), np.uint8)
    expected[2:5, 1:4] = 1
    assert np.array_equal(mask, expected)


def test_polygons_beyond_the_image_are_cut() -> None:
    mask = draw_polygons([np.array([[-5.0, -5], [-5, 99], [99, 99], [99, -5]])], (4, 7))
    assert mask.shape == (4, 7)
    assert mask.all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read the annotation.*No such file"),
        ("", "is no annotation with Region/Vertices/Vertex"),
        ("<Annotations><Region>", "is no annotation"),
        (SQUARE.replace('X="1"', 'x="1"'), "is no annotation"),
        (SQUARE.replace('X="1"', 'X="one"'), "is no annotation"),
        (BOMB, "defines XML entities.*refused"),
        (BOMB.replace('"lol"', 'SYSTEM "file:///etc/passwd"'), "defines XML entities.*refused"),
    ],
    ids=["missing", "empty", "cut-off", "no-x", "no-number", "bomb", "external"],
)
def test_what_is_no_annotation(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.xml").write_text(content)
    with pytest.raises(ReadError, match=message):
        read_polygons(tmp_path / "a.xml")


def test_monuseg_polygons_match_its_binary_masks(data_dir: Path) -> None:
    folder = data_dir / "monuseg2018" / "MoNuSegTrainingData"
    scores = {}
    for xml in sorted((folder / "Annotations").glob("*.xml")):
        drawn = draw_polygons(read_polygons(xml), (1000, 1000))
        binary = open_image(folder / "Binary_masks" / f"{xml.stem}.png").read()
        scores[xml.stem] = 2 * (drawn & binary).sum() / (drawn.sum() + binary.sum())
    assert len(scores) == 13
    assert np.mean(list(scores.values())) >= 0.99
    assert min(scores, key=lambda name: scores[name]).startswith("TCGA-B0-5710")
