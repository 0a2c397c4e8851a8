"""Layers, operations and nested models that are written to a Keras file, each with its calls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.keras.graph import Call, Place, Ref, with_refs
from kerascli.interop.keras.places import numbered_groups
from kerascli.interop.keras_export.serialized import one_or_all, serialized
from kerascli.layers.base import BaseLayer


@dataclass(slots=True)
class KerasNode:
    """An input, layer, operation or nested model to be written to a Keras file; `layer` is None except for layers."""

    name: str
    description: dict[str, Any]
    calls: list[Call] = field(default_factory=list)
    layer: BaseLayer | None = None
    ours: str = ""
    """Prefix of the names of the layer's weights in kerascli; for an operation, the name of the node in the config that
    it is part of."""
    inside: tuple["KerasNode", ...] = ()
    """Layers of a nested Keras model, in Keras's order; empty for inputs, layers and operations."""

    @property
    def is_operation(self) -> bool:
        return ".ops." in self.description["module"]


def walk(
    layers: Sequence[KerasNode], group: str = "layers", above: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], KerasNode]]:
    """Yield (HDF5 group, Keras's names from the model down, node) of each layer, and of those in nested models."""
    for node, name in zip(layers, numbered_groups(node.description["class_name"] for node in layers), strict=True):
        place, path = f"{group}/{name}", (*above, node.name)
        yield place, path, node
        yield from walk(node.inside, f"{place}/layers", path)


def reached(nodes: Sequence[KerasNode], order: Sequence[Place]) -> tuple[list[KerasNode], dict[Place, int]]:
    """Return Keras nodes with only the calls listed in `order`, and a mapping from these calls to their new numbers."""
    listed = set(order)
    kept = {each.name: [n for n in range(len(each.calls)) if (each.name, n) in listed] for each in nodes}
    numbers = {(name, old): new for name, olds in kept.items() for new, old in enumerate(olds)}
    return [replace(node, calls=[node.calls[number] for number in kept[node.name]]) for node in nodes], numbers


def sequential(name: str, nodes: Sequence[KerasNode], end: Ref) -> dict[str, Any] | None:
    """Return a Keras graph serialized as a Sequential model; None if it is not a plain stack of layers."""
    is_stack = all(b.calls == [Call([Ref(a.name)])] and not b.is_operation for a, b in pairwise(nodes))
    if not is_stack or end != Ref(nodes[-1].name) or len(nodes) < 2:
        return None
    shape = nodes[0].description["config"]["batch_shape"]
    config = {
        "name": name, "trainable": True, "layers": [node.description for node in nodes],
        "build_input_shape": shape,
    }  # fmt: skip
    return {**serialized("keras", "Sequential", config), "build_config": {"input_shape": shape}}


def functional(
    name: str, nodes: Sequence[KerasNode], inputs: Sequence[str], ends: Sequence[Ref],
    specs: Mapping[Ref, TensorSpec], numbers: Mapping[Place, int],
) -> dict[str, Any]:  # fmt: skip
    """Return a Keras graph serialized as a functional model.

    `numbers` are the numbers of the written calls; in outputs, Keras counts calls of a nested functional model from 1.
    """
    from_1 = {node.name for node in nodes if node.description["class_name"] == "Functional"}

    def keras_tensor(ref: Ref) -> dict[str, Any]:
        spec = specs.get(ref)  # Keras infers the shapes inside expressions
        shape, dtype = (list(spec.whole), spec.dtype) if spec is not None else ([None], "float32")
        history = {"shape": shape, "dtype": dtype, "keras_history": [ref.layer, numbers.get(ref.place, 0), ref.index]}
        return {"class_name": "__keras_tensor__", "config": history}

    layers: list[dict[str, Any]] = []
    for node in nodes:
        calls = [] if node.description["class_name"] == "InputLayer" else with_refs(node.calls, keras_tensor)
        inbound = [{"args": call.args, "kwargs": call.kwargs} for call in calls]
        layers.append({**node.description, "name": node.name, "inbound_nodes": inbound})
    config = {
        "name": name, "trainable": True, "layers": layers,
        "input_layers": one_or_all([[each, 0, 0] for each in inputs]),
        "output_layers": one_or_all([
            [end.layer, numbers.get(end.place, 0) + (end.layer in from_1), end.index] for end in ends
        ]),
    }  # fmt: skip
    return serialized("keras.src.models.functional", "Functional", config, registered=True)
