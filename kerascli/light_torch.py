"""torch without its compiler, for work that only seems to need it.

When a shape is inferred on the meta device, or a program is noted, torch imports all of `torch._dynamo` (0.6 s, a
third of what a small run takes to start) for one thing: to mark functions of its own as not to be compiled. Here the
marks mean nothing, since nothing is compiled from Python's bytecode.
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
    """Inside the block torch finds a stand-in for its compiler, if that is not there yet."""
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
    """Marks no function; asked for anything else, it makes way for the compiler itself."""

    @staticmethod
    def disable(function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True) -> Callable[..., Any]:
        return function

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(importlib.import_module(_NAME), name)
