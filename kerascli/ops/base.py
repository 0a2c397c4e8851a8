"""Operations of formulas: functions with keras.ops' signatures, with checks of their arguments and a registry."""

import ast
import importlib
import inspect
import operator
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import torch
from torch import Tensor

from kerascli.foundation.errors import counted, one_of, show, suggestion

Number = int | float | bool
Value = Tensor | Number
"""Type of an operand: a tensor or a Python number; a number does not affect the dtype of the result."""
Tensors = Sequence[Tensor]
Axes = int | Sequence[int] | None
Sizes = Sequence[int]
Ints = int | Sizes
"""One integer, or several: one for each axis."""
Numbers = Sequence[float]
Compute = Callable[..., Tensor]
C = TypeVar("C", bound=Callable[..., Any])
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "float16", "bfloat16", "float32", "float64")
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ArgumentError(ValueError):
    """Error for a call that does not match the signature of its operation.

    `argument` is the position or name of the faulty argument in the call, None for the call as a whole. With
    `named`, the keyword's name is at fault, not its value.
    """

    def __init__(self, text: str, argument: int | str | None = None, *, named: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.argument = argument
        self.named = named


class Refusal(ArgumentError):
    """ArgumentError of an operation's function, whose text `Op.call` begins with the operation's name: `pad: ...`, or
    `unfold needs ...`."""


class Op(NamedTuple):
    """Tensor operation that formulas can call: a function with its name, parameters and description.

    With `makes`, it creates a tensor without tensor arguments, and is passed `device`. With `widens`, torch lacks
    it in half precision and over integers, and such arguments are cast to float32. With `keeps_integers`, it takes
    integers and booleans in their own dtypes, since it moves or counts them or converts them to floats; others get them
    as int64 (`wide`).
    """

    name: str
    function: Callable[..., Any]
    """Function that takes the arguments in the order of `parameters`, those after `*` by name."""
    meaning: str
    parameters: Mapping[str, inspect.Parameter]
    makes: bool
    has_several: bool
    """True if the operation returns several tensors, of which an index selects one."""
    widens: bool = False
    keeps_integers: bool = False
    alias_of: str | None = None

    def bind(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Return a mapping from parameter names to a call's arguments; the arguments of `*x` are a list. Raises
        ArgumentError."""
        kinds = {p.kind: name for name, p in self.parameters.items()}
        names = [name for name, p in self.parameters.items() if p.kind not in VARIADIC]
        bound = self._in_order(arguments, names, kinds.get(inspect.Parameter.VAR_POSITIONAL))
        for name, value in keywords.items():
            if name not in names and inspect.Parameter.VAR_KEYWORD not in kinds:
                meant = suggestion(name, names) or f"; it takes {', '.join(names)}"
                raise ArgumentError(f"{self.name} has no argument '{name}'{meant}", name, named=True)
            if name in bound:
                raise ArgumentError(f"{self.name}: '{name}' is given twice", name, named=True)
            bound[name] = value
        missing = [n for n in names if self.parameters[n].default is inspect.Parameter.empty and n not in bound]
        if missing:
            raise ArgumentError(f"{self.name} needs {' and '.join(repr(n) for n in missing)}")
        return bound

    def _in_order(self, arguments: Sequence[Any], names: Sequence[str], rest: str | None) -> dict[str, Any]:
        """Return the arguments without names by parameter; those of the parameter `rest` (`*x`) are a list."""
        first = [name for name in names if self.parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY]
        bound = dict(zip(first, arguments, strict=False))
        if rest is not None:
            bound[rest] = list(arguments[len(first) :])
        elif len(arguments) > len(first):
            text = f"{self.name} takes at most {counted(len(first), 'argument')} ({', '.join(first)})"
            raise ArgumentError(f"{text}, got {len(arguments)}", len(first))
        return bound

    def call(self, arguments: Sequence[Any], keywords: Mapping[str, Any], device: torch.device) -> Any:
        """Call the operation with tensors, numbers, strings and lists. Raises ArgumentError and torch's errors."""
        bound = self.bind(arguments, keywords)
        ordered: list[Any] = []
        named: dict[str, Any] = {"device": device} if self.makes else {}
        for place, (name, parameter) in enumerate(self.parameters.items()):
            if parameter.kind is parameter.VAR_POSITIONAL:
                first = len(arguments) - len(bound[name])
                ordered += [self._fitted(parameter, item, device, n) for n, item in enumerate(bound[name], first)]
                continue
            if parameter.kind is parameter.VAR_KEYWORD:
                further = [key for key in bound if key not in self.parameters]
                named |= {key: self._fitted(parameter.replace(name=key), bound[key], device, key) for key in further}
                continue
            value = bound.get(name, parameter.default)
            if value is not parameter.default:
                value = self._fitted(parameter, value, device, name if name in keywords else place)
            if parameter.kind is parameter.KEYWORD_ONLY:
                named[name] = value
            else:
                ordered.append(value)
        try:
            return self.function(*ordered, **named)
        except Refusal as refusal:
            link = " " if refusal.text.startswith("needs ") else ": "
            raise ArgumentError(f"{self.name}{link}{refusal.text}", refusal.argument) from None

    def _fitted(self, parameter: inspect.Parameter, value: Any, device: torch.device, place: int | str) -> Any:
        """Return an argument of a call converted to the type of its parameter. Raises ArgumentError.

        `place` is its position or name in the call, which errors report.
        """
        try:
            return self._cast(self._fitting(parameter, value, device))
        except ArgumentError as error:
            raise ArgumentError(error.text, place) from None

    def _fitting(self, parameter: inspect.Parameter, value: Any, device: torch.device) -> Any:
        kind = parameter.annotation
        if kind in (Value, Value | None) and (isinstance(value, str) or (value is None and kind is Value)):
            raise ArgumentError(f"{self.name}: expected a tensor or a number, got {describe(value)}")
        if kind in _KEPT:
            return value if isinstance(value, _KEPT[kind]) else as_tensor(value, device)
        fits, words = _CHECKS.get(kind) or _check_of_words(get_args(kind))
        if not fits(value):
            two = self.name in {"max", "min"} and isinstance(value, Tensor)
            meant = f"; of two tensors write {self.name}imum(a, b)" if two else ""
            raise ArgumentError(f"{self.name}: {parameter.name}: expected {words}, got {describe(value)}{meant}")
        return [as_tensor(item, device) for item in value or ()] if kind is Tensors else value

    def _cast(self, value: Any) -> Any:
        """Return an argument with its tensors cast to the dtypes in which the operation computes."""
        if isinstance(value, list):
            return [self._cast(item) for item in value]
        if not isinstance(value, Tensor):
            return value
        if self.widens and value.dtype in (torch.float16, torch.bfloat16):
            return value.float()
        if self.keeps_integers:
            return value
        return as_float(value) if self.widens else wide(value, COUNTED)


BOOLEANS = frozenset({torch.bool})
INTEGERS = frozenset({torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.uint32})
"""Dtypes of integers that are narrower than int64, in which formulas compute; in uint8 10 - 100 would be 166."""
COUNTED = INTEGERS | BOOLEANS


def wide(value: Any, dtypes: frozenset[torch.dtype] = INTEGERS) -> Any:
    """Return a tensor of one of the given dtypes as int64; other values are returned unchanged."""
    return value.long() if isinstance(value, Tensor) and value.dtype in dtypes else value


def common_dtype(x: Tensor, other: Value) -> torch.dtype:
    """Return the dtype of x if it is a float, else the dtype in which formulas hold elements of x and `other`."""
    return x.dtype if x.is_floating_point() else torch.result_type(wide(x), other)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_whole(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_whole, value))


def _check_of_words(words: tuple[str | None, ...]) -> tuple[Callable[[Any], bool], str]:
    """Return the check of an argument whose type is a `Literal` of these words, and the words for messages."""
    return lambda v: isinstance(v, str | None) and v in words, one_of([f"'{word}'" for word in words if word])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_KEPT: dict[Any, tuple[type, ...]] = {
    Tensor: (), Tensor | None: (), Tensor | str | None: (str, type(None)), Value: (int, float),
    Value | None: (int, float, type(None)),
}  # fmt: skip
"""Mapping from types of parameters that take tensors to the types of arguments that are not made tensors."""
_CHECKS: dict[Any, tuple[Callable[[Any], bool], str]] = {
    int: (_is_whole, "an integer"),
    float: (_is_number, "a number"),
    bool: (lambda v: isinstance(v, bool), "true or false"),
    str: (lambda v: isinstance(v, str), "a text in quotes"),
    Sizes: (_are_whole, "a list of integers"),
    list | int: (lambda v: isinstance(v, list) or _is_whole(v), "an integer or a list"),
    Ints: (lambda v: _is_whole(v) or _are_whole(v), "an integer or a list of integers"),
    int | str: (lambda v: _is_whole(v) or isinstance(v, str), "an integer or a text"),
    list: (lambda v: isinstance(v, list), "a list"),
    Tensors: (lambda v: isinstance(v, list), "a list of tensors"),
    Numbers: (lambda v: isinstance(v, list) and all(map(_is_number, v)), "a list of numbers"),
}
_CHECKS |= {kind | None: (lambda v, fits=fits: v is None or fits(v), words) for kind, (fits, words) in _CHECKS.items()}
"""Mapping from parameter types to (check of an argument, words for the allowed values in error messages)."""


def describe(value: Any) -> str:
    """Return the text for a value in an error message: `a tensor`, or the value itself."""
    if isinstance(value, Tensor):
        return "a tensor"
    if isinstance(value, list) and any(isinstance(item, Tensor) for item in value):
        return "a list with tensors"
    return show(value)


def as_tensor(value: Any, device: torch.device) -> Tensor:
    """Return a number or nested lists as a tensor, created on `device` without a copy from the host."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (int, float)):
        return torch.full((), value, device=device)
    if isinstance(value, list) and value:
        parts = [wide(as_tensor(item, device)) for item in value]
        dtype = reduce(torch.promote_types, [part.dtype for part in parts])
        return torch.stack([part.to(dtype) for part in parts])
    raise ArgumentError(f"expected a tensor, got {describe(value)}")


def dtype_of(name: str | None) -> torch.dtype:
    """Return the torch dtype for a Keras dtype name; None: the dtype of the model's weights. Raises ArgumentError."""
    if name in {None, "float", "float32"}:  # the default float dtype is that of the weights
        return torch.get_default_dtype()
    dtype = getattr(torch, {"int": "int32"}.get(str(name), str(name)), None)
    if not isinstance(dtype, torch.dtype):
        raise ArgumentError(f"there is no dtype '{name}'{suggestion(str(name), DTYPES)}")
    return dtype


def as_float(x: Tensor) -> Tensor:
    """Cast a tensor of integers or booleans to the default float dtype."""
    return x if x.is_floating_point() or x.is_complex() else x.to(torch.get_default_dtype())


def of_one_dtype(function: Compute) -> Compute:
    """Return `function`, a product of tensors, over tensors cast to the dtype that holds the elements of all."""

    def call(*tensors: Tensor) -> Tensor:
        dtype = reduce(torch.promote_types, [x.dtype for x in tensors])
        return function(*(x.to(dtype) for x in tensors))

    return call


def all_axes(x: Tensor, axis: Axes) -> tuple[int, ...]:
    """Return an operation's `axis` as a tuple; None: all axes of `x`. Raises ArgumentError if one does not exist."""
    if axis is None:
        return tuple(range(x.ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    rank = max(x.ndim, 1)
    for one in axes:
        if not -rank <= one < rank:
            raise ArgumentError(f"there is no axis {one} in a tensor of {x.ndim} axes", "axis")
    return axes


def one_axis(x: Tensor, axis: int) -> int:
    """Return an axis of `x` as a non-negative number. Raises ArgumentError if it is out of range."""
    return all_axes(x, axis)[0] % max(x.ndim, 1)


class Ops:
    """Registry of operations by name; all modules of kerascli/ops are imported when it is first used."""

    def __init__(self) -> None:
        self._ops: dict[str, Op] = {}
        self._loaded = False

    def register(self, operation: Op, aliases: Sequence[str] = ()) -> None:
        for name in (operation.name, *aliases):
            assert name not in self._ops, f"two operations called '{name}'"
            alias_of = None if name == operation.name else operation.name
            self._ops[name] = operation._replace(name=name, alias_of=alias_of)

    def load(self) -> None:
        if not self._loaded:
            self._loaded = True
            for info in pkgutil.iter_modules(importlib.import_module("kerascli.ops").__path__, "kerascli.ops."):
                importlib.import_module(info.name)

    def find(self, name: str) -> Op | None:
        self.load()
        return self._ops.get(name.removeprefix("ops."))

    def names(self) -> list[str]:
        """Return the names of all operations in alphabetical order, without aliases."""
        self.load()
        return sorted(name for name, op in self._ops.items() if op.alias_of is None)

    def aliases(self, name: str) -> tuple[str, ...]:
        return tuple(op.name for op in self._ops.values() if op.alias_of == name)

    def suggestion(self, name: str) -> str:
        self.load()
        return suggestion(name, self._ops)


OPS = Ops()


def op(name: str | None = None, *, widens: bool = False, keeps_integers: bool = False) -> Callable[[C], C]:
    """Return a decorator that registers a function as an operation called `name` (default: as the function)."""

    def decorate(function: C) -> C:
        signature = inspect.signature(function)
        parameters = dict(signature.parameters)
        makes = parameters.pop("device", None) is not None
        several = get_origin(signature.return_annotation) in (tuple, list)
        spelling = name or function.__name__.strip("_")
        meaning = (function.__doc__ or "").strip()
        OPS.register(Op(spelling, function, meaning, parameters, makes, several, widens, keeps_integers))
        return function

    return decorate


_TYPES = {
    "Tensor": Tensor, "Tensors": Tensors, "Value": Value, "Axes": Axes, "Sizes": Sizes, "None": None,
    **{kind.__name__: kind for kind in (int, float, bool, str, list)},
}  # fmt: skip


def table(
    rows: Mapping[str, tuple[Callable[..., Any], str]], signature: str = "x", *,
    makes: bool = False, widens: bool = False, keeps_integers: bool = False,
) -> None:  # fmt: skip
    """Register operations that are one call of a function: mapping from signature to (function, documentation).

    A signature is `name|alias(x, k = 0, axis: Axes = None)`, `-> list` behind it says that the operation returns
    several tensors; a name alone has the parameters `signature`. A parameter without type has that of its default, or
    is a tensor. The function gets all arguments in this order; `Axes` as a tuple of existing axes, `dtype` as torch's.
    """
    for row, (function, meaning) in rows.items():
        names, _, own = row.partition("(")
        written, _, several = (own or signature).partition(") -> ")
        parameters = {each.name: each for each in _parameters(written.removesuffix(")"))}
        name, *aliases = names.split("|")
        called = _with_torch_arguments(function, list(parameters.values()))
        OPS.register(Op(name, called, meaning, parameters, makes, bool(several), widens, keeps_integers), aliases)


def _parameters(written: str) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a signature such as `x, k = 0, axis: Axes = None`."""
    for part in written.split(", "):
        name, _, default = part.partition(" = ")
        name, _, words = name.partition(": ")
        value = ast.literal_eval(default) if default else inspect.Parameter.empty
        kind: Any = type(value) if default else Tensor
        if words:
            kind = reduce(operator.or_, [_TYPES[word] for word in words.split(" | ")])
        yield inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value, annotation=kind)


def _with_torch_arguments(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    """Return `function`, called with axes as a tuple and dtypes as torch's, if it has such parameters."""
    axes = [place for place, each in enumerate(parameters) if each.annotation == Axes]
    dtypes = [place for place, each in enumerate(parameters) if each.name == "dtype"]
    if not axes and not dtypes:
        return function

    def call(*arguments: Any, **named: Any) -> Any:
        converted = list(arguments)
        for place in axes:
            converted[place] = all_axes(arguments[0], arguments[place])
        for place in dtypes:
            converted[place] = None if arguments[place] is None else dtype_of(arguments[place])
        return function(*converted, **named)

    return call
