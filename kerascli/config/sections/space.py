"""Search space of a study: ranges and choices of flags and config values, as the section `tune` writes them.

A point of the space maps each parameter's name to its value, for a choice to the index of an item. Parameters within an
item of a choice belong to a point only where that item is chosen.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from kerascli.foundation.errors import Fault, Path, show
from kerascli.foundation.shapes import to_tuple
from kerascli.language.component import Invalid
from kerascli.language.section import BaseSection, parse_section

Point = Mapping[str, int | float]
"""Type of a point: mapping from parameter to its number, for a choice to the index of the chosen item."""


class Range(BaseSection):
    """Range of numbers to search."""

    title: ClassVar[str] = "a range"

    range: Any
    """Lowest and highest value, both included."""
    log: bool = False
    """Sample on a logarithmic scale."""
    steps: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Number of values in a grid; null: all integers, and no grid for `float`."""

    @model_validator(mode="after")
    def _increases(self) -> "Range":
        low, high = self.range
        if not low < high:
            raise ValueError(f"range: expected the lowest value and a higher one, got [{low:g}, {high:g}]")
        if self.log and low <= 0:
            raise ValueError(f"range: a logarithmic scale begins above 0, got {low:g}")
        return self


class IntRange(Range):
    """Range of integers to search."""

    range: Annotated[tuple[int, int], BeforeValidator(to_tuple)]
    """Lowest and highest value, both included."""


class FloatRange(Range):
    """Range of numbers to search."""

    range: Annotated[tuple[float, float], BeforeValidator(to_tuple)]
    """Lowest and highest value, both included."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Parameter of a search space: a range of numbers, or a choice among items."""

    name: str
    """Name of the flag, or path of the config value."""
    path: Path
    """Config path of the parameter in the section `tune`."""
    domain: Range | None
    """Range of a number; None for a choice."""
    items: tuple[Any, ...] = ()
    """Items of a choice, in which a Parameter stands for its value."""
    condition: tuple[str, int] | None = None
    """Choice and index of its item within which the parameter is; None: it belongs to every point."""

    @property
    def is_integer(self) -> bool:
        return self.domain is None or isinstance(self.domain, IntRange)

    @property
    def bounds(self) -> tuple[int | float, int | float]:
        """Lowest and highest value, of a choice the first and last index."""
        return (0, len(self.items) - 1) if self.domain is None else self.domain.range

    def is_active(self, point: Point) -> bool:
        """Return True if the parameter belongs to a point in which the earlier parameters have values."""
        return self.condition is None or point.get(self.condition[0]) == self.condition[1]

    def grid(self) -> Sequence[int | float]:
        """Return the parameter's values in a grid. Raises Invalid for a `float` without `steps`."""
        low, high = self.bounds
        if self.domain is None or (self.domain.steps is None and self.is_integer):
            return range(int(low), int(high) + 1)
        if self.domain.steps is None:
            raise Invalid([Fault(f"{self.name}: a grid needs 'steps', the number of values", self.path)])
        last = self.domain.steps - 1
        scale, inverse = (math.log, math.exp) if self.domain.log else (float, float)
        inner = [inverse(scale(low) + (scale(high) - scale(low)) * each / last) for each in range(1, last)]
        values = [low, *(float(f"{value:.12g}") for value in inner), high]
        return sorted({round(value) for value in values}) if self.is_integer else values


@dataclass(frozen=True, slots=True)
class Space:
    """Search space: parameters, each after the choice that it depends on, and what they set in a config."""

    parameters: tuple[Parameter, ...]
    flags: Mapping[str, Any]
    """Mapping from flag to its value, in which a Parameter stands for its own value."""
    sets: Mapping[str, Any]
    """Mapping from a path as of `--set` to its value, in which a Parameter stands for its own value."""

    def values(self, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (value of each flag, value of each path as of `--set`) at a point."""
        flags, sets = ({name: _filled(each, point) for name, each in part.items()} for part in (self.flags, self.sets))
        return flags, sets

    def shown(self, point: Point) -> dict[str, Any]:
        """Return the value of each parameter at a point, of a choice the item as the config writes it."""
        return {each.name: _filled(each, point) for each in self.parameters if each.name in point}

    def point_of(self, flags: Mapping[str, Any], at: Callable[[str], Any]) -> dict[str, int | float]:
        """Return the point of a config as it is written; parameters whose value is not in the space are left out.

        `flags` are the values of its flags, `at` returns the value at a path as of `--set`.
        """
        found = [_matched(each, flags.get(name)) for name, each in self.flags.items()]
        found += [_matched(each, at(path)) for path, each in self.sets.items()]
        return {name: value for each in found if each is not None for name, value in each.items()}

    def active(self, choose: Callable[[Parameter], int | float]) -> dict[str, int | float]:
        """Return the point whose parameters have the values that `choose` returns for them, in their order."""
        point: dict[str, int | float] = {}
        for parameter in self.parameters:
            if parameter.is_active(point):
                point[parameter.name] = choose(parameter)
        return point

    def below(self, condition: tuple[str, int] | None) -> list[Parameter]:
        """Return the parameters within an item of a choice; None: those of every point."""
        return [each for each in self.parameters if each.condition == condition]


def refuse_space(key: str, value: Any) -> Any:
    """Return the value of a key, `flags` or `set`, of `tune` unchanged. Raises Invalid with all errors in it."""
    reader = _Reader()
    reader.mapping(value, key)
    if reader.faults:
        raise Invalid([replace(fault, path=fault.path[1:]) for fault in reader.faults])
    return value


def read_space(flags: Any, sets: Any) -> Space:
    """Return the search space of the keys `flags` and `set` of the section `tune`. Raises Invalid."""
    reader = _Reader()
    parts = [reader.mapping(value, key) for key, value in (("flags", flags), ("set", sets))]
    if not reader.faults and not reader.parameters:
        reader.faults.append(Fault("expected a search space in 'flags' or 'set'", (), "key", hint=_HINT))
    if reader.faults:
        raise Invalid(reader.faults)
    return Space(tuple(reader.parameters), *parts)


_HINT = "as in flags: {units: {int: {range: [32, 512]}}, cell: [lstm, gru]}"
_KINDS: dict[str, type[Range]] = {"int": IntRange, "float": FloatRange}


class _Reader:
    """Parser of a search space; collects its parameters and config errors."""

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self.faults: list[Fault] = []

    def mapping(self, value: Any, key: str) -> dict[str, Any]:
        """Return the key `flags` or `set` with Parameters in place of its ranges and choices."""
        if value is not None and not isinstance(value, dict):
            self.faults.append(Fault(f"{key}: expected a mapping, got {show(value)}", (key,)))
            return {}
        read: dict[str, Any] = {}
        for name, written in (value or {}).items():
            before = len(self.parameters), len(self.faults)
            is_choice = isinstance(written, list)
            read[str(name)] = self.value({"choice": written} if is_choice else written, str(name), (key, name), None)
            if before == (len(self.parameters), len(self.faults)):
                text = f"{name}: expected a list of choices or a range, got {show(written)}"
                self.faults.append(Fault(text, (key, name), hint=_HINT))
        return read

    def value(self, written: Any, name: str, path: Path, condition: tuple[str, int] | None) -> Any:
        """Return a value of the space in which a Parameter stands for each range and choice."""
        if isinstance(written, list):
            return [self.value(item, f"{name}[{i}]", (*path, i), condition) for i, item in enumerate(written)]
        if not isinstance(written, dict):
            return written
        kind = next(iter(written), None) if len(written) == 1 else None
        inner = written.get(kind)
        if kind == "choice":
            return self.choice(inner, name, path, condition)
        if kind in _KINDS and isinstance(inner, dict):
            try:
                domain = parse_section(_KINDS[kind], inner, (*path, kind))
            except Invalid as invalid:
                self.faults += invalid.faults
                return None
            return self.add(Parameter(name, path, domain, condition=condition))
        return {key: self.value(each, f"{name}.{key}", (*path, key), condition) for key, each in written.items()}

    def choice(self, items: Any, name: str, path: Path, condition: tuple[str, int] | None) -> Any:
        if not isinstance(items, list) or len(items) < 2:
            self.faults.append(Fault(f"{name}: expected a list of at least two choices, got {show(items)}", path))
            return None
        place = len(self.parameters)
        read = tuple(self.value(item, name, (*path, i), (name, i)) for i, item in enumerate(items))
        inner, self.parameters = self.parameters[place:], self.parameters[:place]
        parameter = self.add(Parameter(name, path, None, read, condition))
        self.parameters += inner
        return parameter

    def add(self, parameter: Parameter) -> Parameter:
        if any(each.name == parameter.name for each in self.parameters):
            self.faults.append(Fault(f"two parameters are called '{parameter.name}'", parameter.path, "key"))
        self.parameters.append(parameter)
        return parameter


def _filled(value: Any, point: Point) -> Any:
    """Return a value of a space with each Parameter replaced by its value at a point."""
    if isinstance(value, Parameter):
        number = point[value.name]
        return number if value.domain is not None else _filled(value.items[int(number)], point)
    if isinstance(value, dict):
        return {key: _filled(each, point) for key, each in value.items()}
    return [_filled(each, point) for each in value] if isinstance(value, list) else value


def _matched(template: Any, value: Any) -> dict[str, int | float] | None:
    """Return the numbers of the Parameters in a value of a space that give a config's value; None if none give it."""
    if isinstance(template, Parameter):
        return _number_of(template, value)
    if isinstance(template, dict) and isinstance(value, dict) and template.keys() <= value.keys():
        pairs = [(each, value[key]) for key, each in template.items()]
    elif isinstance(template, list) and isinstance(value, list) and len(template) == len(value):
        pairs = list(zip(template, value, strict=True))
    else:
        return {} if type(template) is type(value) and template == value else None
    found: dict[str, int | float] = {}
    for each, inner in pairs:
        matched = _matched(each, inner)
        if matched is None:
            return None
        found |= matched
    return found


def _number_of(parameter: Parameter, value: Any) -> dict[str, int | float] | None:
    """Return the number of a parameter, and of those within its chosen item, that gives a config's value; or None."""
    if parameter.domain is None:
        items = ((index, _matched(item, value)) for index, item in enumerate(parameter.items))
        return next(({parameter.name: index, **inner} for index, inner in items if inner is not None), None)
    low, high = parameter.bounds
    is_number = type(value) is int or (type(value) is float and not parameter.is_integer)
    if not is_number or not low <= value <= high:
        return None
    return {parameter.name: value if parameter.is_integer else float(value)}
