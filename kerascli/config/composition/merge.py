"""Merge two values of a config, a base and one that overrides it, for `extends`, `--set` and `fit.phases`.

Mappings merge, everything else is replaced, null deletes an existing key. A component of another name replaces the
whole component; one of the same name is merged with its arguments.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kerascli.config import component_index
from kerascli.config.yaml.document import Mark
from kerascli.foundation.errors import Path, show
from kerascli.language.component import Invalid
from kerascli.language.kinds import KINDS, places

_PLACES = frozenset(places("one").values())
"""Config paths of the values that are one component, such as `compile.optimizer`."""
_MAPPED: Mapping[Path, str] = {("compile", "loss"): "loss", ("model", "shared"): "layer"}
"""Config paths whose values, or those in them, may be mappings of others, with the kind of the components there."""
_NAMED_PLACES = {("data", "inputs"), ("data", "targets"), ("data", "shared"), *_MAPPED}
"""Config paths of the mappings in which every value is a component or pipeline, such as `data.inputs`."""
_KEYS = ("activation", "learning_rate", "layer", "cell", "optimizer", "inner_optimizer")
_SUFFIXES = ("_activation", "_initializer", "_regularizer", "_constraint")


def is_component(path: Path) -> bool:
    """Return True if the value at a config path is always one component, such as an optimizer or activation."""
    last = path[-1] if path else ""
    return (
        path in _PLACES
        or path[:-1] in _NAMED_PLACES
        or (isinstance(last, str) and len(path) > 1 and (last in _KEYS or last.endswith(_SUFFIXES)))
    )


def component_name(value: Any) -> str | None:
    """Return the name of the component in a config value of the form `adam` or `{adam: ...}`; None for other forms."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        name = next(iter(value))
        return name if isinstance(name, str) else None
    return None


def component_at(path: Path, value: Any) -> str | None:
    """Return the name of the component that a config value is at a path; None for a value of another form.

    At `compile.loss`, `{a: mse}` is a mapping of outputs, and in `model.shared`, `{layers: [...]}` is one of keys.
    """
    name, kind = component_name(value), _MAPPED.get(path[:2])
    if kind is not None and isinstance(value, dict) and name is not None and component_index.find(kind, name) is None:
        return None
    return name if is_component(path) else None


def same_name(one: str, other: str) -> bool:
    """Return True if two spellings are of one component's name, such as `RMSprop` and `optimizer_rms_prop`."""
    if one.lower().replace("_", "") == other.lower().replace("_", ""):
        return True
    names = [(component_index.find(kind, one), component_index.find(kind, other)) for kind in KINDS]
    return any(name is not None and name == also for name, also in names)


class Merger:
    """Merger of a config value into a base value, which it overrides; records which parts come from which."""

    def __init__(self) -> None:
        self.overridden: set[Path] = set()
        """Config paths whose values, with everything below them, are from the upper value (the one merged over the
        base)."""

    def merge(self, base: Any, over: Any, path: Path) -> Any:
        """Return the config value `over` merged into the value `base`, both at the config path `path`.

        Where they conflict, `over` takes effect. Raises Invalid (config errors).
        """
        name, upper = component_at(path, base), component_at(path, over)
        if name is not None and upper is not None:
            if same_name(name, upper):
                if isinstance(over, str):  # the same name without arguments changes nothing
                    return base
                if isinstance(base, dict):
                    return {name: self.merge(base[name], over[upper], (*path, name))}
        elif name is None and upper is None and isinstance(base, dict) and isinstance(over, dict):
            return self._mapping(base, over, path)
        elif is_component(path[:-1]) and isinstance(base, dict) != isinstance(over, dict) and base is not None:
            text = f"'{path[-1]}' has {show(base)} in the base and {show(over)} here"
            raise Invalid(text, path, hint="arguments merge by name: write the one without a name as name: value")
        self.overridden.add(path)
        return over

    def _mapping(self, base: dict[str | int, Any], over: dict[str | int, Any], path: Path) -> dict[str | int, Any]:
        merged = dict(base)
        for key, value in over.items():
            if key not in base:
                merged[key] = value
                self.overridden.add((*path, key))
            elif value is None:
                del merged[key]
            else:
                merged[key] = self.merge(base[key], value, (*path, key))
        if path and path[-1] in ("flags", "shared"):  # what follows a new one in `over` may refer to it
            keys, at = list(base), len(base)
            for key in reversed(over):
                if key in base:
                    at = keys.index(key)
                else:
                    keys.insert(at, key)
            merged = {key: merged[key] for key in keys if key in merged}
        return merged

    def marks(self, data: Any, base: Mapping[Path, Mark], over: Callable[[Path], Mark]) -> dict[Path, Mark]:
        """Return the position in the text of each value in the merged `data`, by config path.

        The position is `over(path)` if the value is from the overriding config, else that in `base`.
        """
        marks: dict[Path, Mark] = {}
        pending: list[tuple[Path, Any, bool]] = [((), data, False)]
        while pending:
            here, value, is_upper = pending.pop()
            is_upper = is_upper or here in self.overridden
            marks[here] = over(here) if is_upper or here not in base else base[here]
            pending += [((*here, key), item, is_upper) for key, item in entries(value)]
        return marks


def entries(value: Any) -> Iterator[tuple[str | int, Any]]:
    """Yield (key, value) of a mapping, or (index, item) of a list; nothing for a scalar."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
