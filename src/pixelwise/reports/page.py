"""The page of a report: sections of text, tables, pictures and code, written as one HTML file.

Nothing is loaded from elsewhere: styles and pictures are in the file. All text is escaped by the
template, so names of files and classes are never markup.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from pixelwise.atomic import replacing
from pixelwise.checksums import BLANK_CHECKSUM, add_checksum
from pixelwise.errors import show_text
from pixelwise.figures import Rgb8

_LONGEST_PX: Final = 480  # side of a picture
_QUALITY: Final = 88  # of JPEG; as PNG, a report with a few tissue images would take 16 MB


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar = "text"


@dataclass(frozen=True)
class Code:
    """Lines that are shown as they are; folded away if they have a title."""

    text: str
    title: str = ""
    kind: ClassVar = "code"


@dataclass(frozen=True)
class Table:
    """A table: the first column is text, the others are numbers if `numbers`."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True
    kind: ClassVar = "table"


@dataclass(frozen=True)
class Figure:
    """A picture over the whole width, as `embed_figure` gives it."""

    source: str
    text: str
    kind: ClassVar = "figure"


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, each as `embed_picture` gives it with its caption."""

    title: str
    pictures: Sequence[tuple[str, str]]
    kind: ClassVar = "pictures"


Block = Text | Code | Table | Figure | Pictures


@dataclass(frozen=True)
class Section:
    """A part of a report under a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass
class Report:
    """A whole report.

    Attributes
    ----------
    title : str
    summary : str
        The result in a sentence or two, below the title.
    headline : str
        The score that sums it up; empty if there is none.
    sections : list of Section
    """

    title: str
    summary: str
    headline: str = ""
    sections: list[Section] = field(default_factory=list)

    def add(self, title: str, *blocks: Block) -> None:
        """Add a section; nothing if it has no blocks."""
        if blocks:
            self.sections.append(Section(title, blocks))


def write_report(report: Report, path: Path) -> None:
    """Write a report atomically as one HTML file, with a checksum in it.

    Raises
    ------
    WriteError
        The folder cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("pixelwise.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: show_text(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("page.html").render(report=report, checksum=BLANK_CHECKSUM)
    with replacing(path) as temp:
        temp.write_text(text, encoding="utf-8")
        add_checksum(temp)


def embed_figure(draw: Callable[[Path], None]) -> str:
    """Draw a figure of `figures` and give it as a data URI; `draw` gets the file to write."""
    with TemporaryDirectory(prefix="pixelwise-report-") as folder:
        file = Path(folder) / "figure.png"
        draw(file)
        return embed_file(file)


def embed_file(picture: Path) -> str:
    """Give a PNG file as a data URI."""
    return f"data:image/png;base64,{b64encode(picture.read_bytes()).decode()}"


def embed_picture(picture: Rgb8) -> str:
    """Give a picture (Y, X, 3) as a data URI, at most `_LONGEST_PX` wide and high, as JPEG."""
    image = Image.fromarray(picture)
    image.thumbnail((_LONGEST_PX, _LONGEST_PX))
    content = BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}"
