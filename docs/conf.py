"""The documentation site: `sphinx-build -W docs build/docs`, or `tox -e docs`."""

from __future__ import annotations

from importlib import metadata
from typing import Any

project = "napari-pixelwise"
author = "The napari-pixelwise developers"
release = version = metadata.version("napari-pixelwise")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_click",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["requirements*"]
myst_heading_anchors = 2
myst_fence_as_directive = ["mermaid"]
nitpicky = False  # pydantic's and numpy's private names are in the signatures

autodoc_typehints = "none"  # the docstrings say shapes and ranges, which types do not
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
intersphinx_mapping: dict[str, tuple[str, None]] = {}  # nothing is fetched while it is built

html_theme = "pydata_sphinx_theme"
html_title = "napari-pixelwise"
html_static_path: list[str] = []
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_sidebars = {"**": ["globaltoc.html"]}


def escape_stars(_app: Any, _context: Any, lines: list[str]) -> None:
    """Show the * of a pattern such as */images, which is markup otherwise."""
    lines[:] = [line if line.startswith("..") else line.replace("*", r"\*") for line in lines]


def setup(app: Any) -> None:
    """Escape what the commands say of their options."""
    app.connect("sphinx-click-process-options", escape_stars)
