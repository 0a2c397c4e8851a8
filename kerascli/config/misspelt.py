"""Report misspelt names and keys of a config before torch is loaded.

A config that differs from a checked one only in misspelt names and keys has no other errors: the full check would
report the same. Of checked configs only digests are kept. All other configs need the full check, too.
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kerascli.config import component_index
from kerascli.config.component_index import ComponentIndex, Settings
from kerascli.config.top_level import ConfigSection
from kerascli.config.yaml.document import MAX_FAULTS, Document
from kerascli.disk.files import in_home, with_tilde
from kerascli.errors import ConfigError, Fault, Path
from kerascli.section import key_faults
from kerascli.wording import meant_key, unknown_key

_FORMS = ("repeat", "rnn")
"""Keys of items of `model.layers` (`repeat`, `rnn`) whose value is more than the arguments of a layer."""
_WIRES = frozenset({"name", "inputs", "outputs", "when"})
_CUT = "\0"
"""Placeholder in a digest for an excluded part of the config."""

Part = tuple[Path, Literal["value", "name", "key"]]
"""Type of a part of a config that may be misspelt: its path, and `value` (a bare name), `name` (with
arguments) or `key`."""


def refuse_misspelt(document: Document, command: str, flags: Sequence[str]) -> ConfigError | None:
    """Return an error for misspelt names and keys of a config that may have other errors, too; None without any.

    Raises that error if the config is known to have no others, or if there are more misspelt parts than are printed.
    """
    found = component_index.load()
    look = None if found is None else _look(document, found)
    if found is None or look is None or not look.faults:
        return None
    error = document.error(look.faults)
    if len(look.open) > MAX_FAULTS or _Digests(document, command, flags).of(look.open) in found.sound:
        raise error
    return error


def remember(document: Document, command: str, flags: Sequence[str], error: ConfigError | None = None) -> None:
    """Store the result of a full check of a config: it is valid, or misspelt names and keys are its only errors."""
    found = component_index.load() or component_index.make()
    if (look := _look(document, found)) is None or len(look.open) > MAX_FAULTS:
        return
    digests = _Digests(document, command, flags)
    if error is None:
        _keep(found, [digests.of([]), *(digests.of([part]) for part in _parts(document.data))])
    elif look.faults and document.error(look.faults).faults == error.faults:
        _keep(found, [digests.of(look.open)])


def _keep(found: ComponentIndex, sound: list[str]) -> None:
    if not found.sound.keys() >= set(sound):
        component_index.save(found, sound)


@dataclass(slots=True)
class _Look:
    """Result of a search for misspelt names and keys: config errors, and the parts to leave out of the
    config's digest."""

    faults: list[Fault] = field(default_factory=list)
    open: list[Part] = field(default_factory=list)


def _look(document: Document, found: ComponentIndex) -> _Look | None:
    """Return the misspelt names and keys of a config; None if the config might have errors or messages that only the
    full check finds."""
    data, look = document.data, _Look()
    fit, model = data.get("fit"), data.get("model")
    source = data.get("data", {}).get("source") if isinstance(data.get("data", {}), dict) else None
    if "plugins" in data or (isinstance(source, dict) and "python" in source):  # custom code may define any name
        return None
    if isinstance(fit, dict) and {"phases", "train_step"} & fit.keys():
        return None
    if not isinstance(model, dict) or model.keys() & {"blocks", "shared", "views"}:
        return None
    for fault in key_faults(ConfigSection, data, ()):
        look.faults.append(fault)
        look.open.append((fault.path, "key"))
    for path, kind, entry in _entries(data):
        faults = _faults(path, kind, entry, found)
        if faults is None:
            return None
        look.faults += [fault for fault, _ in faults]
        look.open += [part for _, part in faults]
    return look


def _faults(path: Path, kind: str, entry: Any, found: ComponentIndex) -> list[tuple[Fault, Part]] | None:
    """Return (error, misspelt part) for each misspelt name or key of a component in a config; None if only the full
    check can tell.

    None if only the full check can tell.
    """
    written, arguments = (entry, None) if isinstance(entry, str) else next(iter(entry.items()))
    if kind == "layer" and written in _FORMS:
        return []
    if not isinstance(written, str) or "$" in written:
        return None
    name = found.names[kind].find(written)
    if name is None:
        if any(each.find(written) for each in found.names.values()):  # the full check has a better message
            return None
        at = path if isinstance(entry, str) else (*path, written)
        below = () if isinstance(entry, str) else (written,)
        kinds = (found.names[each] for each in sorted(found.names))
        fault = found.names[kind].unknown(
            written, below, kinds, lambda name: found.settings[kind][name].positional, arguments
        )
        return [(replace(fault, path=at), (at, "value" if isinstance(entry, str) else "name"))]
    if not isinstance(arguments, dict):
        return []
    settings = found.settings[kind][name]
    keys = {*settings.fields, *settings.beside, "input_shape"}
    unknown = [key for key in arguments if key not in keys and not _is_first(key, arguments, settings, found)]
    return _unknown(unknown, (*path, written), name, arguments, settings)


def _unknown(
    unknown: list[Any], path: Path, name: str, arguments: Mapping[Any, Any], settings: Settings
) -> list[tuple[Fault, Part]] | None:
    words = [*settings.fields, *settings.beside]
    meant = {meant_key(str(key), settings.fields) for key in unknown}
    if not settings.plain or any(meant_key(str(key), words) in settings.beside for key in unknown):
        return None
    if any(each not in arguments and each not in meant for each in settings.required):
        return None
    return [
        (unknown_key(str(key), arguments[key], (*path, str(key)), name, settings.fields,
                     reason=settings.refused.get(str(key)), explained=True),
         ((*path, str(key)), "key"))
        for key in unknown
    ]  # fmt: skip


def _is_first(key: Any, arguments: Mapping[Any, Any], settings: Settings, found: ComponentIndex) -> bool:
    """Return True if a key is the name of a component that is the first argument, such as `lstm` in `bidirectional:
    {lstm: 64}`."""
    return len(arguments) == 1 and isinstance(key, str) and any(found.names[kind].find(key) for kind in settings.first)


def _entries(data: Mapping[Any, Any]) -> Iterator[tuple[Path, str, Any]]:
    """Yield (config path, kind, value as written) of each component at a fixed path of a config: layers, loss,
    callbacks ..."""
    for path, kind, several in (
        (("model", "layers"), "layer", True),
        (("compile", "optimizer"), "optimizer", False),
        (("compile", "loss"), "loss", False),
        (("compile", "metrics"), "metric", True),
        (("fit", "callbacks"), "callback", True),
        (("data", "source"), "source", False),
    ):
        section = data.get(path[0])
        value = section.get(path[1]) if isinstance(section, dict) else None
        for place, entry in enumerate(value) if several and isinstance(value, list) else [(None, value)]:
            single = isinstance(entry, str) or (isinstance(entry, dict) and len(entry) == 1)
            if single and not (kind in {"loss", "metric"} and isinstance(entry, dict) and place is None):
                yield (*path, *(() if place is None else (place,))), kind, entry


def _parts(data: Mapping[Any, Any]) -> Iterator[Part]:
    """Yield the names and keys of a valid config that could be reported without a full check if a later version of the
    config misspells them."""
    for section in {"data", "compile", "fit"} & data.keys():
        yield (section,), "key"
    model = data["model"]
    entries = model.get("layers") if isinstance(model.get("layers"), list) else []
    arguments = [a for each in entries if isinstance(each, dict) for a in each.values() if isinstance(a, dict)]
    is_chain = "outputs" not in model and not any(_WIRES & each.keys() for each in arguments)
    for path, kind, entry in _entries(data):
        if kind == "layer" and not is_chain:  # the name of a layer affects the messages about others
            continue
        if isinstance(entry, str):
            yield path, "value"
            continue
        [(written, settings)] = entry.items()
        yield (*path, written), "name"
        for key in settings if isinstance(settings, dict) else ():
            yield (*path, written, key), "key"


class _Digests:
    """Digests (hashes) of a config without some of its parts, and of the command, flags and files that it
    is read with."""

    def __init__(self, document: Document, command: str, flags: Sequence[str]) -> None:
        self._data = document.data
        self._seen: dict[int, str] = {}
        self._of(document.data, self._seen)
        around = [command, *flags, document.name, *_files(document.data, document)]
        self._around = hashlib.sha256(repr(around).encode()).hexdigest()

    def of(self, parts: Sequence[Part]) -> str:
        data: Any = self._data
        for part in parts:
            data = _without(data, part)
        return hashlib.sha256(f"{self._around}{self._of(data)}".encode()).hexdigest()[:16]

    def _of(self, value: Any, seen: dict[int, str] | None = None) -> str:
        """Return the digest of a config value; digests of nested values that were computed before are reused."""
        if not isinstance(value, dict | list):
            return repr(value)
        if id(value) in self._seen:
            return self._seen[id(value)]
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        text = "".join(f"{key!r}:{self._of(item, seen)}," for key, item in pairs)
        found = hashlib.sha256(f"{type(value).__name__}{text}".encode()).hexdigest()
        if seen is not None:
            seen[id(value)] = found
        return found


def _without(value: Any, part: Part, depth: int = 0) -> Any:
    """Return a copy of a config in which one part is replaced by a placeholder."""
    path, what = part
    here, last = path[depth], depth + 1 == len(path)
    found = _CUT if last and what == "value" else value[here] if last else _without(value[here], part, depth + 1)
    if isinstance(value, list):
        return [found if place == here else item for place, item in enumerate(value)]
    if what == "key" and depth + 2 == len(path) > 1 and not found:
        return here  # as a name alone
    name = _CUT if last and what == "name" else here
    return {
        (name if k == here else k): found if k == here else v
        for k, v in value.items()
        if k != here or not last or what != "key"
    }


def _files(data: Any, document: Document) -> Iterator[tuple[str, int, int]]:
    """Yield (name, size, modification time) of every file that a text value of the config may name."""
    if isinstance(data, str) and 0 < len(data) < 4096 and "\0" not in data:
        path = in_home(with_tilde(data))
        for folder in set(document.folders.values()):
            for name in {path, path.partition(":")[0]}:
                try:
                    status = os.stat(folder / name)
                except OSError:
                    continue
                changed = (
                    time.time_ns() if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
                )  # its contents may change
                yield name, status.st_size, changed
    elif isinstance(data, dict | list):
        for item in data.values() if isinstance(data, dict) else data:
            yield from _files(item, document)
