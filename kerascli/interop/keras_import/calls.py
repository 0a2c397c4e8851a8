"""Read the layers of a serialized Keras model and their calls, as Keras 3, Keras 2 and Sequential models store them.

Inputs on which no output depends, which Keras allows and requires arrays for, are found and left out.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any, NamedTuple

from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.graph import Call, Ref, ancestors, refs, with_refs
from kerascli.interop.keras.names import op_of
from kerascli.interop.keras.objects import Serialized, is_object, own_name
from kerascli.layers.base import LAYERS

MODELS = frozenset({"Functional", "Model", "Sequential"})
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class KerasLayer:
    name: str
    spec: Serialized
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
    def batch_shape(self) -> list[Any] | None:
        """Shape of the input that the layer's config has, with the batch size; None if it has none."""
        shape = self.config.get("batch_shape") or self.config.get("batch_input_shape")
        return shape if isinstance(shape, list) else None

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


class KerasModel(NamedTuple):
    """A Keras model. Its inputs and outputs are pairs (name, tensor); the name is the key if Keras stores a mapping of
    them, else None."""

    name: str
    layers: dict[str, KerasLayer]
    inputs: list[tuple[str | None, Ref]]
    outputs: list[tuple[str | None, Ref]]

    @property
    def numbered_calls(self) -> list[tuple[KerasLayer, int, Call]]:
        """Calls of the layers as (layer, number of its call, call), in the file's order."""
        return [(layer, *each) for layer in self.layers.values() for each in enumerate(layer.calls)]

    def with_inputs(self, kept: list[int]) -> "KerasModel":
        """Return the model with only the inputs at the indices `kept`."""
        return self._replace(inputs=[self.inputs[index] for index in kept])

    def with_results(self, used: set[int]) -> "KerasModel":
        """Return the model with only the outputs at the indices `used`, or only the first if `used` is empty."""
        return self._replace(outputs=[each for index, each in enumerate(self.outputs) if index in (used or {0})])

    def ordered(self) -> list[tuple[KerasLayer, int]]:
        """Return all calls of layers in topological order, ties in the file's order. Raises FileRefused for a cycle."""
        calls = self.numbered_calls
        order = {(layer.name, number): place for place, (layer, number, _) in enumerate(calls)}
        parents = [[order[parent] for parent in call.parents() if parent in order] for _, _, call in calls]
        sorter = TopologicalSorter(dict(enumerate(parents)))
        try:
            sorter.prepare()
        except CycleError:
            raise FileRefused(f"the graph of '{safe_text(self.name)}' has a cycle") from None
        ready: list[int] = []
        ordered: list[tuple[KerasLayer, int]] = []
        while sorter.is_active():
            for place in sorter.get_ready():
                heapq.heappush(ready, place)
            sorter.done(place := heapq.heappop(ready))
            ordered.append(calls[place][:2])
        return ordered


def read_model(spec: Serialized, name: str) -> KerasModel:
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
        for layer in layers:
            nodes = layer.spec.get("inbound_nodes")
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
    return 0 < len(name) <= _MAX_NAME and safe_text(name) == name and ".." not in name.split("/") and "\\" not in name


def _sequential(name: str, layers: list[KerasLayer], config: Serialized) -> KerasModel:
    """Return a Sequential as a KerasModel; without an InputLayer, the input shape is the first layer's, or
    `build_input_shape` in the config."""
    if not layers:
        raise FileRefused(f"'{safe_text(name)}' has no layers")
    if layers[0].class_name != "InputLayer":
        shape = layers[0].batch_shape or config.get("build_input_shape")
        if not isinstance(shape, list):
            text = f"the file does not have the input shape of '{safe_text(name)}'"
            raise FileRefused(text, hint="build the model (or call it once) before saving it")
        dtype = layers[0].config.get("dtype")
        settings = {"batch_shape": shape, "dtype": dtype if isinstance(dtype, str) else "float32", "name": "x"}
        layers = [KerasLayer("x", {"class_name": "InputLayer", "config": settings}), *layers]
    for before, layer in pairwise(layers):
        layer.calls.append(Call([Ref(before.name)]))
    by_name = {layer.name: layer for layer in layers}
    return KerasModel(name, by_name, [(None, Ref(layers[0].name))], [(None, Ref(layers[-1].name))])


def _call(node: Any) -> Call:
    """Read one call of a layer from Keras 3's mapping, or from Keras 2's list of [layer, call, index, arguments]."""
    if isinstance(node, dict) and isinstance(node.get("args"), list) and isinstance(node.get("kwargs"), dict):
        return Call(_tensors(node["args"]), _tensors(node["kwargs"]))
    entries = [node] if _ref(node) is not None else node
    tensors = [_ref(entry) for entry in entries] if isinstance(entries, list) else []
    if not tensors or None in tensors:
        raise FileRefused("the file describes a call in a form that is not Keras's")
    settings = entries[0][3] if len(entries[0]) > 3 and isinstance(entries[0][3], dict) else {}
    return Call([tensors[0] if len(tensors) == 1 else tensors], _tensors(settings, are_lists=True))


def _ref(value: Any) -> Ref | None:
    """Return the tensor that Keras's list [layer, call, index, ...] refers to; None for any other value."""
    if not isinstance(value, list) or len(value) < 3 or not isinstance(value[0], str):
        return None
    return Ref(*value[:3]) if all(type(number) is int and 0 <= number < 10**6 for number in value[1:3]) else None


def _tensors(value: Any, *, are_lists: bool = False) -> Any:
    """Return call arguments with Keras 3's `__keras_tensor__` objects, or Keras 2's lists, replaced by `Ref`s
    (references to outputs of layers)."""
    if isinstance(value, list):
        ref = _ref(value) if are_lists and len(value) <= 4 else None
        return [_tensors(item, are_lists=are_lists) for item in value] if ref is None else ref
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        ref = _ref(config.get("keras_history")) if isinstance(config, dict) else None
        if ref is None:
            raise FileRefused("the file has a tensor without a history")
        return ref
    if value.get("class_name") == "__tuple__":
        return _tensors(value.get("items", value.get("config")))
    return {key: _tensors(item, are_lists=are_lists) for key, item in value.items()}


def _ends(value: Any) -> Iterator[tuple[str | None, Ref]]:
    """Yield (name or None, tensor) for each input or output of a Keras model, which stores them as one tensor, a list
    or a mapping."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from ((key, ref) for _, ref in _ends(item))
    elif (ref := _ref(value)) is not None:
        yield None, ref
    elif isinstance(value, list):
        for item in value:
            yield from _ends(item)


def _counted_from_0(model: KerasModel) -> KerasModel:
    """Return the model with all calls counted from 0; Keras counts those of a nested model from 1 (in Keras 3: only in
    outputs).

    Building the nested model was its call number 0.
    """
    places = {ref.place for ref in refs([model.numbered_calls, model.outputs])}
    from_1 = {n for n, layer in model.layers.items() if layer.is_model and (n, len(layer.calls)) in places}
    nodes = [layer.spec.get("inbound_nodes") for layer in model.layers.values()]
    is_of_keras_3 = any(isinstance(node, dict) for each in nodes if isinstance(each, list) for node in each)
    if is_of_keras_3:
        from_1 = {name for name, layer in model.layers.items() if layer.class_name in MODELS - {"Sequential"}}

    def counted(ref: Ref) -> Ref:
        return replace(ref, call=ref.call - 1) if ref.layer in from_1 and ref.call else ref

    if not is_of_keras_3:
        for layer in model.layers.values():
            layer.calls[:] = with_refs(layer.calls, counted)
    return model._replace(outputs=with_refs(model.outputs, counted))


def _check(model: KerasModel) -> None:
    """Raise FileRefused for invalid names, references to calls that do not exist, and missing or unconnected layers."""
    for ref in refs([model.numbered_calls, model.inputs, model.outputs]):
        if (layer := model.layers.get(ref.layer)) is None or ref.call >= max(1, len(layer.calls)):
            raise FileRefused(f"the file refers to an output of '{safe_text(ref.layer, 60)}' that does not exist")
    for key, _ in (*model.inputs, *model.outputs):
        if key is not None and not _is_valid_name(key):
            raise FileRefused(f"invalid name of an input or output '{safe_text(key, 60)}'")
    if not model.inputs or not model.outputs:
        raise FileRefused(f"'{safe_text(model.name)}' has no inputs or no outputs")
    unconnected = {layer.name for layer in model.layers.values() if layer.class_name and not layer.calls}
    if names := unconnected - {ref.layer for ref in refs(model.inputs)}:
        raise FileRefused(f"'{safe_text(min(names))}' is not connected to the model")


def used_inputs(model: KerasModel) -> list[int]:
    """Return the indices of the inputs that a Keras model's outputs depend on, even in nested models; [0] if they
    depend on no input."""
    results: defaultdict[str, set[int]] = defaultdict(set)
    for ref in refs([model.numbered_calls, model.outputs]):
        results[ref.layer].add(ref.index)

    @cache
    def through(name: str) -> list[int]:
        return used_inputs(read_model(model.layers[name].spec, name).with_results(results[name]))

    def before(ref: Ref) -> list[Ref]:
        layer = model.layers[ref.layer]
        inputs = list(refs(layer.calls[ref.call])) if layer.calls else []
        if inputs and layer.is_model:
            return [inputs[index] for index in through(layer.name) if index < len(inputs)]
        return inputs

    used = ancestors(refs(model.outputs), before)
    return [index for index, (_, ref) in enumerate(model.inputs) if ref in used] or [0]
