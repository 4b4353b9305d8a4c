"""Read by every Python process that a test starts: what would take it seconds and change nothing.

torchmetrics is here as an oracle for the scores. Lightning loads it where it finds it, with all of
scipy.signal. torch's optimisers and Lightning load torch's compiler to say that they are not to be
compiled. Each would cost every training that a test starts two seconds.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


class _StandIn(ModuleType):
    """torch's compiler for code that is not compiled; asked for more, it loads the real one."""

    __path__: list[str] = []  # noqa: RUF012  it has submodules

    class OptimizedModule:
        """What no network is that was not compiled."""

    @staticmethod
    def disable(function: Any = None, *_: Any, **__: Any) -> Any:
        """Leave a function as it is; without one, decorate with that."""
        return (lambda given: given) if function is None else function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None:
        """Do nothing, as outside a compilation."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system's questions
            raise AttributeError(name)
        return getattr(_load_compiler(), name)


class _Submodules(MetaPathFinder, Loader):
    """Loads the compiler when one of its submodules is imported."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        stands_in = isinstance(sys.modules.get(_COMPILER), _StandIn)
        return ModuleSpec(name, self) if stands_in and name.startswith(f"{_COMPILER}.") else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _load_compiler()
        return import_module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """It was loaded with the compiler."""


def _load_compiler() -> ModuleType:
    """Put torch's compiler in the place of its stand-in."""
    if isinstance(sys.modules.get(_COMPILER), _StandIn):
        del sys.modules[_COMPILER]
    return import_module(_COMPILER)


sys.modules["torchmetrics"] = None  # type: ignore[assignment]
sys.modules[_COMPILER] = _StandIn(_COMPILER)
sys.meta_path.insert(0, _Submodules())
