"""Layers, operations and nested models that are written to a Keras file, each with its calls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.keras.keras_order import Place
from kerascli.interop.keras.operation_nodes import Result
from kerascli.layers.base import BaseLayer


@dataclass(slots=True)
class KerasCall:
    """A call of a Keras layer, operation or model; tensors in its arguments are `Result`s (references to outputs of
    calls), at any depth."""

    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    masks: list[Place] = field(default_factory=list)
    """Calls of the operations that compute this call's masks; Keras takes them into account when it sorts layers."""

    def parents(self) -> list[Place]:
        return [*((result.node, result.call) for result in results([self.args, self.kwargs])), *self.masks]


@dataclass(slots=True)
class KerasNode:
    """An input, layer, operation or nested model to be written to a Keras file; `layer` is None except for layers."""

    name: str
    description: dict[str, Any]
    calls: list[KerasCall] = field(default_factory=list)
    layer: BaseLayer | None = None
    ours: str = ""
    """Prefix of the names of the layer's weights in kerascli; for an operation, the name of the node in the config that
    it is part of."""
    inside: tuple["KerasNode", ...] = ()
    """Layers of a nested Keras model, in Keras's order; empty for inputs, layers and operations."""

    @property
    def is_operation(self) -> bool:
        return ".ops." in self.description["module"]

    @property
    def has_weights(self) -> bool:
        return self.layer is not None or bool(self.inside)


def input_node(name: str, spec: TensorSpec, batch_size: int | None) -> KerasNode:
    config = {"batch_shape": [batch_size, *spec.shape], "dtype": spec.dtype, "sparse": False, "name": name}
    made = {"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None}
    return KerasNode(name, made, [KerasCall()])


def reached(nodes: Sequence[KerasNode], order: Sequence[Place]) -> tuple[list[KerasNode], dict[Place, int]]:
    """Return Keras nodes with only the calls listed in `order`, and a mapping from these calls to their new numbers."""
    kept = set(order)
    numbers: dict[Place, int] = {}
    found: list[KerasNode] = []
    for node in nodes:
        calls = [call for number, call in enumerate(node.calls) if (node.name, number) in kept]
        old = [number for number in range(len(node.calls)) if (node.name, number) in kept]
        numbers.update({(node.name, number): new for new, number in enumerate(old)})
        found.append(replace(node, calls=calls))
    return found, numbers


def sequential(name: str, nodes: Sequence[KerasNode], end: Result) -> dict[str, Any] | None:
    """Return a Keras graph serialized as a Sequential model; None if it is not a plain stack of layers."""
    before, *rest = nodes
    for node in rest:
        plain = len(node.calls) == 1 and node.calls[0].args == [Result(before.name)] and not node.calls[0].kwargs
        if not plain or node.is_operation:
            return None
        before = node
    if end != Result(before.name) or not rest:
        return None
    shape = nodes[0].description["config"]["batch_shape"]
    config = {
        "name": name, "trainable": True, "layers": [node.description for node in nodes],
        "build_input_shape": shape,
    }  # fmt: skip
    return {
        "module": "keras", "class_name": "Sequential", "config": config, "registered_name": None,
        "build_config": {"input_shape": shape},
    }  # fmt: skip


def functional(
    name: str,
    nodes: Sequence[KerasNode],
    inputs: Sequence[str],
    ends: Sequence[Result],
    specs: Mapping[Result, TensorSpec],
    numbers: Mapping[Place, int],
) -> dict[str, Any]:
    """Return a Keras graph serialized as a functional model.

    `numbers` are the numbers of the written calls; in outputs, Keras counts calls of a nested functional model from 1.
    """
    from_1 = {node.name for node in nodes if node.description["class_name"] == "Functional"}
    layers = [{**node.description, "name": node.name, "inbound_nodes": _calls(node, specs, numbers)} for node in nodes]
    config = {
        "name": name, "trainable": True, "layers": layers,
        "input_layers": _one_or_all([[given, 0, 0] for given in inputs]),
        "output_layers": _one_or_all([
            [end.node, numbers.get((end.node, end.call), 0) + (end.node in from_1), end.index] for end in ends
        ]),
    }  # fmt: skip
    return {
        "module": "keras.src.models.functional", "class_name": "Functional", "config": config,
        "registered_name": "Functional",
    }  # fmt: skip


def results(value: Any) -> Iterator[Result]:
    """Yield, in order, every tensor (`Result`) in the arguments of a Keras call, at any depth."""
    match value:
        case Result():
            yield value
        case list():
            for item in value:
                yield from results(item)
        case dict():
            yield from results(list(value.values()))
        case _:
            pass


def _one_or_all(ends: list[Any]) -> Any:
    return ends[0] if len(ends) == 1 else ends


def _calls(node: KerasNode, specs: Mapping[Result, TensorSpec], numbers: Mapping[Place, int]) -> list[dict[str, Any]]:
    if node.description["class_name"] == "InputLayer":
        return []
    return [
        {
            "args": _with_keras_tensors(call.args, specs, numbers),
            "kwargs": _with_keras_tensors(call.kwargs, specs, numbers),
        }
        for call in node.calls
    ]


def _with_keras_tensors(value: Any, specs: Mapping[Result, TensorSpec], numbers: Mapping[Place, int]) -> Any:
    """Return call arguments with each `Result` (a tensor) serialized as a Keras tensor; Keras infers the shapes inside
    expressions."""
    match value:
        case Result():
            spec = specs.get(value)
            shape, dtype = (list(spec.whole), spec.dtype) if spec is not None else ([None], "float32")
            call = numbers.get((value.node, value.call), 0)
            history = {"shape": shape, "dtype": dtype, "keras_history": [value.node, call, value.index]}
            return {"class_name": "__keras_tensor__", "config": history}
        case list():
            return [_with_keras_tensors(item, specs, numbers) for item in value]
        case dict():
            return {key: _with_keras_tensors(item, specs, numbers) for key, item in value.items()}
        case _:
            return value
