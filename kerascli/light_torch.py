"""Use of torch without importing its compiler, which shape inference and tracing do not need.

For both, torch imports all of `torch._dynamo` (0.6 s, a third of the start of a small run) just to mark functions of
its own as not to be compiled. The marks have no effect here, since nothing is compiled from Python's bytecode.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_NAME = "torch._dynamo"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Context manager that replaces the module `torch._dynamo` by a stand-in, unless it is imported already."""
    if _NAME in sys.modules:
        yield
        return
    stand_in = _StandIn(_NAME)
    sys.modules[_NAME] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(_NAME) is stand_in:
            del sys.modules[_NAME]


class _StandIn(ModuleType):
    """Stand-in for the module `torch._dynamo`: `disable` does nothing; any other attribute imports the real module."""

    @staticmethod
    def disable(function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True) -> Callable[..., Any]:
        return function

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(importlib.import_module(_NAME), name)
