"""Search space of a study, as the section `tune` writes it: ranges and choices of flags and config values.

A point of the space maps each parameter's name to its value, for a choice to the index of an item. Parameters within an
item of a choice belong to a point only where that item is chosen.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from kerascli.config.composition.overrides import path_parts
from kerascli.config.composition.references import read_flags
from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import Fault, Path, show
from kerascli.foundation.shapes import to_tuple
from kerascli.language.component import Invalid
from kerascli.language.section import BaseSection, parse_section

Point = Mapping[str, int | float]
"""Type of a point: mapping from parameter to its number, for a choice to the index of the chosen item."""
Condition = tuple[str, int]
"""Type of a choice and the index of an item of it."""


class FloatRange(BaseSection):
    """Range of numbers to search."""

    title: ClassVar[str] = "a range"

    range: Annotated[tuple[float, float], BeforeValidator(to_tuple)]
    """Lowest and highest value, both included."""
    log: bool = False
    """Sample on a logarithmic scale."""
    steps: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Number of values in a grid; null: all integers, and no grid for `float`."""

    @model_validator(mode="after")
    def _increases(self) -> "FloatRange":
        low, high = self.range
        if not low < high:
            raise ValueError(f"range: expected the lowest value and a higher one, got [{low:g}, {high:g}]")
        if self.log and low <= 0:
            raise ValueError(f"range: a logarithmic scale begins above 0, got {low:g}")
        return self


class IntRange(FloatRange):
    """Range of integers to search."""

    range: Annotated[tuple[int, int], BeforeValidator(to_tuple)]  # pyright: ignore[reportIncompatibleVariableOverride]
    """Lowest and highest value, both included."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Parameter of a search space: a range of numbers, or a choice among items."""

    name: str
    """Name of the flag, or path of the config value."""
    path: Path
    """Config path of the parameter in the section `tune`."""
    domain: FloatRange
    """Range of the number; of a choice that of the index of its item."""
    items: tuple[Any, ...] = ()
    """Items of a choice, in which a Parameter stands for its value; () for a number."""
    condition: Condition | None = None
    """Choice and index of its item within which the parameter is; None: it belongs to every point."""

    @property
    def setting(self) -> str:
        """Path of the config value as of `--set`."""
        return f"flags.{self.name}" if self.path[0] == "flags" else self.name

    @property
    def is_integer(self) -> bool:
        return isinstance(self.domain, IntRange)

    def is_active(self, point: Point) -> bool:
        """Return True if the parameter belongs to a point in which the earlier parameters have values."""
        return self.condition is None or point.get(self.condition[0]) == self.condition[1]

    def grid(self) -> Sequence[int | float]:
        """Return the parameter's values in a grid. Raises Invalid for a `float` without `steps`."""
        low, high = self.domain.range
        if self.domain.steps is None and self.is_integer:
            return range(int(low), int(high) + 1)
        if self.domain.steps is None:
            raise Invalid([Fault(f"{self.name}: a grid needs 'steps', the number of values", self.path)])
        last = self.domain.steps - 1
        scale, inverse = (math.log, math.exp) if self.domain.log else (float, float)
        inner = [inverse(scale(low) + (scale(high) - scale(low)) * each / last) for each in range(1, last)]
        values = [low, *(float(f"{value:.12g}") for value in inner), high]
        return sorted({round(value) for value in values}) if self.is_integer else values

    def number_of(self, written: Any) -> int | float | None:
        """Return the number that stands for a config value, None if the value is not in the range or choice."""
        if self.items:
            return next((index for index, item in enumerate(self.items) if _is_like(item, written)), None)
        low, high = self.domain.range
        is_number = type(written) is int or (type(written) is float and not self.is_integer)
        return (written if self.is_integer else float(written)) if is_number and low <= written <= high else None


@dataclass(frozen=True, slots=True)
class Space:
    """Search space: parameters, each after the choice that it depends on, and what they set in a config."""

    parameters: tuple[Parameter, ...]
    sets: Mapping[str, Any]
    """Mapping from a path as of `--set` to its value, in which a Parameter stands for its own value."""

    def values(self, point: Point) -> dict[str, Any]:
        """Return the value of each path as of `--set` at a point."""
        return {path: _filled(each, point) for path, each in self.sets.items()}

    def shown(self, point: Point) -> dict[str, Any]:
        """Return the value of each parameter at a point; of an item within which others are, only its name."""
        inner = {each.condition for each in self.parameters}
        values = {each.name: _filled(each, point) for each in self.parameters if each.name in point}
        for name, value in values.items():
            if (name, point[name]) in inner and isinstance(value, dict) and len(value) == 1:
                values[name] = next(iter(value))
        return values

    def written(self, document: Document) -> dict[str, int | float]:
        """Return the point of a config; parameters whose value is not in the space are left out."""
        resolved = replace(document, data={**document.data, "flags": read_flags(document)})
        point: dict[str, int | float] = {}
        for each in self.parameters:
            written = resolved.at(path_parts(each.setting, "tune.set"))
            if each.is_active(point) and (number := each.number_of(written)) is not None:
                point[each.name] = number
        return point

    def active(self, choose: Callable[[Parameter], int | float]) -> dict[str, int | float]:
        """Return the point whose parameters have the values that `choose` returns for them, in their order."""
        point: dict[str, int | float] = {}
        for parameter in self.parameters:
            if parameter.is_active(point):
                point[parameter.name] = choose(parameter)
        return point


HINT = "as in flags: {units: {int: {range: [32, 512]}}, cell: [lstm, gru]}"
_KINDS: dict[str, type[FloatRange]] = {"int": IntRange, "float": FloatRange}


def read_space(key: str, written: Any) -> Space:
    """Return the space of the key `flags` or `set` of the section `tune`. Raises Invalid with all config errors."""
    if not isinstance(written, dict):
        raise Invalid([Fault(f"{key}: expected a mapping, got {show(written)}", ())])
    reader, sets = _Reader(key), {}
    for name, each in written.items():
        before = len(reader.parameters), len(reader.faults)
        value = {"choice": each} if isinstance(each, list) else each
        sets[f"flags.{name}" if key == "flags" else str(name)] = reader.value(value, str(name), (name,), None)
        if before == (len(reader.parameters), len(reader.faults)):
            text = f"{name}: expected a list of choices or a range, got {show(each)}"
            reader.faults.append(Fault(text, (name,), hint=HINT))
    names = [each.name for each in reader.parameters]
    twice = [each for each in reader.parameters if names.count(each.name) > 1]
    if reader.faults or twice:
        clash = [Fault(f"two parameters are called '{each.name}'", each.path[1:], "key") for each in twice[1:]]
        raise Invalid([*reader.faults, *clash])
    return Space(tuple(reader.parameters), sets)


class _Reader:
    """Parser of the space of one key; collects its parameters and config errors, whose paths are below the key."""

    def __init__(self, key: str) -> None:
        self.parameters: list[Parameter] = []
        self.faults: list[Fault] = []
        self._key = key

    def value(self, written: Any, name: str, path: Path, condition: Condition | None) -> Any:
        """Return a value of the space in which a Parameter stands for each range and choice."""
        if isinstance(written, list):
            return [self.value(item, f"{name}[{i}]", (*path, i), condition) for i, item in enumerate(written)]
        if not isinstance(written, dict):
            return written
        kind, inner = next(iter(written.items())) if len(written) == 1 else ("", None)
        if kind == "choice":
            return self._choice(inner, name, path, condition)
        if kind not in _KINDS or not isinstance(inner, dict):
            return {key: self.value(each, f"{name}.{key}", (*path, key), condition) for key, each in written.items()}
        try:
            domain = parse_section(_KINDS[kind], inner, (*path, kind))
        except Invalid as invalid:
            self.faults += invalid.faults
            return None
        self.parameters.append(Parameter(name, (self._key, *path), domain, condition=condition))
        return self.parameters[-1]

    def _choice(self, items: Any, name: str, path: Path, condition: Condition | None) -> Any:
        if not isinstance(items, list) or len(items) < 2:
            self.faults.append(Fault(f"{name}: expected a list of at least two choices, got {show(items)}", path))
            return None
        place = len(self.parameters)
        read = tuple(self.value(item, name, (*path, i), (name, i)) for i, item in enumerate(items))
        index = IntRange.model_construct(range=(0, len(items) - 1))
        self.parameters.insert(place, Parameter(name, (self._key, *path), index, read, condition))
        return self.parameters[place]


def _filled(value: Any, point: Point) -> Any:
    """Return a value of a space with each Parameter replaced by its value at a point."""
    if isinstance(value, Parameter):
        number = point[value.name]
        return _filled(value.items[int(number)], point) if value.items else number
    if isinstance(value, dict):
        return {key: _filled(each, point) for key, each in value.items()}
    return [_filled(each, point) for each in value] if isinstance(value, list) else value


def _is_like(item: Any, written: Any) -> bool:
    """Return True if an item of a choice is a config value, whatever the values of the Parameters in it."""
    if isinstance(item, Parameter):
        return True
    if isinstance(item, dict) and isinstance(written, dict):
        return all(key in written and _is_like(each, written[key]) for key, each in item.items())
    if isinstance(item, list) and isinstance(written, list):
        return len(item) == len(written) and all(map(_is_like, item, written))
    return type(item) is type(written) and item == written
