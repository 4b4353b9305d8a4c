from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from pixelwise.datasets.polygons import draw_polygons, fill_rings, read_polygons
from pixelwise.errors import DataError, ReadError
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
    mask = np.zeros((6, 6), np.uint8)
    draw_polygons(polygons, mask)
    expected = np.zeros((6, 6), np.uint8)
    expected[2:5, 1:4] = 1
    assert np.array_equal(mask, expected)


def test_polygons_beyond_the_image_are_cut() -> None:
    mask = np.zeros((4, 7), np.uint8)
    draw_polygons([np.array([[-5.0, -5], [-5, 99], [99, 99], [99, -5]])], mask)
    assert mask.all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read the annotation.*No such file"),
        ("", "is not XML"),
        ("<Annotations><Region>", "is not XML"),
        (SQUARE.replace('X="1"', 'x="1"'), "is not an annotation with Region/Vertices/Vertex"),
        (SQUARE.replace('X="1"', 'X="one"'), "is not an annotation"),
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
        drawn = np.zeros((1000, 1000), np.uint8)
        draw_polygons(read_polygons(xml), drawn)
        binary = open_image(folder / "Binary_masks" / f"{xml.stem}.png").read()
        scores[xml.stem] = 2 * (drawn & binary).sum() / (drawn.sum() + binary.sum())
    assert len(scores) == 13
    assert np.mean(list(scores.values())) >= 0.99
    assert min(scores, key=lambda name: scores[name]).startswith("TCGA-B0-5710")


def fill(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    drawn = np.zeros(shape, bool)
    top, left, inside = fill_rings(rings, shape)
    drawn[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return drawn


def square(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


corners = st.lists(
    st.tuples(st.integers(-60, 300), st.integers(-60, 250)), min_size=3, max_size=12
).map(lambda points: np.array(points) / 10 + np.sqrt([2, 3]) / 100)  # no centre on an edge
rings = st.lists(corners, min_size=1, max_size=3)


@given(rings)
def test_what_an_odd_number_of_rings_surrounds_is_inside(outlines: list[np.ndarray]) -> None:
    shape = (19, 23)
    counts = np.zeros(shape, int)
    for ring in outlines:  # scikit-image's own rule for centres at whole coordinates
        alone = polygon2mask(shape, ring[:, ::-1] - 0.5)
        assert np.array_equal(fill([ring], shape), alone)
        counts += alone
    assert np.array_equal(fill(outlines, shape), counts % 2 == 1)


def test_tiles_that_share_their_edges_share_no_pixel() -> None:
    rng = np.random.default_rng(3)
    x = np.sort(rng.integers(0, 24, 4)).astype(float)
    tiles = [square(a, 0, b, 16) for a, b in zip([0, *x], [*x, 24], strict=True)]
    corner = [np.array([(0, 0), (24, 0), (0, 16)]), np.array([(24, 0), (24, 16), (0, 16)])]
    for parts in (tiles, corner, [square(0.5, 0.5, 7.5, 16), square(7.5, 0.5, 23.5, 16)]):
        total = sum(fill([part], (16, 24)).astype(int) for part in parts)
        assert total.max() == 1
    assert sum(fill([part], (16, 24)).sum() for part in tiles) == 16 * 24


def test_a_window_is_no_larger_than_what_is_inside() -> None:
    top, left, inside = fill_rings([square(30, 10, 40, 15)], (1000, 1000))
    assert (top, left, inside.shape) == (10, 30, (5, 10))
    assert inside.all()
    for nothing in ([], [square(3, 3, 3, 9)], [square(2000, 0, 3000, 9)], [square(1, 1, 1.2, 1.2)]):
        assert not fill_rings(nothing, (1000, 1000))[2].any()


def test_many_corners_are_quick_and_too_many_refused() -> None:
    turn = np.linspace(0, 2 * np.pi, 100_000)
    star = np.stack([1500 + 1400 * np.cos(turn), 1500 + 1400 * np.sin(turn)], axis=1)
    start = time.perf_counter()
    assert abs(fill([star], (3000, 3000)).mean() - np.pi * 1400**2 / 3000**2) < 1e-4
    assert time.perf_counter() - start < 5
    zigzag = np.array([(0, 0), (9, 3000)] * 20_000, float)
    with pytest.raises(DataError, match=r"crosses .* rows; the limit"):
        fill_rings([zigzag], (3000, 3000))
