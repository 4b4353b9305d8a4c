"""The house rules that a machine can check: imports, names, sizes, and tests that mirror the tree.

The rules are read from the source with `ast`, so imports inside functions count too, and so do
`TYPE_CHECKING` blocks and `import_module("a.literal.name")`.
"""

from __future__ import annotations

import ast
import io
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import LONG

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "pixelwise"
TESTS = REPOSITORY / "tests"

# From the ground up. A room imports rooms of lower lines only, never a neighbour on its own line.
LAYERS = [
    {"errors"},
    {"parsing"},
    {"atomic", "checksums", "classes", "host_memory"},
    {"architectures", "axes", "config_base", "events", "locks", "scores"},
    {"images", "marks"},
    {"config", "figures", "normalization", "outputs", "pixel_classifier"},
    {"cards", "datasets", "jobs", "runs", "samples", "starter"},
    {"comparison_summary", "improvement", "input_check", "patches", "summaries"},
    {"models"},
    {"training"},
    {"prediction"},
    {"comparison", "exchange"},
    {"reports"},
    {"cli"},
    {"__main__"},
]
HEIGHTS = {room: height for height, layer in enumerate(LAYERS) for room in layer}
TORCH_ROOMS = {room for room, height in HEIGHTS.items() if height >= HEIGHTS["models"]}
ROOMS = {*HEIGHTS, "widgets"}  # widgets stand beside: they may import every torch-free room
FACADE = "__init__"  # the public API; nobody inside imports it

TORCH = {
    *("lightning", "lightning_fabric", "monai", "pytorch_lightning", "safetensors.torch"),
    *("segmentation_models_pytorch", "timm", "torch", "torchmetrics", "torchvision"),
}
WINDOWS = {
    *("magicgui", "napari", "PyQt5", "PyQt6", "PySide2", "PySide6", "qtpy", "superqt", "vispy"),
    *("matplotlib.backends.backend_qt", "matplotlib.backends.backend_qtagg"),
}
BANNED_NAMES = {"common", "helper", "helpers", "misc", "util", "utils"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MEDIAN_FUNCTION = 10
NINETIETH_PERCENTILE = 25
MOST_ARGUMENTS = 6
# The guide's figure is two. Three are allowed because this field has triples with one order that
# everybody knows, such as (logits, mask, weights) and (truth, prediction, classes).
MOST_POSITIONAL = 3
POSITIONAL_BY_PROTOCOL = {"backward", "forward", "setup_context"}  # torch calls them that way

# Tests of something that is not one module; every other test file mirrors a module or a room.
TESTS_OF_THE_WHOLE = {
    *(
        "test_architecture.py",
        "test_distribution.py",
        "test_docs.py",
        "test_window_sessions.py",
        "test_examples.py",
        "test_public_api.py",
    ),
    *("test_readme.py", "test_real_data.py", "test_system_packages.py", "test_fuzz.py"),
    *("test_advice.py", "test_contributing.py", "test_hostile.py", "test_nothing_lost.py"),
    *("datasets/test_mask_files.py", "datasets/test_cases.py"),
    *("datasets/test_public_folders.py", "datasets/test_round_trips.py"),
    *("training/test_annotation.py", "widgets/test_outputs.py"),
    *("training/test_kept_formats.py", "training/test_kills.py", "training/test_overfit.py"),
    *("prediction/test_kills.py", "training/test_power_cut.py"),
}


@dataclass(frozen=True)
class Module:
    """One source file of the package."""

    path: Path

    @cached_property
    def name(self) -> str:
        """Path without suffix below the package, with dots: `models.unet`, `models.__init__`."""
        return ".".join(self.path.relative_to(PACKAGE).with_suffix("").parts)

    @cached_property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, str(self.path))

    @cached_property
    def code_lines(self) -> set[int]:
        """Numbers of the lines that hold code: neither blank nor comment only."""
        silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
        silent |= {tokenize.DEDENT, tokenize.ENDMARKER, tokenize.ENCODING}
        tokens = tokenize.generate_tokens(io.StringIO(self.source).readline)
        spans = [(t.start[0], t.end[0]) for t in tokens if t.type not in silent]
        return {line for first, last in spans for line in range(first, last + 1)}

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and full dotted name of everything imported, at the top or inside a function."""
        found: list[tuple[int, str]] = []
        for node in ast.walk(self.tree):
            found += [(node.lineno, name) for name in imported_names(node)]
        return found

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(REPOSITORY)}:{line}"


def imported_names(node: ast.AST) -> list[str]:
    """Return the dotted names that one node imports; a literal `import_module` counts."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return [f"{module}.{alias.name}" for alias in names]
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
            called = ast.unparse(function).rpartition(".")[2]
            return [name] if called in ("import_module", "__import__") else []
    return []


@dataclass(frozen=True)
class Function:
    """One function of the package, with the class or the function that it stands in."""

    module: Module
    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: str | None
    inner: bool

    def __str__(self) -> str:
        name = f"{self.owner}.{self.node.name}" if self.owner else self.node.name
        return f"{self.module.at(self.node.lineno)} {name}"

    @property
    def length(self) -> int:
        """Lines of code in the body: no signature, docstring, comment or blank line."""
        body = self.node.body[1:] if ast.get_docstring(self.node) is not None else self.node.body
        if not body:
            return 0
        first, last = body[0].lineno, self.node.end_lineno or 0
        return len(self.module.code_lines & set(range(first, last + 1)))

    @property
    def positional(self) -> list[str]:
        """Arguments that may be given by position, without self or cls."""
        names = [a.arg for a in (*self.node.args.posonlyargs, *self.node.args.args)]
        static = "staticmethod" in [ast.unparse(d) for d in self.node.decorator_list]
        return names[1:] if self.owner and not static else names

    @property
    def arguments(self) -> list[str]:
        """All named arguments, without self or cls; *args and **kwargs do not count."""
        return [*self.positional, *(a.arg for a in self.node.args.kwonlyargs)]

    @property
    def follows_protocol(self) -> bool:
        """Whether Python, torch or click, not this project, chose how it is called."""
        name = self.node.name
        if any(ast.unparse(d) == "click.command()" for d in self.node.decorator_list):
            return True
        dunder = name.startswith("__") and name.endswith("__")
        return name in POSITIONAL_BY_PROTOCOL or (dunder and name not in ("__init__", "__new__"))


def iter_functions(module: Module) -> Iterator[Function]:
    """Yield every function of a module: methods and functions inside functions too."""

    def visit(node: ast.AST, owner: str | None, inner: bool) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(module, child, owner, inner)
                yield from visit(child, None, True)
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, child.name, inner)
            else:
                yield from visit(child, owner, inner)

    return visit(module.tree, None, False)


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
INSIDE = [module for module in MODULES if module.name != FACADE]
FUNCTIONS = [function for module in MODULES for function in iter_functions(module)]


def is_within(name: str, packages: set[str]) -> bool:
    """Return whether a dotted name is one of `packages` or lies below one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def iter_room_imports(module: Module) -> Iterator[tuple[str, str]]:
    """Yield place and room of each import from this package; the bare package is the facade."""
    for line, name in module.imports:
        if is_within(name, {"pixelwise"}):
            room = [*name.split("."), FACADE][1]
            yield module.at(line), room if room in ROOMS or is_room(room) else FACADE


def is_room(name: str) -> bool:
    """Return whether the package has a module or folder of that name."""
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def complain(faults: list[str], advice: str) -> None:
    """Fail with one line for each fault, if there is any."""
    if faults:
        pytest.fail("\n".join([advice, *faults]), pytrace=False)


# Rooms and the direction of imports


def test_every_room_has_its_place() -> None:
    strangers = sorted({module.room for module in INSIDE} - ROOMS)
    complain(strangers, "Rooms unknown here. Add each to its line in LAYERS and to the design:")


def test_rooms_import_only_rooms_below() -> None:
    faults = []
    for module in INSIDE:
        height = HEIGHTS.get(module.room, len(LAYERS))
        for place, room in iter_room_imports(module):
            if room not in (module.room, FACADE) and HEIGHTS.get(room, len(LAYERS)) >= height:
                faults.append(f"{place} {module.room} imports {room}")
    complain(faults, "A room imports only rooms on lower lines of LAYERS:")


def test_nobody_inside_imports_the_public_api() -> None:
    imports = [found for module in INSIDE for found in iter_room_imports(module)]
    faults = [place for place, room in imports if room == FACADE]
    complain(faults, "`pixelwise/__init__.py` is for users; import from the room itself:")


def test_torch_free_rooms_reach_no_torch() -> None:
    faults = []
    for module in INSIDE:
        if module.room in TORCH_ROOMS:
            continue
        faults += [f"{module.at(n)} {name}" for n, name in module.imports if is_within(name, TORCH)]
        rooms = iter_room_imports(module)
        faults += [f"{place} pixelwise.{room}" for place, room in rooms if room in TORCH_ROOMS]
    complain(faults, "These rooms must be importable in napari's process; torch must not be:")


def test_only_widgets_reach_for_windows() -> None:
    others = [module for module in MODULES if module.room != "widgets"]
    faults = [
        f"{module.at(line)} {name}"
        for module in others
        for line, name in module.imports
        if is_within(name, WINDOWS)
    ]
    complain(faults, "Only `widgets` imports napari, magicgui or Qt:")


def test_no_relative_imports() -> None:
    faults = [
        module.at(node.lineno)
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    complain(faults, "Imports name the whole path:")


# What really gets loaded


def loaded_after(statements: str) -> set[str]:
    """Return the names in `sys.modules` of a child process that ran `statements`."""
    names = "name for name, module in sys.modules.items() if module is not None"
    code = f"{statements}\nimport sys\nprint(*({names}))"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG, check=False
    )
    assert child.returncode == 0, child.stderr
    return set(child.stdout.split())


def test_import_pixelwise_is_light() -> None:
    heavy = {name.partition(".")[0] for name in TORCH | WINDOWS} - {"safetensors"}
    loaded = loaded_after("import pixelwise") & heavy
    assert not loaded, f"`import pixelwise` loads {sorted(loaded)}: see who imports what at the top"


def test_torch_free_rooms_load_no_torch() -> None:
    free = [m for m in INSIDE if m.room in ROOMS - TORCH_ROOMS - {"widgets"}]
    names = [f"pixelwise.{module.name}".removesuffix(f".{FACADE}") for module in free]
    loaded = loaded_after("\n".join(f"import {name}" for name in names))
    found = sorted(name for name in loaded if is_within(name, TORCH | WINDOWS))
    assert not found, f"Torch-free rooms load {found[:5]}, perhaps through a third party."


# Names and sizes


def test_no_module_is_a_drawer() -> None:
    parts = {(m, word) for m in MODULES for word in m.name.replace(".", "_").split("_")}
    faults = [f"{m.path.relative_to(REPOSITORY)}" for m, word in parts if word in BANNED_NAMES]
    complain(sorted(faults), "A module is named after its concept:")


def test_files_are_short() -> None:
    lengths = {module: len(module.source.splitlines()) for module in MODULES}
    faults = [f"{m.at(n)} lines" for m, n in lengths.items() if n > LONGEST_FILE]
    complain(faults, f"A file has at most {LONGEST_FILE} lines; split it by concept:")


def test_functions_are_short() -> None:
    faults = [f"{f}: {f.length} lines" for f in FUNCTIONS if f.length > LONGEST_FUNCTION]
    complain(faults, f"A function has at most {LONGEST_FUNCTION} lines of code:")


def test_most_functions_are_very_short() -> None:
    lengths = [function.length for function in FUNCTIONS]
    ninetieth = statistics.quantiles(lengths, n=10, method="inclusive")[-1]
    longest = sorted(FUNCTIONS, key=lambda function: -function.length)[:5]
    advice = f"The longest are: {', '.join(f'{f} ({f.length})' for f in longest)}"
    assert statistics.median(lengths) <= MEDIAN_FUNCTION, advice
    assert ninetieth < NINETIETH_PERCENTILE, advice


def test_functions_take_few_arguments() -> None:
    judged = [function for function in FUNCTIONS if not function.follows_protocol]
    faults = [f"{f}: {len(f.arguments)}" for f in judged if len(f.arguments) > MOST_ARGUMENTS]
    complain(faults, f"A function takes at most {MOST_ARGUMENTS} arguments:")


def test_further_arguments_are_keyword_only() -> None:
    judged = [function for function in FUNCTIONS if not function.follows_protocol]
    faults = [f"{f}: {f.positional}" for f in judged if len(f.positional) > MOST_POSITIONAL]
    complain(faults, f"After {MOST_POSITIONAL} arguments a `*`, so that calls can be read:")


# Tests mirror the tree


def mirrored_paths(test: Path) -> list[Path]:
    """Return the files of the package that a test file may stand for: a module or a room."""
    relative = test.relative_to(TESTS)
    name = relative.stem.removeprefix("test_")
    folder = PACKAGE / relative.parent
    return [folder / f"{name}.py", folder / f"_{name}.py", folder / name / "__init__.py"]


def test_tests_mirror_the_tree() -> None:
    faults = [
        str(test.relative_to(REPOSITORY))
        for test in sorted(TESTS.rglob("test_*.py"))
        if test.relative_to(TESTS).as_posix() not in TESTS_OF_THE_WHOLE
        and not any(path.is_file() for path in mirrored_paths(test))
    ]
    complain(faults, "`tests/a/test_b.py` tests `src/pixelwise/a/b.py`; these test nothing there:")


# The page about it


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """Load the script that draws the rooms."""
    found = spec_from_file_location("draw_rooms", REPOSITORY / "docs" / "draw_rooms.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_no_files_import_one_another_in_a_circle(drawing: ModuleType) -> None:
    assert set(drawing.find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}
    circle = drawing.find_circle(drawing.read_graph())
    complain(circle, "These import one another; put what they share into a file of its own:")


def test_the_picture_of_the_rooms_is_that_of_the_source(drawing: ModuleType) -> None:
    text = drawing.PAGE.read_text(encoding="utf-8")
    assert drawing.fill_page(text, drawing.read_graph()) == text, "Type: python docs/draw_rooms.py"


def test_each_word_of_the_glossary_finds_its_code(drawing: ModuleType) -> None:
    rows = drawing.PAGE.read_text(encoding="utf-8").partition("## Glossary")[2].splitlines()[4:]
    lost = []
    for word, _, place in (row.strip("| ").split(" | ") for row in rows):
        path = PACKAGE / place.split("`")[1]
        files = (
            [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else path.rglob("*.py")
        )
        text = " ".join(
            " ".join(file.read_text(encoding="utf-8").split()) for file in files
        ).lower()
        lost += [f"{one} ({place})" for one in word.split(", ") if one not in text]
    assert len(rows) > 15
    complain(lost, "These words are not where the glossary says:")
