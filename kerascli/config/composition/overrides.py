"""The option `--set fit.epochs=2`, which sets a value of the config by the merge rules of `extends`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from kerascli.config.composition.merge import Merger, component_at, component_name, is_component, same_name
from kerascli.config.yaml.document import Document, Mark
from kerascli.config.yaml.dump import flow_yaml
from kerascli.config.yaml.text import parse_value
from kerascli.foundation.errors import ConfigError, Fault, Path, Place, dotted, leaves, show, suggestion
from kerascli.language.component import Invalid
from kerascli.language.kinds import places

_INDEX = r"\[-?[0-9]+\]"
_PART = rf"(?:[^.\[\]]+|{_INDEX})"
_PATH = re.compile(rf"{_PART}(?:\.{_PART}|{_INDEX})*")

_LISTS = frozenset(key for _, key in places("list").values())
_PIPELINES = {("data", "inputs"), ("data", "targets"), ("data", "shared")}
"""Config paths of the mappings whose values are preprocessing pipelines: lists of components."""

_Parts = tuple[str | int, ...]


def override(document: Document, assignments: Iterable[str], folder: FilePath = FilePath()) -> Document:
    """Return the config with the assignments `path=value` of `--set` applied. Raises ConfigError with all errors.

    Relative paths in them are those of `folder`. An assignment must not replace a value that an earlier assignment has
    set, unless that value is null (which deletes the key); mappings are merged.
    """
    faults: list[Fault] = []
    earlier: set[_Parts] = set()
    for assignment in assignments:
        name = f"--set {assignment}"
        try:
            path, equals, text = assignment.partition("=")
            if not equals or not path:
                raise ConfigError(f"expected path=value, got '{assignment}'", place=name)
            if not text.strip():
                raise ConfigError(f"no value for '{path}'", place=name, hint="null deletes a key")
            parts, value = path_parts(path, name), parse_value(text, name)
            own = {path for path, _ in leaves(value, lambda _: False, parts)}
            if any(each[: len(part)] == part for part in own for each in earlier):
                raise ConfigError(f"'{path}' was given twice", place=name)
            earlier |= set() if value is None else own
            document = _with(document, parts, value, name, folder)
        except ConfigError as error:
            faults += error.faults
        except Invalid as invalid:
            faults += [replace(fault, place=Place(name)) for fault in invalid.faults]
    if faults:
        raise document.error(faults)
    return document


def config_at(document: Document, sets: Mapping[str, Any]) -> Document:
    """Return a config without `tune`, and with values of its space at paths as of `--set`. Raises ConfigError."""
    document = override(document, assignments(sets), document.folder_of(("tune", "set")))
    return replace(document, data={key: value for key, value in document.data.items() if key != "tune"})


def assignments(sets: Mapping[str, Any]) -> list[str]:
    """Return the arguments of `--set` that set values at paths."""
    return [f"{path}={flow_yaml(value)}" for path, value in sets.items()]


def path_parts(path: str, name: str) -> _Parts:
    """Return the parts of a config path such as `model.layers[0].dense.units`: keys, and numbers in brackets as
    integers."""
    if not _PATH.fullmatch(path):
        hint = "as in fit.epochs or model.layers[0].dense.units"
        raise ConfigError(f"'{path}' is not the path of a setting", place=name, hint=hint)
    return tuple(int(part[1:-1]) if part.startswith("[") else part for part in re.findall(_PART, path))


def _with(document: Document, parts: _Parts, value: Any, name: str, folder: FilePath) -> Document:
    """Return the config with `value` at the path `parts`, as the option `name` sets it in a folder. Raises Invalid."""
    setter, mark = _Setter(), Mark(Place(name), Place(name))
    data = setter.set(document.data, parts, value, ())
    marks = setter.marks(data, document.marks, lambda path: mark)
    return replace(document, data=data, marks=marks, folders={**document.folders, name: folder})


class _Setter(Merger):
    """Merger that also sets a value below a config value, at a path of keys and indices."""

    def set(self, base: Any, parts: _Parts, value: Any, path: Path) -> Any:
        """Return a copy of the config value `base` (at the config path `path`) in which the nested keys `parts` have
        the value `value`."""
        if not parts:
            if not _is_another(base, value, path):
                return self.merge(base, value, path)
            self.overridden.add(path)
            return value
        if isinstance(base, list):
            return self._in_list(base, parts, value, path)
        part, rest = parts[0], parts[1:]
        if not isinstance(base, dict):
            return self._in_name(base, part, rest, value, path)
        # the 0 of `class_weight.0` is an integer
        key = int(part) if isinstance(part, str) and part.isdigit() and part not in base else part
        if key not in base:
            return self._with_new(base, key, rest, value, path)
        if value is None and not rest:
            return {name: item for name, item in base.items() if name != key}
        return {**base, key: self.set(base[key], rest, value, (*path, key))}

    def _in_list(self, base: list[Any], parts: _Parts, value: Any, path: Path) -> list[Any]:
        part, rest = parts[0], parts[1:]
        index = part if isinstance(part, int) else int(part) if part.isdigit() else None
        where = dotted(path) or "the config"
        if index is None:
            raise Invalid(f"'{where}' is a list; '{part}' is not an index", hint=f"as in {where}[0]")
        if not -len(base) <= index < len(base):
            have = f"the list has {where}[0] to {where}[{len(base) - 1}]" if base else "the list is empty"
            raise Invalid(f"there is no '{where}[{index}]'; {have}")
        index %= len(base)
        return [*base[:index], self.set(base[index], rest, value, (*path, index)), *base[index + 1 :]]

    def _in_name(self, base: Any, part: str | int, rest: _Parts, value: Any, path: Path) -> Any:
        """Return a component written as a bare name with one argument set: `rmsprop` becomes `{rmsprop: {...}}`. Raises
        Invalid for any other value."""
        is_same = isinstance(base, str) and isinstance(part, str) and same_name(base, part)
        may_replace = isinstance(base, str) and isinstance(part, str) and not _is_listed(path) and is_component(path)
        if not (is_same or may_replace):
            where = dotted(path) or "the config"
            unnamed = is_component(path[:-1]) or _is_item(path[:-1])
            hint = f"the argument is written without its name: --set {where}=... sets it" if unnamed else None
            raise Invalid(f"'{where}' is {show(base)}: there is no '{part}' in it", hint=hint)
        key = base if is_same else part
        self.overridden.add(path)
        return {key: _new(rest, value, (*path, key))}

    def _with_new(self, base: dict[str | int, Any], key: str | int, rest: _Parts, value: Any, path: Path) -> Any:
        """Return the mapping `base` with the new key `key`: another component's name, which replaces the old one, or an
        argument that had its default."""
        name = component_name(base) if _is_listed(path) else component_at(path, base)
        if name is not None and isinstance(key, str):
            if same_name(name, key):
                return {name: self.set(base[name], rest, value, (*path, name))}
            if _is_listed(path):
                raise Invalid(f"'{dotted(path)}' is '{name}', not '{key}'")
            self.overridden.add(path)
            return {key: _new(rest, value, (*path, key))}
        if value is None and not rest:
            close = suggestion(str(key), [str(each) for each in base])
            raise Invalid(f"there is no '{dotted((*path, key))}' to delete{close}")
        self.overridden.add((*path, key))
        return {**base, key: _new(rest, value, (*path, key))}


def _new(rest: _Parts, value: Any, path: Path) -> Any:
    """Return `value` inside new nested mappings with the keys `rest`, for a config path that does not exist yet."""
    if not rest:
        return value
    if isinstance(rest[0], int):
        raise Invalid(f"there is no '{dotted(path)}', so it has no item {rest[0]}")
    return {rest[0]: _new(rest[1:], value, (*path, rest[0]))}


def _is_listed(path: Path) -> bool:
    return bool(path) and isinstance(path[-1], int)


def _is_item(path: Path) -> bool:
    """Return True if a config path is that of a component in a list, such as an item of `model.layers`."""
    above = path[:-1]
    return bool(above) and _is_listed(path) and (above[-1] in _LISTS or above[:-1] in _PIPELINES)


def _is_another(base: Any, value: Any, path: Path) -> bool:
    """Return True if `value` is a component of another name than the list item `base`: then it replaces the item as a
    whole."""
    old, new = component_name(base), component_name(value)
    return _is_item(path) and old is not None and new is not None and not same_name(old, new)
