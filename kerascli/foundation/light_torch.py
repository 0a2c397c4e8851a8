"""Use of torch without importing its compiler, which shape inference and tracing do not need.

For both, torch imports all of `torch._dynamo` (0.6 s, a third of the start of a small run) just to mark functions of
its own as not to be compiled. The marks have no effect here, since nothing is compiled from Python's bytecode. It also
imports sympy (0.4 s), for sizes that are symbols; here all sizes are numbers.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def without_compiler() -> Iterator[None]:
    """Context manager that replaces `torch._dynamo`, `torch.fx.experimental.symbolic_shapes` and `sympy` by stand-ins,
    each unless it is imported already."""
    stand_ins = [_StandIn(name) for name in _STAND_INS if name not in sys.modules]
    sys.modules.update({each.__name__: each for each in stand_ins})
    try:
        yield
    finally:
        for each in stand_ins:
            each.make_way()


class _StandIn(ModuleType):
    """Stand-in for a module: has what `_STAND_INS` lists; any other attribute imports the real module."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__dict__.update(_STAND_INS[name])

    def make_way(self) -> None:
        """Let the next import of the module, and all attributes of this one, be those of the real module."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        for name in _STAND_INS[self.__name__]:
            self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        asking = sys._getframe(1).f_globals.get("__name__", "")
        if name == "__path__" and not asking.startswith("importlib."):  # `from X import name` asks; X has no submodule
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _real(name: str) -> ModuleType:
    """Return the real module; all stand-ins make way, since it may import the others for good."""
    for each in list(sys.modules.values()):
        if isinstance(each, _StandIn):
            each.make_way()
    return importlib.import_module(name)


class _NoSymbol:
    """Stand-in for the class of sympy's expressions: nothing is one."""


_SHAPES = "torch.fx.experimental.symbolic_shapes"


def _of_numbers(name: str, of_numbers: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function `name` of torch's module for symbolic shapes; of numbers it is `of_numbers`."""

    def function(*arguments: Any, **named: Any) -> Any:
        if not named and all(map(_is_number, arguments)):
            return of_numbers(*arguments)
        return getattr(_real(_SHAPES), name)(*arguments, **named)

    return function


def _is_number(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_number, value))
    return isinstance(value, bool | int | float)  # torch.SymInt, SymBool and SymFloat are none of these


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return one == other


_QUERIES = (
    "expect_true", "guard_int", "guard_or_false", "guard_or_true", "guard_size_oblivious", "guarding_hint_or_throw",
    "statically_known_true",
)  # fmt: skip
"""Functions that return the value of an expression, which a number is itself."""
_STAND_INS: dict[str, dict[str, Any]] = {
    "torch._dynamo": {"disable": lambda function, *_, **named: function},
    "sympy": {"Basic": _NoSymbol},
    _SHAPES: {
        **{name: _of_numbers(name, lambda value: value) for name in _QUERIES},
        "_advise_is_size": _of_numbers("_advise_is_size", lambda size: None),  # asked by torch before 2.9
        "has_guarding_hint": _of_numbers("has_guarding_hint", lambda size: True),
        "is_nested_int": _of_numbers("is_nested_int", lambda size: False),
        "sym_and": _of_numbers("sym_and", lambda *each: all(each)),
        "sym_eq": _of_numbers("sym_eq", _equal),
        "sym_or": _of_numbers("sym_or", lambda *each: any(each)),
    },
}
"""Mapping from module to attributes of its stand-in."""
