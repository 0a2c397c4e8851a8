"""Read the layers of a serialized Keras model and their calls, as Keras 3, Keras 2 and Sequential models store them."""

import heapq
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.names import op_of
from kerascli.interop.keras.objects import is_object, own_name
from kerascli.layers.base import LAYERS

MODELS = frozenset({"Functional", "Model", "Sequential"})
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Ref:
    """Reference to a tensor of a Keras model: output number `index` of call number `call` of a layer."""

    layer: str
    call: int
    index: int


@dataclass(frozen=True, slots=True)
class Call:
    """Arguments of one call of a Keras layer; tensors in the arguments are `Ref`s (references to outputs of layers), at
    any depth."""

    args: list[Any]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class KerasLayer:
    name: str
    spec: Mapping[str, Any]
    """Keras's serialized form of the layer: {class_name, config, ...}."""
    calls: list[Call] = field(default_factory=list)

    @property
    def class_name(self) -> str:
        """Name of the layer's Keras class; '' for a custom class."""
        return own_name(self.spec) or ""

    @property
    def config(self) -> dict[str, Any]:
        return self.spec["config"] if isinstance(self.spec["config"], dict) else {}

    @property
    def is_model(self) -> bool:
        return self.class_name in MODELS

    @property
    def is_operation(self) -> bool:
        """True for an operation of keras.ops, False for a layer or a model.

        In .h5 files of Keras 3, which name no modules, layers have a dtype policy or `trainable`; operations do not.
        """
        module, nodes = self.spec.get("module"), self.spec.get("inbound_nodes")
        if isinstance(module, str):
            return ".ops" in module and self.class_name != ""
        of_keras_3 = isinstance(nodes, list) and bool(nodes) and isinstance(nodes[0], dict)
        is_layer = "trainable" in self.config or isinstance(self.config.get("dtype"), dict)
        if not of_keras_3 or is_layer or self.is_model:
            return False
        return op_of(self.class_name) is not None or LAYERS.find(self.class_name) is None


@dataclass(frozen=True, slots=True)
class KerasModel:
    """A Keras model. Its inputs and outputs are pairs (name, tensor); the name is the key if Keras stores a mapping of
    them, else None."""

    name: str
    layers: dict[str, KerasLayer]
    inputs: list[tuple[str | None, Ref]]
    outputs: list[tuple[str | None, Ref]]

    @property
    def is_of_keras_3(self) -> bool:
        """True if the calls of the model's layers are stored in Keras 3's form."""
        nodes = [layer.spec.get("inbound_nodes") for layer in self.layers.values()]
        return any(isinstance(node, dict) for each in nodes if isinstance(each, list) for node in each)

    def ordered(self) -> list[tuple[KerasLayer, int]]:
        """Return all calls of layers in topological order, ties in the file's order. Raises FileRefused for a cycle."""
        places = {name: number for number, name in enumerate(self.layers)}
        waiting: dict[tuple[str, int], set[tuple[str, int]]] = {}
        users: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for layer in self.layers.values():
            for number, call in enumerate(layer.calls):
                needed = {(ref.layer, ref.call) for ref in refs(call) if self.layers[ref.layer].calls}
                waiting[layer.name, number] = needed
                for each in needed:
                    users.setdefault(each, []).append((layer.name, number))
        ready = [(places[name], number, name) for (name, number), needed in waiting.items() if not needed]
        heapq.heapify(ready)
        found: list[tuple[KerasLayer, int]] = []
        while ready:
            _, number, name = heapq.heappop(ready)
            found.append((self.layers[name], number))
            for user in users.get((name, number), ()):
                waiting[user].discard((name, number))
                if not waiting[user]:
                    heapq.heappush(ready, (places[user[0]], user[1], user[0]))
        if len(found) < len(waiting):
            raise FileRefused(f"the graph of '{safe_text(self.name)}' has a cycle")
        return found


def refs(value: Any) -> Iterator[Ref]:
    """Yield every tensor, as a `Ref` (reference to a layer's output), in a call's arguments, or in a part of them."""
    match value:
        case Ref():
            yield value
        case Call():
            yield from refs([*value.args, *value.kwargs.values()])
        case list() | tuple():
            for item in value:
                yield from refs(item)
        case dict():
            yield from refs(list(value.values()))


def read_model(spec: Mapping[str, Any], name: str) -> KerasModel:
    """Read the layers, calls, inputs and outputs of a serialized Keras model. Raises FileRefused."""
    config = spec["config"]
    if isinstance(config, list):  # Keras 1 and early 2 wrote a Sequential as a bare list
        config = {"layers": config}
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise FileRefused(f"'{safe_text(name)}' has no list of layers")
    layers = [_layer(item) for item in config["layers"]]
    if len({layer.name for layer in layers}) < len(layers):
        raise FileRefused(f"'{safe_text(name)}' has two layers of the same name")
    by_name = {layer.name: layer for layer in layers}
    if spec["class_name"] == "Sequential":
        model = _sequential(name, layers, config)
    else:
        for layer, item in zip(layers, config["layers"], strict=True):
            nodes = item.get("inbound_nodes", [])
            layer.calls.extend(_call(node) for node in (nodes if isinstance(nodes, list) else []))
        ends = [list(_ends(config.get(key))) for key in ("input_layers", "output_layers")]
        model = _counted_from_0(KerasModel(name, by_name, ends[0], ends[1]))
    _check(model)
    return model


def wrapped_model(layer: KerasLayer) -> KerasModel | None:
    """Return the functional model that a TimeDistributed wraps; None for other layers, and for a wrapped Sequential."""
    inner = layer.config.get("layer") if layer.class_name == "TimeDistributed" else None
    if not isinstance(inner, dict) or not is_object(inner) or own_name(inner) not in MODELS - {"Sequential"}:
        return None
    return read_model(inner, _layer(inner).name)


def _layer(item: Any) -> KerasLayer:
    if not is_object(item):
        raise FileRefused("the file has a layer without class or config")
    config = item["config"]
    name = item.get("name") or (config.get("name") if isinstance(config, dict) else None)
    name = item["class_name"].lower() if name is None else name
    if not isinstance(name, str) or not _is_valid_name(name):
        raise FileRefused(f"invalid layer name '{safe_text(str(name), 60)}'")
    return KerasLayer(name, item)


def _is_valid_name(name: str) -> bool:
    """Return True for a name in a Keras file that needs no escape in a terminal and leads to no parent folder."""
    parts = name.replace("\\", "/").split("/")
    return 0 < len(name) <= _MAX_NAME and safe_text(name) == name and ".." not in parts and "\\" not in name


def _sequential(name: str, layers: list[KerasLayer], config: Mapping[str, Any]) -> KerasModel:
    """Return a Sequential as a KerasModel; without an InputLayer, the input shape is the first layer's, or
    `build_input_shape` in the config."""
    if not layers:
        raise FileRefused(f"'{safe_text(name)}' has no layers")
    if layers[0].class_name != "InputLayer":
        first = layers[0].config
        shape = first.get("batch_shape") or first.get("batch_input_shape") or config.get("build_input_shape")
        if not isinstance(shape, list):
            text = f"the file does not have the input shape of '{safe_text(name)}'"
            raise FileRefused(text, hint="build the model (or call it once) before saving it")
        dtype = first.get("dtype") if isinstance(first.get("dtype"), str) else "float32"
        settings = {"batch_shape": shape, "dtype": dtype, "name": "x"}
        layers = [KerasLayer("x", {"class_name": "InputLayer", "config": settings}), *layers]
    for before, layer in pairwise(layers):
        layer.calls.append(Call([Ref(before.name, 0, 0)], {}))
    by_name = {layer.name: layer for layer in layers}
    return KerasModel(name, by_name, [(None, Ref(layers[0].name, 0, 0))], [(None, Ref(layers[-1].name, 0, 0))])


def _call(node: Any) -> Call:
    """Read one call of a layer from Keras 3's mapping, or from Keras 2's list of [layer, call, index, arguments]."""
    if isinstance(node, dict) and isinstance(node.get("args"), list) and isinstance(node.get("kwargs"), dict):
        return Call([_tensors(arg) for arg in node["args"]], {key: _tensors(v) for key, v in node["kwargs"].items()})
    if not isinstance(node, list) or not node:
        raise FileRefused("the file describes a call in a form that is not Keras's")
    node = [node] if _history(node[:3]) else node
    if not all(isinstance(entry, list) and _history(entry[:3]) for entry in node):
        raise FileRefused("the file describes a call in a form that is not Keras's")
    tensors = [Ref(*entry[:3]) for entry in node]
    kwargs = node[0][3] if len(node[0]) > 3 and isinstance(node[0][3], dict) else {}
    return Call([tensors[0] if len(tensors) == 1 else tensors], {key: _old_tensors(v) for key, v in kwargs.items()})


def _history(value: Any) -> bool:
    return len(value) == 3 and isinstance(value[0], str) and all(type(n) is int and 0 <= n < 10**6 for n in value[1:])


def _tensors(value: Any) -> Any:
    """Return a call argument with Keras 3's `__keras_tensor__` objects replaced by `Ref`s (references to outputs of
    layers)."""
    if isinstance(value, list):
        return [_tensors(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        history = config.get("keras_history") if isinstance(config, dict) else None
        if not isinstance(history, list) or not _history(history):
            raise FileRefused("the file has a tensor without a history")
        return Ref(*history)
    if value.get("class_name") == "__tuple__":
        return _tensors(value.get("items", value.get("config")))
    return {key: _tensors(item) for key, item in value.items()}


def _old_tensors(value: Any) -> Any:
    if isinstance(value, list):
        return Ref(*value[:3]) if _history(value[:3]) and len(value) <= 4 else [_old_tensors(item) for item in value]
    return value


def _ends(value: Any) -> Iterator[tuple[str | None, Ref]]:
    """Yield (name or None, tensor) for each input or output of a Keras model, which stores them as one tensor, a list
    or a mapping."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from ((key, ref) for _, ref in _ends(item))
    elif isinstance(value, list) and _history(value[:3]):
        yield None, Ref(*value[:3])
    elif isinstance(value, list):
        for item in value:
            yield from _ends(item)


def _counted_from_0(model: KerasModel) -> KerasModel:
    """Return the model with all calls counted from 0; Keras counts those of a nested model from 1 (in Keras 3: only in
    outputs).

    Building the nested model was its call number 0.
    """
    used = [ref for layer in model.layers.values() for call in layer.calls for ref in refs(call)]
    last: dict[str, int] = {}
    for ref in (*used, *(ref for _, ref in model.outputs)):
        last[ref.layer] = max(last.get(ref.layer, 0), ref.call)
    from_1 = {n for n, layer in model.layers.items() if layer.is_model and last.get(n, 0) == len(layer.calls)}
    if not model.is_of_keras_3:
        for layer in model.layers.values():
            layer.calls[:] = [_moved(call, from_1) for call in layer.calls]
    functional = {name for name, layer in model.layers.items() if layer.class_name in MODELS - {"Sequential"}}
    return replace(model, outputs=_moved(model.outputs, functional if model.is_of_keras_3 else from_1))


def _moved(value: Any, from_1: Set[str]) -> Any:
    """Return call arguments, or outputs of a model, in which calls of the layers in `from_1` are renumbered to begin at
    0."""
    match value:
        case Ref():
            return replace(value, call=value.call - 1) if value.layer in from_1 and value.call else value
        case Call():
            return Call(_moved(value.args, from_1), _moved(value.kwargs, from_1))
        case list() | tuple():
            return type(value)(_moved(item, from_1) for item in value)
        case dict():
            return {key: _moved(item, from_1) for key, item in value.items()}
        case _:
            return value


def _check(model: KerasModel) -> None:
    """Raise FileRefused for invalid names, references to calls that do not exist, and missing or unconnected layers."""
    used = [ref for layer in model.layers.values() for call in layer.calls for ref in refs(call)]
    for ref in (*used, *(ref for _, ref in (*model.inputs, *model.outputs))):
        layer = model.layers.get(ref.layer)
        if layer is None or ref.call >= max(1, len(layer.calls)):
            raise FileRefused(f"the file refers to an output of '{safe_text(ref.layer, 60)}' that does not exist")
    for key, _ in (*model.inputs, *model.outputs):
        if key is not None and not _is_valid_name(key):
            raise FileRefused(f"invalid name of an input or output '{safe_text(key, 60)}'")
    if not model.inputs or not model.outputs:
        raise FileRefused(f"'{safe_text(model.name)}' has no inputs or no outputs")
    inputs = {ref.layer for _, ref in model.inputs}
    for layer in model.layers.values():
        if not layer.calls and layer.name not in inputs and layer.class_name:
            raise FileRefused(f"'{safe_text(layer.name)}' is not connected to the model")
