"""The option `--set fit.epochs=2`, which sets a value of the config by the merge rules of `extends`."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from kerascli.config.composition.merge import Merger, component_name, is_component, same_name
from kerascli.config.yaml.document import Document, Mark
from kerascli.config.yaml.text import parse_value
from kerascli.foundation.errors import ConfigError, Fault, Path, Place, show, suggestion
from kerascli.language.component import Invalid
from kerascli.language.kinds import places

_PART = re.compile(r"(?P<name>[^.\[\]]+)|\[(?P<index>-?[0-9]+)\]")

_LISTS = frozenset(key for _, key in places("list").values())
_PIPELINES = {("data", "inputs"), ("data", "targets"), ("data", "shared")}
"""Config paths of the mappings whose values are preprocessing pipelines: lists of components."""

_Parts = tuple[str | int, ...]


def override(document: Document, assignments: Iterable[str]) -> Document:
    """Return the config with every `path=value` of `--set` applied in order. Raises ConfigError with all errors.

    A value that a later one would replace is an error; null deletes a key first, and mappings are merged.
    """
    faults: list[Fault] = []
    earlier: set[_Parts] = set()
    for assignment in assignments:
        name = f"--set {assignment}"
        try:
            parts, value = _split(assignment, name)
            own = set(_leaves(parts, value))
            if any(each[: len(part)] == part for part in own for each in earlier):
                raise ConfigError(Fault(f"'{assignment.partition('=')[0]}' was given twice", place=Place(name)))
            earlier |= set() if value is None else own
            document = _Setter(document, name).apply(parts, value)
        except ConfigError as error:
            faults += error.faults
        except Invalid as invalid:
            faults += [replace(fault, place=Place(name)) for fault in invalid.faults]
    if faults:
        raise document.error(faults)
    return document


def _leaves(parts: _Parts, value: Any) -> Iterator[_Parts]:
    """Yield the config paths of the values that a value at a path sets: those in a mapping, or its own."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves((*parts, key), each)
    else:
        yield parts


def _split(assignment: str, name: str) -> tuple[_Parts, Any]:
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise ConfigError(Fault(f"expected path=value, got '{assignment}'", place=Place(name)))
    if not text.strip():
        raise ConfigError(Fault(f"no value for '{path}'", place=Place(name), hint="null deletes a key"))
    return _parts(path, name), parse_value(text, name)


def _parts(path: str, name: str) -> _Parts:
    """Return the parts of a config path such as `model.layers[0].dense.units`: keys, and numbers in brackets as
    integers."""
    parts: list[str | int] = []
    position = 0
    while position < len(path):
        if parts and path[position] == ".":
            position += 1
        elif parts and path[position] != "[":
            position = -1
        match = _PART.match(path, position) if position >= 0 else None
        if match is None:
            hint = "as in fit.epochs or model.layers[0].dense.units"
            raise ConfigError(Fault(f"'{path}' is not the path of a setting", place=Place(name), hint=hint))
        parts.append(match["name"] if match["index"] is None else int(match["index"]))
        position = match.end()
    return tuple(parts)


class _Setter:
    """Editor that applies one `--set path=value` to a config."""

    def __init__(self, document: Document, name: str) -> None:
        self._document = document
        self._name = name
        self._merger = Merger()

    def apply(self, parts: _Parts, value: Any) -> Document:
        data = self._set(self._document.data, parts, value, ())
        mark = Mark(Place(self._name), Place(self._name))
        marks = self._merger.marks(data, self._document.marks, lambda path: mark)
        folders = {**self._document.folders, self._name: FilePath()}
        return replace(self._document, data=data, marks=marks, folders=folders)

    def _set(self, base: Any, parts: _Parts, value: Any, path: Path) -> Any:
        """Return a copy of the config value `base` (at the config path `path`) in which the nested keys `parts` have
        the value `value`."""
        if not parts and _is_another(base, value, path):
            self._merger.taken.add(path)
            return value
        if not parts:
            return self._merger.merge(base, value, path)
        if isinstance(base, list):
            return self._in_list(base, parts, value, path)
        part, rest = parts[0], parts[1:]
        if isinstance(base, str) and isinstance(part, str):
            return self._in_name(base, part, rest, value, path)
        if not isinstance(base, dict):
            raise self._unreachable(base, part, path)
        key = _key(base, part)
        if key not in base:
            return self._in_mapping(base, key, rest, value, path)
        if value is None and not rest:
            return {name: item for name, item in base.items() if name != key}
        return {**base, key: self._set(base[key], rest, value, (*path, key))}

    def _in_list(self, base: list[Any], parts: _Parts, value: Any, path: Path) -> list[Any]:
        part, rest = parts[0], parts[1:]
        index = part if isinstance(part, int) else int(part) if part.isdigit() else None
        where = _dotted(path)
        if index is None:
            raise Invalid([Fault(f"'{where}' is a list; '{part}' is not an index", hint=f"as in {where}[0]")])
        if not -len(base) <= index < len(base):
            have = f"the list has {where}[0] to {where}[{len(base) - 1}]" if base else "the list is empty"
            raise Invalid([Fault(f"there is no '{where}[{index}]'; {have}")])
        index %= len(base)
        return [*base[:index], self._set(base[index], rest, value, (*path, index)), *base[index + 1 :]]

    def _in_name(self, base: str, part: str, rest: _Parts, value: Any, path: Path) -> Any:
        """Return a component written as a bare name with one argument set: `rmsprop` becomes `{rmsprop: {...}}`."""
        listed = bool(path) and isinstance(path[-1], int)
        if not same_name(base, part) and (listed or not is_component(path)):
            raise self._unreachable(base, part, path)
        key = base if same_name(base, part) else part
        self._merger.taken.add(path)
        return {key: self._new(rest, value, (*path, key))}

    def _in_mapping(self, base: dict[str | int, Any], key: str | int, rest: _Parts, value: Any, path: Path) -> Any:
        """Return the mapping `base` with the new key `key`: another component's name, which replaces the old one, or an
        argument that had its default."""
        name = component_name(base)
        listed = bool(path) and isinstance(path[-1], int)
        if name is not None and isinstance(key, str) and (listed or is_component(path)):
            if same_name(name, key):
                return {name: self._set(base[name], rest, value, (*path, name))}
            if listed:
                raise Invalid([Fault(f"'{_dotted(path)}' is '{name}', not '{key}'")])
            self._merger.taken.add(path)
            return {key: self._new(rest, value, (*path, key))}
        if value is None and not rest:
            close = suggestion(str(key), [str(each) for each in base])
            raise Invalid([Fault(f"there is no '{_dotted((*path, key))}' to delete{close}")])
        self._merger.taken.add((*path, key))
        return {**base, key: self._new(rest, value, (*path, key))}

    def _new(self, rest: _Parts, value: Any, path: Path) -> Any:
        """Return `value` inside new nested mappings with the keys `rest`, for a config path that does not exist yet."""
        if not rest:
            return value
        if isinstance(rest[0], int):
            raise Invalid([Fault(f"there is no '{_dotted(path)}', so it has no item {rest[0]}")])
        return {rest[0]: self._new(rest[1:], value, (*path, rest[0]))}

    def _unreachable(self, base: Any, part: str | int, path: Path) -> Invalid:
        where = _dotted(path)
        unnamed = is_component(path[:-1]) or _is_item(path[:-1])
        hint = f"the argument is written without its name: --set {where}=... sets it" if unnamed else None
        return Invalid([Fault(f"'{where}' is {show(base)}: there is no '{part}' in it", hint=hint)])


def _is_item(path: Path) -> bool:
    """Return True if a config path is that of a component in a list, such as an item of `model.layers`."""
    above = path[:-1]
    return bool(above) and isinstance(path[-1], int) and (above[-1] in _LISTS or above[:-1] in _PIPELINES)


def _is_another(base: Any, value: Any, path: Path) -> bool:
    """Return True if `value` is a component of another name than the list item `base`: then it replaces the item as a
    whole."""
    old, new = component_name(base), component_name(value)
    return _is_item(path) and old is not None and new is not None and not same_name(old, new)


def _key(base: dict[str | int, Any], part: str | int) -> str | int:
    """Return a part of a `--set` path as a key of the mapping `base`: the 0 of `class_weight.0` is an integer."""
    return int(part) if isinstance(part, str) and part.isdigit() and part not in base else part


def _dotted(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the config"
