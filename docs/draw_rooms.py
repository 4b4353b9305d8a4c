"""Draw the rooms and files of the package by their imports, into ``docs/architecture.md``.

    python docs/draw_rooms.py           # writes the pictures again
    python docs/draw_rooms.py --check   # checks whether they match the source

An arrow leads from the importer to what it imports. Imports within functions count; imports for the
type checker do not. The picture of the rooms leaves out arrows that follow from others.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src"
PAGE = REPOSITORY / "docs" / "architecture.md"
PACKAGE = "pixelwise"
FACADES = {"pixelwise", "pixelwise.__main__"}  # the public API, and the command: not in the picture

Graph = dict[str, set[str]]


def read_graph(source: Path = SOURCE) -> Graph:
    """Read which file imports which: dotted names of modules; a package is its ``__init__``."""
    files = {_name(path, source): path for path in sorted((source / PACKAGE).rglob("*.py"))}
    return {name: set(_iter_imports(path, set(files))) - {name} for name, path in files.items()}


def _name(path: Path, source: Path) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _iter_imports(path: Path, known: set[str]) -> Iterator[str]:
    """Give the modules of the package that a file imports, by their dotted names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _walk_what_runs(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name in known)
            case ast.ImportFrom(module=str(module), names=names, level=0) if module in known:
                for alias in names:
                    inner = f"{module}.{alias.name}"
                    yield inner if inner in known else module


def _walk_what_runs(tree: ast.AST) -> Iterator[ast.AST]:
    """Give all nodes but those below ``if TYPE_CHECKING``."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _walk_what_runs(other)
        else:
            yield from _walk_what_runs(child)


def find_circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Find files that import one another in a circle, the first one again at the end; or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))  # graphlib gives who is imported first
    return []


def read_rooms(graph: Mapping[str, set[str]]) -> Graph:
    """Join the files of a room: what lies directly below the package."""
    rooms: Graph = {}
    for name, others in graph.items():
        if name in FACADES:
            continue
        found = rooms.setdefault(_room(name), set())
        found |= {_room(other) for other in others if other not in FACADES} - {_room(name)}
    return rooms


def _room(name: str) -> str:
    return name.split(".")[1]


def reduce_arrows(graph: Mapping[str, set[str]]) -> Graph:
    """Leave out the arrows that others imply; of a graph without circles."""
    below: Graph = {}
    for node in TopologicalSorter(graph).static_order():
        below[node] = graph[node].union(*(below[other] for other in graph[node]))
    return {
        node: {o for o in others if not any(o in below[other] for other in others - {o})}
        for node, others in graph.items()
    }


def draw(graph: Mapping[str, set[str]]) -> str:
    """Write a graph as Mermaid, which GitHub and the documentation show as a picture."""
    rows = [f"    {node} --> {other}" for node in sorted(graph) for other in sorted(graph[node])]
    alone = [f"    {node}" for node in sorted(graph) if not graph[node]]
    return "\n".join(["```mermaid", "flowchart TD", *alone, *rows, "```"])


def list_files(graph: Mapping[str, set[str]]) -> str:
    """Write a table of the rooms and their files."""
    rooms: dict[str, list[str]] = {}
    for name in sorted(graph):
        if name not in FACADES:
            rooms.setdefault(_room(name), []).append(name)
    rows = []
    for room, names in rooms.items():
        inner = [name.split(".", 2)[2] for name in names if name.count(".") > 1]
        rows.append(f"| {room} | {', '.join(inner) or '-'} |")
    return "\n".join(["| room | files |", "|---|---|", *rows])


def fill_page(text: str, graph: Mapping[str, set[str]]) -> str:
    """Put the pictures between their marks in the page."""
    for mark, content in (
        ("rooms", draw(reduce_arrows(read_rooms(graph)))),
        ("files", list_files(graph)),
    ):
        start, end = f"<!-- {mark}: drawn by docs/draw_rooms.py -->", f"<!-- end of {mark} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{content}\n{end}{after}"
    return text


def main() -> int:
    """Draw, or check; gives the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    graph = read_graph()
    if circle := find_circle(graph):
        print(f"a circle: {' -> '.join(circle)}", file=sys.stderr)
        return 1
    text = PAGE.read_text(encoding="utf-8")
    drawn = fill_page(text, graph)
    if check:
        return int(drawn != text)
    PAGE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
