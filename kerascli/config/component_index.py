"""Cache file with the names and arguments of all components (layers, losses ...), to check a config without torch.

The cache allows misspelt names to be reported before torch is loaded. It is valid for one state of the sources of this
package, and of Python, torch and pydantic.
"""

import hashlib
import inspect
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.disk.storage import cache_folder, make_folder, write_bytes
from kerascli.foundation.errors import DataError, StorageError
from kerascli.language.component import Component, Names, first_registries, registries
from kerascli.language.section import key_names

_PACKAGE = Path(__file__).parents[1]
_MAX_BYTES = 2**24


class Settings(NamedTuple):
    """Keys that a component (layer, loss ...) may have in a config: the names of its arguments, and other keys."""

    fields: list[str]
    """Names of the component's arguments in the order of their definition."""
    positional: list[str]
    """Names of the component's arguments in the order in which a call takes them."""
    required: list[str]
    """Names of the component's arguments without a default."""
    refused: Mapping[str, str]
    """Mapping from each argument that Keras's class has and the component does not, to the reason why."""
    node_keys: list[str]
    """Keys of a layer in `model.layers` other than its own arguments: node keys (`name`, `inputs` ...), call arguments;
    empty for other components."""
    first: list[str]
    """Kinds of components (`layer`, `optimizer` ...) that the component's first argument accepts; empty if it takes
    other values."""
    plain: bool
    """True if every unknown key of the component is an error in a config, whatever the component's other arguments
    are."""
    module: str
    """Name of the module that registers the component."""


@dataclass(slots=True)
class ComponentIndex:
    """Names of all components (layers, losses ...) by kind, and the keys that each may have in a config."""

    names: dict[str, Names]
    """Mapping from kind of component (`layer`, `loss` ...) to the names of its components."""
    settings: dict[str, dict[str, Settings]]
    """Mapping from kind of component to a mapping from component name to the keys of the component."""


def load() -> ComponentIndex | None:
    """Return the component index from the cache file; None if it is missing, damaged or outdated.

    The file is outdated if kerascli, Python, torch or pydantic has changed since it was stored.
    """
    with suppress(DataError, StorageError, ValueError, TypeError, KeyError, AttributeError):
        seal, _, body = read_bytes(_file(), _MAX_BYTES).partition(b"\n")
        if seal.decode() == _seal(body):
            stored = json.loads(body)
            names = {kind: Names(*each) for kind, each in stored["names"].items()}
            settings = {k: {n: Settings(*s) for n, s in each.items()} for k, each in stored["settings"].items()}
            return ComponentIndex(names, settings)
    return None


def save(index: ComponentIndex) -> None:
    """Write the component index (names and arguments of all components) to the cache file; write errors are ignored."""
    body = json.dumps({"names": index.names, "settings": index.settings}).encode()
    with suppress(StorageError, OSError):
        make_folder(_file().parent)
        write_bytes(_file(), _seal(body).encode() + b"\n" + body)


def make() -> ComponentIndex:
    """Build an index of all components (layers, losses ...) by importing their modules, and with them torch."""
    names = {kind: registry.spelled for kind, registry in registries().items()}
    settings = {k: {cls.component_name: _settings(cls) for cls in registry} for k, registry in registries().items()}
    return ComponentIndex(names, settings)


@cache
def find(kind: str, written: str) -> str | None:
    """Return the name of a component of this package for any spelling of it, an alias, too; None if unknown."""
    return _names()[kind].find(written)


@cache
def _names() -> Mapping[str, Names]:
    return (load() or make()).names  # without one in the cache, torch is imported for them


def use_index() -> None:
    """Let components be imported when they are looked up, one by one; without an index in the cache all are at once."""
    if all(registry.index is None for registry in registries().values()) and (index := load()) is not None:
        for kind, registry in registries().items():
            registry.index = index.names[kind], {name: each.module for name, each in index.settings[kind].items()}


def _settings(cls: type[Component]) -> Settings:
    from kerascli.layers.base import BaseLayer, call_arguments
    from kerascli.model.syntax.schema import NodeKeys

    decorators = cls.__pydantic_decorators__
    reads_all = any(each.info.mode != "after" for each in decorators.model_validators.values())
    validators = [each.func for each in decorators.field_validators.values()]
    reads_siblings = any("info" in inspect.signature(each).parameters for each in validators)
    refused = {key: cls.reason_against(key) for base in cls.__mro__ for key in base.__dict__.get("refused", {})}
    return Settings(
        list(cls.model_fields),
        cls.positional(),
        [name for name, info in cls.model_fields.items() if info.is_required()],
        {key: reason for key, reason in refused.items() if reason},
        [*key_names(NodeKeys), *call_arguments(cls)] if issubclass(cls, BaseLayer) else [],
        [registry.kind for registry in first_registries(cls)],
        not reads_all and not reads_siblings,
        cls.__module__,
    )


def _file() -> Path:
    return cache_folder() / f"known-{_state()}.json"


def _seal(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _state() -> str:
    """Return a digest of the Python version and of the sizes and times of the files of kerascli, torch and pydantic."""
    outside = [spec.origin for name in ("torch", "pydantic", "pydantic_core") if (spec := find_spec(name))]
    facts: list[Any] = [sys.version]
    for path in [*sorted(_PACKAGE.rglob("*.py")), *(Path(each) for each in outside if each)]:
        status = os.stat(path)
        facts.append((str(path), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
