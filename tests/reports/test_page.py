from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from pixelwise.checksums import Checksum
from pixelwise.marks import check_mark
from pixelwise.reports.page import (
    Code,
    Figure,
    Pictures,
    Report,
    Table,
    Text,
    embed_picture,
    write_report,
)

NASTY = "<script>alert('1')</script> & \"x\" \u202e"


class Reader(HTMLParser):
    """Collects tags, their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def write_nasty(path: Path) -> Reader:
    picture = embed_picture(np.zeros((900, 300, 3), np.uint8))
    report = Report(NASTY, NASTY, NASTY)
    report.add(
        NASTY,
        Text(NASTY),
        Code(NASTY, NASTY),
        Table([NASTY, "b"], [[NASTY, "1"]]),
        Figure(picture, NASTY),
        Pictures(NASTY, [(picture, NASTY)]),
    )
    report.add("left out")
    write_report(report, path)
    return Reader(path.read_text())


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    page = write_nasty(tmp_path / "r.html")
    assert "script" not in {tag for tag, _ in page.tags}
    shown = "<script>alert('1')</script> & \"x\" \\u202e"
    assert page.text.count(shown) == 13  # each place once
    assert "left out" not in page.text
    captions = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert captions == [shown, shown]


def test_a_report_needs_no_network(tmp_path: Path) -> None:
    page = write_nasty(tmp_path / "r.html")
    loaded = [a[name] for _, a in page.tags for name in ("src", "href", "action") if name in a]
    assert loaded
    assert all(str(source).startswith("data:image/") for source in loaded)
    assert "url(" not in (tmp_path / "r.html").read_text()


def test_a_report_carries_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_nasty(path)
    assert check_mark(path) is Checksum.RIGHT
    path.write_text(path.read_text() + "by hand")
    assert check_mark(path) is Checksum.WRONG
