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

_COMPILER, _INSIDE = "torch._dynamo", "torch._dynamo."


class _StandIn(ModuleType):
    """torch's compiler for code that is not compiled; asked for more, it loads the real one."""

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


class _Finder(MetaPathFinder, Loader):
    """Finds the stand-in, and the real compiler when one of its submodules is imported."""

    is_active = True

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        if self.is_active and name == _COMPILER:
            return ModuleSpec(name, self, is_package=True)
        return ModuleSpec(name, self) if self.is_active and name.startswith(_INSIDE) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if spec.name == _COMPILER:
            return _StandIn(_COMPILER)
        _load_compiler()
        return import_module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


def _load_compiler() -> ModuleType:
    """Put torch's compiler in the place of its stand-in."""
    if _Finder.is_active:
        _Finder.is_active = False
        sys.modules.pop(_COMPILER, None)
    return import_module(_COMPILER)


sys.modules["torchmetrics"] = None  # type: ignore[assignment]
sys.meta_path.insert(0, _Finder())
