"""Convert objects serialized by Keras (layers, losses, optimizers ...) to the components that kerascli has for them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kerascli.foundation.errors import Fault, FileRefused, safe_text, show, suggestion
from kerascli.interop.keras.differences import ANY, BOOKKEEPING, DIFFERENCES, MERGED, NAMED_FUNCTIONS, Difference
from kerascli.language.component import Component, Invalid, Registry, changed_arguments, plain, registries

_NESTED_KINDS = ("initializer", "regularizer", "constraint", "activation", "layer", "schedule", "optimizer")
_OF_LAYERS = frozenset({"layer", "backward_layer", "layers", "cell", "cells"})
"""Names of arguments whose value in a Keras file is a layer, even if an activation has the name of the layer's class
(Softmax)."""
_ROOTS = ("keras", "tf_keras", "tensorflow", "tensorflow_addons")
_CODE = frozenset({"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"})
_MAX_LAYERS = 3_000
"""Maximum number of layers in all models of a Keras file: three times as many as in the largest Keras application."""
_NO_FAULTS = 20


Serialized = Mapping[str, Any]
"""Type of an object of a Keras file (a model, layer, loss ...) or of its config, as JSON."""


class Refusals:
    """Collector of everything in a Keras file that cannot be imported, to report it at once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._unknown: dict[str, None] = {}
        self._faults: list[Fault] = []

    def __len__(self) -> int:
        return len(self._unknown) + len(self._faults)

    def unknown(self, name: str) -> None:
        """Record a class or an operation in the Keras file that kerascli does not have; `check` raises for it."""
        self._unknown[safe_text(name, 80)] = None

    def add(self, text: str, hint: str | None = None) -> None:
        self._faults.append(Fault(safe_text(text, 300), hint=hint))

    def check(self) -> None:
        """Raise FileRefused with everything recorded as not importable, if there is anything."""
        names = list(self._unknown)
        more = f" and {len(names) - _NO_FAULTS} more" if len(names) > _NO_FAULTS else ""
        text = f"'{self._file}' uses what kerascli does not have: {', '.join(names[:_NO_FAULTS])}{more}"
        if faults := [*([Fault(text)] if names else []), *self._faults]:
            raise FileRefused(faults[:_NO_FAULTS])


def refuse_code(config: Any, file: str) -> None:
    """Raise FileRefused for code or foreign programs anywhere in a model's config, or for too many layers."""
    layers = 0
    for item in walk(config):
        name = item.get("class_name")
        if isinstance(name, str) and name.rpartition(">")[2] in _CODE:
            text = f"'{file}' is refused: '{safe_text(name)}' contains code, which is never run"
            raise FileRefused(text, hint="replace it by layers, and save the model again")
        layers += len(item["layers"]) if isinstance(item.get("layers"), list) else 0
    if layers > _MAX_LAYERS:
        raise FileRefused(f"'{file}' has {layers:,} layers; the limit is {_MAX_LAYERS:,}")


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in a JSON value, at any depth, without recursion."""
    pending = [value]
    while pending:
        if isinstance(item := pending.pop(), dict):
            yield item
            pending += item.values()
        elif isinstance(item, list):
            pending += item


def is_object(value: Any) -> bool:
    """Return True if a JSON value is an object serialized by Keras: {class_name, config, ...}."""
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def own_name(value: Serialized) -> str | None:
    """Return the class name of a serialized object, if the class is Keras's own; None for a custom class."""
    name, registered = value["class_name"], value.get("registered_name")
    is_renamed = isinstance(registered, str) and registered.rpartition(">")[2] != name.rpartition(">")[2]
    return None if is_renamed or not _is_of_keras(value) else name.removeprefix("Custom>")


def full_name(value: Serialized) -> str:
    """Return the class name of an object serialized by Keras, for messages, with its module if that is not Keras's."""
    return value["class_name"] if _is_of_keras(value) else f"{value['module']}.{value['class_name']}"


def _is_of_keras(value: Serialized) -> bool:
    module = value.get("module")
    return not isinstance(module, str) or module.split(".")[0] in _ROOTS


_SAME = Difference()


def component(
    registry: Registry[Any], value: Serialized, where: str, refusals: Refusals, difference: Difference = _SAME
) -> Component | None:
    """Convert an object serialized by Keras to a component (layer, loss ...) of `registry`; return None if it cannot be
    imported, which `refusals` records."""
    name = own_name(value)
    cls = registry.find(name) if name is not None else None
    if cls is None:
        refusals.unknown(f"{registry.kind} {full_name(value)}")
        return None
    config = value["config"] if isinstance(value["config"], dict) else {}
    config = _of_pipeline(config) if name == "Pipeline" else config
    settings = _settings(cls, config, where, refusals, DIFFERENCES.get(cls.component_name, difference))
    try:
        return registry.construct(cls, cls.component_name, settings)
    except Invalid as invalid:
        for fault in invalid.faults:
            at = ".".join(map(str, fault.path[1:]))
            refusals.add(f"{where}{f', {at}' if at else ''}: {fault.text}")
        return None


def _settings(
    cls: type[Component], config: Serialized, where: str, refusals: Refusals, difference: Difference
) -> dict[str, Any]:
    """Convert the config of an object serialized by Keras to arguments of kerascli's component (layer, loss ...) `cls`.

    Keys that Keras adds to any config (BOOKKEEPING), and values that have no effect, are left out.
    """
    settings: dict[str, Any] = {}
    for key, value in config.items():
        ours = difference.renamed.get(key, key)
        field = cls.model_fields.get(ours)
        is_replaced = config.get(difference.replaced.get(key, "")) is not None
        if is_replaced or key in MERGED or (key == "name" and value == cls.component_name):
            continue
        if field is None:
            is_idle = key in difference.idle and difference.idle[key] in (ANY, value)
            if not is_idle and key not in BOOKKEEPING and value is not None and value is not False:
                reason = cls.reason_against(key)
                more = suggestion(key, cls.model_fields) if reason is None else f": {reason}"
                refusals.add(f"{where}: {cls.component_name} has no argument '{key}' (value {show(value)}){more}")
        elif value != "linear" or field.default is not None:
            read = from_keras(value, where, refusals, within=ours)
            settings[ours] = difference.values.get(ours, lambda value: value)(read)
    return settings


def from_keras(value: Any, where: str, refusals: Refusals, within: str = "") -> Any:
    """Convert a value of a Keras config; a serialized object in it becomes a component (layer, initializer ...) of the
    first kind that has its name.

    `within` is the argument that has the value: some take layers, others activations of the same names.
    """
    if isinstance(value, list):
        return [from_keras(item, where, refusals, within) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__tuple__":
        return from_keras(value.get("items", value.get("config")), where, refusals, within)
    if not is_object(value):
        return {key: from_keras(item, where, refusals) for key, item in value.items()}
    name = own_name(value)
    if name == "function" and isinstance(value["config"], str):
        return value["config"]
    if name == "Sequential":
        value, name = {"class_name": "Pipeline", "config": value["config"]}, "Pipeline"
    kinds = ("layer", *_NESTED_KINDS) if within in _OF_LAYERS else _NESTED_KINDS
    registry = next((registries()[kind] for kind in kinds if registries()[kind].find(name or "")), None)
    if registry is not None:
        return component(registry, value, f"{where}, {name}", refusals)
    refusals.unknown(full_name(value))
    return None


def _of_pipeline(config: Serialized) -> Serialized:
    """Return the arguments of `pipeline` for the config of a Keras Pipeline, or of a Sequential that is an argument of
    another object; if all its layers are frozen, so is the pipeline."""
    layers = [item for item in config.get("layers") or () if is_object(item) and item["class_name"] != "InputLayer"]
    flags = [item["trainable"] for item in walk(layers) if "trainable" in item]
    return {"layers": layers, "trainable": config.get("trainable", True) and (any(flags) or not flags)}


def written(thing: Component) -> Any:
    """Return a component (layer, loss ...) in its shortest form in a YAML config, without default values."""
    return shortest_form(thing.component_name, changed_settings(thing), thing.first_argument())


def shortest_form(name: str, arguments: Mapping[str, Any], first: str | None) -> Any:
    """Return a component in the shortest of its YAML forms: its name alone, with its first argument, or a mapping."""
    if not arguments:
        return name
    value = arguments.get(first or "")
    is_alone = len(arguments) == 1 and value is not None and not isinstance(value, dict | list)
    return {name: value if is_alone else arguments}


def changed_settings(thing: Component) -> dict[str, Any]:
    """Return the arguments of a component (layer, loss ...) that differ from their defaults, as written in a config."""
    return plain(changed_arguments(thing), written)


def short_number(value: Any) -> Any:
    """Return a float32 value with the fewest digits (0.001 for 0.0010000000474974513), other floats unchanged; also
    inside lists."""
    if isinstance(value, float) and float(np.float32(value)) == value:
        return float(str(np.float32(value)))
    if isinstance(value, list):
        return [short_number(item) for item in value]
    return {key: short_number(item) for key, item in value.items()} if isinstance(value, dict) else value


def around_function(value: Serialized) -> Serialized:
    """Return a serialized Keras wrapper of a metric or loss function with the function's name as its class name."""
    match value:
        case {"class_name": name, "config": {"fn": {"config": str(fn)} | str(fn), **others}} if name in NAMED_FUNCTIONS:
            return {"class_name": fn, "config": others}
    return value
