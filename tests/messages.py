"""The messages of the engine that name an option, read from its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pixelwise

PACKAGE = Path(pixelwise.__file__).parent


def iter_messages() -> Iterator[str]:
    """Yield the texts of the engine that name an option; what is filled in is an X."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] in ("cli", "widgets"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        skipped = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}  # docstrings
        skipped |= {id(p) for n in nodes if isinstance(n, ast.JoinedStr) for p in n.values}
        for node in nodes:
            text = "" if id(node) in skipped else read_text(node)
            if re.search(r"--[a-z]", text) and not re.fullmatch(r"--[a-z-]+", text):
                yield text


def read_text(node: ast.AST) -> str:
    """Text of a string, or of a formatted one."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


MESSAGES = sorted(set(iter_messages()))
