"""Report misspelt names and keys of a config before torch is loaded.

Every error reported here would be reported by the full check, too. If the index of components does not suffice to
decide (plugins, blocks, `$` references), nothing is reported before the full check.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kerascli.config import component_index
from kerascli.config.component_index import ComponentIndex, Settings
from kerascli.config.top_level import ConfigSection
from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import Fault, Path
from kerascli.language.kinds import places
from kerascli.language.section import Written, key_faults
from kerascli.language.wording import meant_key, unknown_key

_FORMS = ("repeat", "rnn")
"""Keys of items of `model.layers` (`repeat`, `rnn`) whose value is more than the arguments of a layer."""


def refuse_misspelt(document: Document) -> None:
    """Raise ConfigError for all misspelt names and keys of a config that are certain without a full check.

    If the cache has no index of components (layers, losses ...), a new one is built, which loads torch.
    """
    if (index := component_index.load()) is None:
        index = component_index.make()
        component_index.save(index)
    if faults := misspelt(document, index):
        raise document.error(faults)


def misspelt(document: Document, index: ComponentIndex) -> list[Fault]:
    """Return config errors for misspelt names and keys, found by an index of component names.

    The list is empty if there are none, or if the full check is needed to find them.
    """
    data = document.data
    fit, model = data.get("fit"), data.get("model")
    source = document.at(("data", "source"))
    if "plugins" in data or (isinstance(source, dict) and "python" in source):  # custom code may define any name
        return []
    if isinstance(fit, dict) and {"phases", "train_step"} & fit.keys():
        return []
    if not isinstance(model, dict) or model.keys() & {"blocks", "shared", "views"}:
        return []
    all_faults = key_faults(ConfigSection, data, ())
    for path, kind, entry in _entries(data):
        if (faults := _faults(path, kind, entry, index)) is None:
            return []
        all_faults += faults
    return all_faults


def _faults(path: Path, kind: str, entry: Any, index: ComponentIndex) -> list[Fault] | None:
    """Return an error for each misspelt name or key of a component in a config; None if the full check is needed to
    find them."""
    is_alone = isinstance(entry, str)
    written, arguments = (entry, None) if is_alone else next(iter(entry.items()))
    if kind == "layer" and written in _FORMS:
        return []
    if not isinstance(written, str) or "$" in written:
        return None
    names, settings = index.names[kind], index.settings[kind]
    if (name := names.find(written)) is not None:
        return _key_faults((*path, written), name, arguments, settings[name], index)
    if any(each.find(written) for each in index.names.values()):  # the full check has a better message
        return None
    kinds = (index.names[each] for each in sorted(index.names))
    below = () if is_alone else (written,)
    fault = names.unknown(written, below, kinds, lambda name: settings[name].positional, arguments)
    return [replace(fault, path=(*path, *below))]


def _key_faults(path: Path, name: str, arguments: Any, settings: Settings, index: ComponentIndex) -> list[Fault] | None:
    """Return an error for each misspelt argument of a component; None if the full check is needed to find them."""
    if not isinstance(arguments, dict):
        return []
    names = [*settings.fields, *settings.node_keys]
    unknown = [key for key in arguments if key not in (*names, "input_shape")]
    if len(arguments) == 1 and any(index.names[kind].find(str(key)) for key in unknown for kind in settings.first):
        unknown = []  # the first argument, as `lstm` in `bidirectional: {lstm: 64}`
    meant = {meant_key(str(key), settings.fields) for key in unknown}
    if not {*arguments, *meant} >= {*settings.required} or not settings.plain:
        return None
    if any(meant_key(str(key), names) in settings.node_keys for key in unknown):
        return None
    return [
        unknown_key(str(key), arguments[key], (*path, str(key)), name, settings.fields,
                    reason=settings.refused.get(str(key)), explained=True)
        for key in unknown
    ]  # fmt: skip


def _entries(data: Written) -> Iterator[tuple[Path, str, Any]]:
    """Yield (config path, kind, value as written) of each component at a fixed path of a config: layers, loss,
    callbacks ..."""
    for kind, (section, key) in (places("one") | places("list")).items():
        path, several = (section, key), kind in places("list")
        value = data[section].get(key) if isinstance(data.get(section), dict) else None
        for place, entry in enumerate(value) if several and isinstance(value, list) else [(None, value)]:
            single = isinstance(entry, str) or (isinstance(entry, dict) and len(entry) == 1)
            if single and not (isinstance(entry, dict) and place is None and (several or kind == "loss")):
                yield (*path, *(() if place is None else (place,))), kind, entry
