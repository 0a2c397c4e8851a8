"""What is known from earlier commands, in the user's cache folder: components by name, parts of configs found sound.

With it a misspelt name is refused before torch is loaded. It is made for one state of the program, and for nobody else.
"""

import hashlib
import inspect
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kerascli.component import Component, Names, first_registries, registries
from kerascli.errors import DataError, StorageError
from kerascli.files import read_bytes
from kerascli.section import key_names
from kerascli.storage import cache_folder, make_folder, write_bytes

_PACKAGE = Path(__file__).parents[1]
_MAX_BYTES = 2**24
_MAX_SOUND = 20_000
"""So many digests of sound parts are kept, the newest."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a component takes."""

    fields: list[str]
    required: list[str]
    refused: Mapping[str, str]
    """Arguments of Keras's class that it lacks, each with the reason."""
    beside: list[str]
    """Of a layer: what may stand beside its settings."""
    first: list[str]
    """The kinds of components that its first argument takes."""
    plain: bool
    """Return True if a key that it does not take is refused whatever the others are."""


@dataclass(slots=True)
class Known:
    """The components by kind and name, and digests of what was found sound."""

    names: dict[str, Names]
    settings: dict[str, dict[str, Settings]]
    sound: dict[str, None] = field(default_factory=dict)


def load() -> Known | None:
    """Return what is known of this state of the program; None where that is nothing, or damaged."""
    with suppress(DataError, StorageError, ValueError, TypeError, KeyError, AttributeError):
        seal, _, body = read_bytes(_file(), _MAX_BYTES).partition(b"\n")
        if seal.decode() == _seal(body):
            found = json.loads(body)
            names = {kind: Names(kind, *each) for kind, each in found["names"].items()}
            settings = {k: {n: Settings(*s) for n, s in each.items()} for k, each in found["settings"].items()}
            return Known(names, settings, dict.fromkeys(found["sound"]))
    return None


def save(known: Known, sound: Iterable[str]) -> None:
    """Keep what is known, and these digests; nothing happens where that cannot be written."""
    kept = list({**known.sound, **dict.fromkeys(sound)})[-_MAX_SOUND:]
    body = json.dumps({
        "names": {kind: [each.prefixes, each.keys] for kind, each in known.names.items()},
        "settings": {
            kind: {name: [getattr(s, key) for key in Settings.__slots__] for name, s in each.items()}
            for kind, each in known.settings.items()
        },
        "sound": kept,
    }).encode()  # fmt: skip
    with suppress(StorageError, OSError):
        make_folder(_file().parent)
        write_bytes(_file(), _seal(body).encode() + b"\n" + body)


def make() -> Known:
    """Look at all components; loads torch."""
    names = {kind: registry.spelled for kind, registry in registries().items()}
    settings = {k: {cls.component_name: _settings(cls) for cls in registry} for k, registry in registries().items()}
    return Known(names, settings)


def _settings(cls: type[Component]) -> Settings:
    from kerascli.layers.base import BaseLayer
    from kerascli.model.syntax.schema import NodeKeys
    from kerascli.model.syntax.written import call_arguments

    decorators = cls.__pydantic_decorators__
    whole = any(each.info.mode != "after" for each in decorators.model_validators.values())
    others = any("info" in inspect.signature(each.func).parameters for each in decorators.field_validators.values())
    refused: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        refused |= {key: reason for key, reason in base.__dict__.get("refused", {}).items() if reason}
    return Settings(
        list(cls.model_fields),
        [name for name, info in cls.model_fields.items() if info.is_required()],
        refused,
        [*key_names(NodeKeys), *call_arguments(cls)] if issubclass(cls, BaseLayer) else [],
        [registry.kind for registry in first_registries(cls)],
        not whole and not others,
    )


def _file() -> Path:
    return cache_folder() / f"known-{_state()}.json"


def _seal(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _state() -> str:
    """A digest of Python, of this package's sources and of what their words depend on: sizes and times of change."""
    outside = [spec.origin for name in ("torch", "pydantic", "pydantic_core") if (spec := find_spec(name))]
    facts: list[Any] = [sys.version]
    for path in [*sorted(_PACKAGE.rglob("*.py")), *(Path(each) for each in outside if each)]:
        status = os.stat(path)
        facts.append((str(path), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
