"""Search space of a study, as the section `tune` writes it: ranges and choices of flags and config values.

A point of the space maps each parameter's name to its value, for a choice to the index of an item. Parameters within an
item of a choice belong to a point only where that item is chosen.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from kerascli.config.composition.merge import component_name
from kerascli.config.composition.overrides import path_parts
from kerascli.config.composition.references import read_flags
from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import Fault, Path, leaves, mapped, show
from kerascli.foundation.shapes import to_tuple
from kerascli.language.component import Invalid, collected
from kerascli.language.section import BaseSection, parse_section

Point = Mapping[str, int | float]
"""Type of a point: mapping from parameter to its number, for a choice to the index of the chosen item."""


class FloatRange(BaseSection):
    """Range of numbers to search."""

    title: ClassVar[str] = "a range"
    kind: ClassVar[type[int | float]] = float

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

    def number(self, value: float, digits: int = 5) -> int | float:
        """Return the number of the range nearest to a value; a `float` has so many significant digits."""
        rounded = round(value) if self.kind is int else float(f"{value:.{digits}g}")
        return min(max(rounded, self.range[0]), self.range[1])

    def at(self, share: float, digits: int, margin: float = 0.0) -> int | float:
        """Return the number at a share (0 to 1) of the range on its scale, as if it had `margin` more at each end."""
        scale, inverse = (math.log, math.exp) if self.log else (float, float)
        low, high = scale(self.range[0] - margin), scale(self.range[1] + margin)
        return self.number(inverse(low + (high - low) * share), digits)

    def drawn(self, share: float) -> int | float:
        """Return the number for a random share (0 to 1), uniform on the scale of the range."""
        return self.at(share, digits=5, margin=0.5 if self.kind is int else 0.0)

    def grid(self) -> Sequence[int | float]:
        """Return the values of a grid; a `float` must have `steps`."""
        if self.steps is None:
            return range(int(self.range[0]), int(self.range[1]) + 1)
        inner = (self.at(step / (self.steps - 1), digits=12) for step in range(1, self.steps - 1))
        return sorted({*self.range, *inner})


class IntRange(FloatRange):
    """Range of integers to search."""

    kind: ClassVar[type[int | float]] = int
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
    within: Point
    """Mapping from each choice around the parameter to the index of the item that it is in."""
    items: tuple[Any, ...] = ()
    """Items of a choice, in which a Parameter stands for its value; () for a number."""

    def at(self, point: Point) -> Any:
        """Return the value of the parameter at a point."""
        number = point[self.name]
        return _filled(self.items[int(number)], point) if self.items else number


@dataclass(frozen=True)
class Space:
    """Search space: what it sets in a config, and its parameters."""

    sets: Mapping[str, Any]
    """Mapping from a path as of `--set` to its value, in which a Parameter stands for its own value."""

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters, each after the choices that it is in."""
        return tuple(parameters_in(dict(self.sets)))

    def values(self, point: Point) -> dict[str, Any]:
        """Return the value of each path as of `--set` at a point."""
        return {path: _filled(each, point) for path, each in self.sets.items()}

    def shown(self, point: Point) -> dict[str, Any]:
        """Return the value of each parameter at a point; of an item within which others are, only its name."""
        active = [each for each in self.parameters if each.name in point]
        outer = {name for each in active for name in each.within}
        values = {each.name: each.at(point) for each in active}
        return {name: (name in outer and component_name(value)) or value for name, value in values.items()}

    def written(self, document: Document) -> dict[str, int | float]:
        """Return the point of a config; parameters whose value is not in the space are left out."""
        resolved = replace(document, data={**document.data, "flags": read_flags(document)})

        def number(each: Parameter) -> int | float | None:
            path = f"flags.{each.name}" if each.path[0] == "flags" else each.name
            parts = path_parts(path, "tune.set")
            value = resolved.at(tuple(int(part) if str(part).isdigit() else part for part in parts))
            (low, high), kind = each.domain.range, each.domain.kind
            if each.items:
                return next((index for index, item in enumerate(each.items) if _is_like(item, value)), None)
            return kind(value) if type(value) in (int, kind) and low <= value <= high else None

        return {name: value for name, value in self.active(number).items() if value is not None}

    def active(self, choose: Callable[[Parameter], Any]) -> dict[str, Any]:
        """Return the point whose parameters have the values that `choose` returns for them, in their order."""
        point: dict[str, Any] = {}
        for each in self.parameters:
            if each.within.items() <= point.items():
                point[each.name] = choose(each)
        return point


HINT = "as in flags: {units: {int: {range: [32, 512]}}, cell: [lstm, gru]}"
_KINDS: dict[str, type[FloatRange]] = {"int": IntRange, "float": FloatRange}


def read_space(written: dict[Any, Any], info: ValidationInfo) -> dict[str, Any]:
    """Return what the key `flags` or `set` of the section `tune` sets, as in `Space.sets`. Raises Invalid."""
    key, prefix = str(info.field_name), "flags." if info.field_name == "flags" else ""
    sets, faults = {}, list[Fault]()
    for name, each in written.items():
        count, value = len(faults), {"choice": each} if isinstance(each, list) else each
        sets[f"{prefix}{name}"] = read = _read(value, str(name), (key, name), {}, faults)
        if len(faults) == count and not any(parameters_in(read)):
            text = f"{name}: expected a list of choices or a range, got {show(each)}"
            faults.append(Fault(text, (key, name), hint=HINT))
    if faults:
        raise Invalid(replace(fault, path=fault.path[1:]) for fault in faults)
    return sets


def _read(written: Any, name: str, path: Path, within: Point, faults: list[Fault]) -> Any:
    """Return a value of the space in which a Parameter stands for each range and choice; add its config errors."""
    if isinstance(written, list):
        return [_read(each, f"{name}[{i}]", (*path, i), within, faults) for i, each in enumerate(written)]
    if not isinstance(written, dict):
        return written
    kind, inner = next(iter(written.items())) if len(written) == 1 else ("", None)
    if kind == "choice":
        if not isinstance(inner, list) or len(inner) < 2:
            faults.append(Fault(f"{name}: expected a list of at least two choices, got {show(inner)}", path))
            return None
        items = (_read(each, name, (*path, i), {**within, name: i}, faults) for i, each in enumerate(inner))
        return Parameter(name, path, IntRange.model_construct(range=(0, len(inner) - 1)), within, tuple(items))
    if kind not in _KINDS or not isinstance(inner, dict):
        return {key: _read(each, f"{name}.{key}", (*path, key), within, faults) for key, each in written.items()}
    with collected(faults):
        return Parameter(name, path, parse_section(_KINDS[kind], inner, (*path, kind)), within)
    return None


def parameters_in(value: Any) -> Iterator[Parameter]:
    """Yield the parameters in a value of a space, each before those in its items."""
    for _, each in leaves(value, bool):
        if isinstance(each, Parameter):
            yield each
            yield from parameters_in([*each.items])


def _filled(value: Any, point: Point) -> Any:
    """Return a value of a space with each Parameter replaced by its value at a point."""
    return mapped(value, lambda each: each.at(point) if isinstance(each, Parameter) else each)


def _is_like(item: Any, written: Any) -> bool:
    """Return True if an item of a choice is a config value, whatever the values of the Parameters in it."""
    if isinstance(item, Parameter):
        return True
    if isinstance(item, dict) and isinstance(written, dict):
        return all(key in written and _is_like(each, written[key]) for key, each in item.items())
    if isinstance(item, list) and isinstance(written, list):
        return len(item) == len(written) and all(map(_is_like, item, written))
    return type(item) is type(written) and item == written
