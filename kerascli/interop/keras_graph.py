"""A model of ours -> Keras's description of it, and which of our weights belong to which of its layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerascli.graph.cells import DescribedRNN
from kerascli.graph.model import Call, Model, Node
from kerascli.interop.differences import TENSORS_BY_NAME
from kerascli.interop.keras_order import keras_order
from kerascli.interop.operation_nodes import Inexpressible, Operation, Operations, Result
from kerascli.interop.serialized import Unsaid, layer_object
from kerascli.layers.base import BaseLayer, MergeLayer, NamingLayer
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.layers.expressions.expr import Expr
from kerascli.ops.expression import expression
from kerascli.shapes import TensorSpec


@dataclass(slots=True)
class KerasNode:
    """A layer or an operation and its one call, before it is written; `layer` is None of an operation."""

    name: str
    description: dict[str, Any]
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    layer: BaseLayer | None = None
    ours: str = ""
    """What its weights' names begin with."""

    masks: list[str] = field(default_factory=list)
    """What Keras computes the masks from that it sees: they count where it sorts layers."""

    def parents(self) -> list[str]:
        return [*(result.node for result in _results([self.args, self.kwargs])), *self.masks]


@dataclass(frozen=True, slots=True)
class KerasGraph:
    """`description` is the serialised model, `layers` those of them that Keras calls so, in its order."""

    description: dict[str, Any]
    layers: tuple[KerasNode, ...]
    outputs: Mapping[str, str]
    """Our outputs -> the names of Keras's layers."""
    notes: tuple[str, ...]


def keras_graph(
    model: Model, specs: Mapping[str, TensorSpec], *, name: str, names: Mapping[str, str], precision: str
) -> KerasGraph:
    """`names` are Keras's for ours where they differ. Raises ConfigError with all that Keras has no words for."""
    writer = _Writer(model, specs, names, precision)
    writer.write()
    writer.unsaid.check()
    return writer.graph(name)


class _Writer:
    def __init__(self, model: Model, specs: Mapping[str, TensorSpec], names: Mapping[str, str], precision: str) -> None:
        self.unsaid = Unsaid()
        self._model = model
        self._specs = specs
        self._precision = precision
        self._names = names
        self._taken = {names.get(name, name) for name in [i.name for i in model.inputs] + [n.name for n in model.nodes]}
        self._nodes: dict[str, KerasNode] = {}
        self._tensors: dict[str, Result] = {}
        self._notes: list[str] = []
        self._masks: dict[str, str] = {}
        """By tensor, where its mask comes from."""
        self._mask_parents: dict[str, list[str]] = {}

    def write(self) -> None:
        """Every input and node."""
        for given in self._model.inputs:
            name = self._names.get(given.name, given.name)
            shape = [None, *given.spec.shape]
            config = {"batch_shape": shape, "dtype": given.spec.dtype, "sparse": False, "name": name}
            made = {"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None}
            self._nodes[name] = KerasNode(name, made)
            self._tensors[given.name] = Result(name)
        for name in dict.fromkeys(entry.of.name for entry in self._model.entries if isinstance(entry, Call)):
            hint = "--format torch_export or onnx takes what is shared"
            self.unsaid.add(f"'{name}' is shared: it cannot be written to Keras's files yet", hint)
        for node in self._model.nodes:
            if not node.outputs:
                kind = node.layer.component_name
                self._notes.append(f"'{node.name}' ({kind}) is left out: Keras's files have no place for it")
            elif isinstance(node.layer, Expr):
                self._expression(node, node.layer)
            else:
                self._layer(node)

    def _layer(self, node: Node) -> None:
        name = self._names.get(node.name, node.name)
        if isinstance(node.layer, DescribedRNN):
            self.unsaid.add(
                f"'{node.name}': in Keras a cell of one's own is Python code", "--format safetensors takes it"
            )
            return
        if isinstance(node.layer, NamingLayer):
            self.unsaid.add(f"'{node.name}': Keras 3 has no '{node.layer.component_name}'")
            return
        made = layer_object(node.layer, name, self._precision, self.unsaid)
        inputs = [self._of(tensor) for tensor in node.inputs]
        apart = node.layer.component_name in TENSORS_BY_NAME
        args: list[Any] = [inputs] if isinstance(node.layer, MergeLayer) and not apart else inputs
        kwargs = {key: self._argument(node, key, value) for key, value in node.call.items() if key != "training"}
        if node.call.get("training") is True:
            hint = "--format torch_export keeps it"
            self.unsaid.add(f"'{node.name}': in Keras's files the model decides about 'training'", hint)
        elif "training" in node.call:
            self._notes.append(f"'{node.name}': training: false is left out, in Keras's files the model decides")
        written = self._nodes[name] = KerasNode(name, made, args, kwargs, node.layer, node.name)
        self._tensors.update({tensor: Result(name, i) for i, tensor in enumerate(node.outputs) if tensor != "_"})
        self._mask(node, written, inputs[0].node)

    def _mask(self, node: Node, written: KerasNode, given: str) -> None:
        """Keras makes a mask by operations of their own: `any(not_equal(x, 0))`, for embeddings without the `any`."""
        layer = node.layer
        if layer.uses_mask or getattr(layer, "uses_masks", False):
            written.masks = [self._masks[tensor] for tensor in node.inputs if tensor in self._masks]
        made = self._masks.get(node.inputs[0]) if layer.mask == "pass" else None
        if layer.makes_mask():
            made = f"{written.name}/mask"
            compared = f"{written.name}/not_equal"
            one_step = layer.component_name == "embedding"
            self._mask_parents |= {made: [given]} if one_step else {made: [compared], compared: [given]}
        if made is not None:
            self._masks.update(dict.fromkeys(node.outputs[: layer.masked_results()], made))

    def _argument(self, node: Node, key: str, value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, tuple):
            return [self._of(tensor) for tensor in value]
        result = self._of(value)
        if key == "mask" and self._specs[value].dtype != "bool":
            return Result(self._operation(node, Operation("NotEqual", "keras.src.ops.numpy", {}, [result, 0], {})))
        return result

    def _of(self, tensor: str) -> Result:
        return self._tensors.get(tensor, Result(""))  # missing only where a fault was told already

    def _expression(self, node: Node, layer: ExpressionLayer) -> None:
        found = expression(layer.value)
        tensors = {name: self._of(tensor) for name, tensor in zip(found.names, node.inputs, strict=False)}
        try:
            value = Operations(tensors, lambda operation: self._operation(node, operation)).value(found.tree)
        except Inexpressible as error:
            hint = "--format torch_export or onnx takes every expression"
            self.unsaid.add(f"'{node.name}': Keras's files have no operation for {error}", hint)
            return
        many = isinstance(value, Result) and len(node.outputs) > 1
        values = [Result(value.node, i) for i in range(len(node.outputs))] if many else value
        for tensor, each in zip(node.outputs, values if isinstance(values, list) else [values], strict=True):
            if tensor != "_":
                self._tensors[tensor] = self._named(node, tensor, each)

    def _named(self, node: Node, tensor: str, value: Any) -> Result:
        """The result under the tensor's name: the last operation gets it, what is none goes through an identity."""
        name = self._names.get(tensor, tensor)
        last = self._nodes.get(value.node) if isinstance(value, Result) else None
        if last is not None and last.layer is None and last.ours == node.name and len(node.outputs) == 1:
            del self._nodes[last.name]
            last.name = name
            last.description["config"]["name"] = name
            self._nodes[name] = last
            return Result(name, value.index)
        if not isinstance(value, Result):
            self.unsaid.add(f"'{node.name}': its value does not depend on the model's inputs")
        policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": self._precision}}
        config = {"name": name, "dtype": {**policy, "registered_name": None}}
        made = {"module": "keras.layers", "class_name": "Identity", "config": config, "registered_name": None}
        self._nodes[name] = KerasNode(name, made, [value])
        return Result(name)

    def _operation(self, node: Node, operation: Operation) -> str:
        """Add one operation of a node; returns its name."""
        name, number = f"{node.name}_{operation.class_name.lower()}", 1
        while name in self._taken:
            number += 1
            name = f"{node.name}_{operation.class_name.lower()}_{number}"
        self._taken.add(name)
        made = {
            "module": operation.module, "class_name": operation.class_name,
            "config": {"name": name, **operation.settings}, "registered_name": operation.class_name,
        }  # fmt: skip
        self._nodes[name] = KerasNode(name, made, list(operation.args), dict(operation.kwargs), None, node.name)
        return name

    # the whole

    def graph(self, name: str) -> KerasGraph:
        """What leads to an output, in Keras's order."""
        ends = [self._of(output) for output in self._model.outputs]
        inputs = [self._names.get(given.name, given.name) for given in self._model.inputs]
        parents = {**self._mask_parents, **{node.name: node.parents() for node in self._nodes.values()}}
        order = [each for each in keras_order(parents, [end.node for end in ends]) if each in self._nodes]
        order = [*order, *(given for given in inputs if given not in order)]
        left = [node.ours for node in self._nodes.values() if node.layer is not None and node.name not in order]
        if left:
            self._notes.append(f"left out, since no output needs them: {', '.join(left)}")
        nodes = [self._nodes[each] for each in order]
        layers = tuple(node for node in nodes if ".ops." not in node.description["module"])
        outputs = {ours: end.node for ours, end in zip(self._model.outputs, ends, strict=True)}
        description = self._sequential(name, nodes) or self._functional(name, nodes, inputs, ends)
        return KerasGraph(description, layers, outputs, tuple(self._notes))

    def _sequential(self, name: str, nodes: Sequence[KerasNode]) -> dict[str, Any] | None:
        """None for a graph that is more than one layer after another."""
        before, *rest = nodes
        for node in rest:
            if node.args != [Result(before.name)] or node.kwargs or ".ops." in node.description["module"]:
                return None
            before = node
        if self._of(self._model.outputs[0]).index or len(self._model.outputs) > 1 or not rest:
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

    def _functional(
        self, name: str, nodes: Sequence[KerasNode], inputs: Sequence[str], ends: Sequence[Result]
    ) -> dict[str, Any]:
        specs = {result: self._specs[tensor] for tensor, result in self._tensors.items() if tensor in self._specs}
        layers = [{**node.description, "name": node.name, "inbound_nodes": _calls(node, specs)} for node in nodes]
        config = {
            "name": name, "trainable": True, "layers": layers,
            "input_layers": _one_or_all([[given, 0, 0] for given in inputs]),
            "output_layers": _one_or_all([[end.node, 0, end.index] for end in ends]),
        }  # fmt: skip
        return {
            "module": "keras.src.models.functional", "class_name": "Functional", "config": config,
            "registered_name": "Functional",
        }  # fmt: skip


def _one_or_all(ends: list[Any]) -> Any:
    return ends[0] if len(ends) == 1 else ends


def _calls(node: KerasNode, specs: Mapping[Result, TensorSpec]) -> list[dict[str, Any]]:
    if node.description["class_name"] == "InputLayer":
        return []
    return [{"args": _said(node.args, specs), "kwargs": _said(node.kwargs, specs)}]


def _said(value: Any, specs: Mapping[Result, TensorSpec]) -> Any:
    """Results as Keras writes tensors. It finds shapes anew: those within an expression are not told."""
    match value:
        case Result():
            spec = specs.get(value)
            shape, dtype = ([None, *spec.shape], spec.dtype) if spec is not None else ([None], "float32")
            history = {"shape": shape, "dtype": dtype, "keras_history": [value.node, 0, value.index]}
            return {"class_name": "__keras_tensor__", "config": history}
        case list():
            return [_said(item, specs) for item in value]
        case dict():
            return {key: _said(item, specs) for key, item in value.items()}
        case _:
            return value


def _results(value: Any) -> list[Result]:
    """Every tensor in a call, in order."""
    match value:
        case Result():
            return [value]
        case list():
            return [result for item in value for result in _results(item)]
        case dict():
            return _results(list(value.values()))
        case _:
            return []
