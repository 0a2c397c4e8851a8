"""Convert a model to Keras's serialized form, and map its weights to Keras's layers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from string import ascii_letters
from types import MappingProxyType
from typing import Any, NamedTuple

from kerascli.foundation.errors import ConfigError, Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop.keras import graph
from kerascli.interop.keras.differences import TENSORS_BY_NAME
from kerascli.interop.keras.graph import MaskPlaces, Ref, keras_order
from kerascli.interop.keras.operation_nodes import Inexpressible, Operations
from kerascli.interop.keras.places import Owner
from kerascli.interop.keras_export.keras_nodes import KerasNode, functional, reached, sequential, walk
from kerascli.interop.keras_export.keras_scopes import Scope, meanings, shared_scope
from kerascli.interop.keras_export.serialized import dtype_policy, layer_object, serialized
from kerascli.interop.keras_export.vocabularies import TextLayer
from kerascli.layers.core.einsum_dense import EinsumDense, read_equation
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.layers.expressions.expr import Expr
from kerascli.model.ir.inner_models import CustomCellRNN, wrapped
from kerascli.model.ir.nodes import Call, CallValue, Model, Node, Shared
from kerascli.ops.expression import expression

_OTHERS = "use --format torch_export or onnx"


class KerasGraph(NamedTuple):
    """A serialized Keras model (`description`); `layers` are its layers and nested models, without operations, in
    Keras's order."""

    description: dict[str, Any]
    layers: tuple[KerasNode, ...]
    outputs: Mapping[str, str]
    """Mapping from the name of a model output to the name of the Keras layer that computes it."""
    notes: tuple[str, ...]
    metadata: Mapping[str, str] = MappingProxyType({})
    """Texts for the metadata of a file, by name."""

    @property
    def owners(self) -> list[Owner]:
        """Layers, of nested models, too, that may have weights, in Keras's order."""
        nodes = walk(self.layers)
        return [Owner(path, place, each.ours, each.layer) for place, path, each in nodes if each.layer is not None]


def keras_graph(
    model: Model, specs: Mapping[str, TensorSpec], *, name: str, names: Mapping[str, str], precision: str,
    batch_size: int | None = None, texts: Mapping[str, TextLayer] = MappingProxyType({}),
) -> KerasGraph:  # fmt: skip
    """Convert a model to Keras's serialized form. Raises ConfigError that lists all that Keras cannot express.

    `names` maps names to Keras's where they differ; `batch_size` is set for a model with stateful layers; `texts` are
    the layers that make inputs of texts, by input.
    """
    scope = Scope({each.name: each.spec for each in model.inputs}, model.entries, model.outputs, specs)
    writer = _Writer(scope, names, texts, precision, batch_size)
    writer.write()
    if writer.problems:
        raise ConfigError(writer.problems[:20])
    description, layers, outputs = writer.described(name)
    return KerasGraph(description, layers, outputs, tuple(dict.fromkeys(writer.notes)))


@dataclass
class _Writer:
    """Converter of one model to Keras's serialized form; a shared model in it has a converter of its own."""

    _scope: Scope
    _names: Mapping[str, str]
    _texts: Mapping[str, TextLayer]
    _precision: str
    _batch_size: int | None
    problems: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        own = [*self._scope.inputs, *(entry.name for entry in self._scope.entries if isinstance(entry, Node))]
        self._taken = {self._names.get(name, name) for name in own}
        self._nodes: dict[str, KerasNode] = {}
        self._shared: dict[str, str] = {}
        """Mapping from the weight name prefix of a shared layer or model to the name of its Keras layer."""
        self._tensors: dict[str, Ref] = {}
        self._masks = MaskPlaces()

    def write(self) -> None:
        """Convert all inputs, nodes and calls of shared models in the model to Keras nodes."""
        for tensor, spec in self._scope.inputs.items():
            name = self._names.get(tensor, tensor)
            text = self._texts.get(tensor)
            given = spec if text is None else TensorSpec(text.shape, "string")
            shape = [self._batch_size, *given.shape]
            config = {"batch_shape": shape, "dtype": given.dtype, "sparse": False, "name": name}
            made = serialized("keras.layers", "InputLayer", config)
            self._tensors[tensor] = self._add(KerasNode(name, made, [graph.Call()]))
            if text is not None:
                lookup = text.node(self._unique(text.transform.component_name), self.problems)
                lookup.calls.append(graph.Call([Ref(name)]))
                self._tensors[tensor] = self._add(lookup)
        for entry in self._scope.entries:
            if isinstance(entry, Call) and entry.of.layer is not None:
                self._layer(entry.nodes[0], self._shared_name(entry.of))
            elif isinstance(entry, Call):
                self._model(entry)
            elif not entry.outputs:
                kind = entry.layer.component_name
                self.notes.append(f"'{entry.name}' ({kind}) is not exported: Keras's files cannot store it")
            elif isinstance(entry.layer, Expr):
                self._expression(entry, entry.layer)
            else:
                self._layer(_written_out(entry, self._scope.specs), self._names.get(entry.name, entry.name))

    def _shared_name(self, shared: Shared) -> str:
        if shared.weights not in self._shared:
            self._shared[shared.weights] = self._unique(self._names.get(shared.name, shared.name))
        return self._shared[shared.weights]

    def _layer(self, node: Node, name: str) -> None:
        if (fault := _fault(node)) is not None:
            self.problems.append(fault)
            return
        if name not in self._nodes:
            made = layer_object(node.layer, name, self._precision, self.problems)
            self._add(KerasNode(name, made, [], node.layer, node.weights_name))
        inputs = [self._of(tensor) for tensor in node.inputs]
        apart = node.layer.component_name in TENSORS_BY_NAME
        args: list[Any] = [inputs] if node.layer.call_form == "several" and not apart else inputs
        left_out = {"training", *node.unseen_masks}
        kwargs = {key: self._argument(node, key, value) for key, value in node.call.items() if key not in left_out}
        self._training(node.name, node.call)
        calls = self._nodes[name].calls
        place = name, len(calls)
        if node.layer.component_name == "softmax" and self._masks.of(node.inputs):
            self.problems.append(Fault(f"'{name}': Keras cannot apply softmax under a mask of steps", hint=_OTHERS))
        calls.append(graph.Call(args, kwargs, self._masks.add(node, place, inputs[0].place)))
        self._tensors.update({tensor: Ref(*place, i) for i, tensor in enumerate(node.outputs) if tensor != "_"})

    def _training(self, name: str, call: Mapping[str, CallValue]) -> None:
        if call.get("training") is True:
            hint = "use --format torch_export"
            self.problems.append(Fault(f"'{name}': Keras's files cannot store 'training: true' of a call", hint=hint))
        elif "training" in call:
            self.notes.append(f"'{name}': training: false is not exported: Keras's files cannot store it")

    def _model(self, call: Call) -> None:
        """Convert a call of a shared model to a call of a Keras model; the shared model itself is converted at its
        first call."""
        name = self._shared_name(call.of)
        scope = shared_scope(self._scope, call.of)
        if name not in self._nodes:
            inner = replace(self, _scope=scope, _names={}, _texts={})
            inner.write()
            description, layers, _ = ({}, (), {}) if self.problems else inner.described(name)
            self._add(KerasNode(name, description, [], None, call.of.weights, layers))
        self._training(call.name, call.call)
        inputs = [self._of(tensor) for tensor in call.inputs]
        calls = self._nodes[name].calls
        calls.append(graph.Call(inputs if len(inputs) == 1 else [inputs], masks=self._masks.of(call.inputs)))
        outer, number = dict(meanings(call)), len(calls) - 1
        self._tensors.update({outer[t]: Ref(name, number, i) for i, t in enumerate(scope.outputs) if t in outer})
        if scope.outputs[0] in outer:
            self._masks.propagate(call.inputs[0], outer[scope.outputs[0]])

    def _argument(self, node: Node, key: str, value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, tuple):
            return [self._of(tensor) for tensor in value]
        result = self._of(value)
        if key == "mask" and self._scope.specs[value].dtype != "bool":
            return Ref(self._operation(node, "NotEqual", "numpy", {}, [result, 0], {}))
        return result

    def _of(self, tensor: str) -> Ref:
        return self._tensors.get(tensor, Ref(""))  # missing only after a fault

    def _expression(self, node: Node, layer: ExpressionLayer) -> None:
        parsed = expression(layer.value)
        inputs = dict(zip(parsed.names, node.inputs, strict=False))
        tensors = {name: self._of(tensor) for name, tensor in inputs.items()}
        dtypes = {name: self._scope.specs[tensor].dtype for name, tensor in inputs.items()}
        try:
            value: Any = Operations(tensors, dtypes, partial(self._operation, node)).value(parsed.tree)
        except Inexpressible as error:
            hint = "use --format torch_export, which takes every expression, or onnx, which takes most"
            self.problems.append(Fault(f"'{node.name}': Keras has no operation for {error}", hint=hint))
            return
        many = isinstance(value, Ref) and len(node.outputs) > 1
        values = [Ref(value.layer, index=i) for i in range(len(node.outputs))] if many else value
        for tensor, each in zip(node.outputs, values if isinstance(values, list) else [values], strict=True):
            if tensor != "_":
                self._tensors[tensor] = self._named(node, tensor, each)

    def _named(self, node: Node, tensor: str, value: Any) -> Ref:
        """Return a converted expression's tensor (a `Ref`) under the name `tensor`: its last operation is renamed,
        or an identity layer added."""
        name = self._names.get(tensor, tensor)
        last = self._nodes.get(value.layer) if isinstance(value, Ref) else None
        if last is not None and last.is_operation and last.ours == node.name and len(node.outputs) == 1:
            del self._nodes[last.name]
            last.name = last.description["config"]["name"] = name
            return replace(self._add(last), index=value.index)
        if not isinstance(value, Ref):
            self.problems.append(Fault(f"'{node.name}': its value does not depend on the model's inputs"))
        return self._identity(name, value)

    def _operation(self, node: Node, class_name: str, module: str, settings: Mapping[str, Any], *call: Any) -> str:
        """Add a Keras operation that computes (a part of) the model's node `node`, with the arguments of its call (by
        position, by name); return the operation's name."""
        name = self._unique(f"{node.name}_{class_name.lower()}")
        made = serialized(f"keras.src.ops.{module}", class_name, {"name": name, **settings}, registered=True)
        return self._add(KerasNode(name, made, [graph.Call(*call)], None, node.name)).layer

    def _unique(self, base: str) -> str:
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name

    # the whole model

    def described(self, name: str) -> tuple[dict[str, Any], tuple[KerasNode, ...], dict[str, str]]:
        """Return (serialized model, its layers that lead to an output, mapping from output to Keras's name of it)."""
        ends = self._ends()
        inputs = [self._names.get(tensor, tensor) for tensor in self._scope.inputs]
        nodes, numbers = self._in_order(ends, inputs)
        own = self._scope.specs
        specs = {result: own[tensor] for tensor, result in self._tensors.items() if tensor in own}
        description = None if len(ends) > 1 else sequential(name, nodes, ends[0])
        description = description or functional(name, nodes, inputs, ends, specs, numbers)
        outputs = {ours: end.layer for ours, end in zip(self._scope.outputs, ends, strict=True)}
        return description, tuple(node for node in nodes if not node.is_operation), outputs

    def _in_order(self, ends: Sequence[Ref], inputs: Sequence[str]) -> tuple[list[KerasNode], dict[graph.Place, int]]:
        """Return the nodes that lead to the outputs `ends`, in Keras's order, and the numbers of their calls."""
        parents = dict(self._masks.parents)
        for node in self._nodes.values():
            parents |= {(node.name, number): call.parents() for number, call in enumerate(node.calls)}
        order, walked = keras_order(parents, [end.place for end in ends])
        order = [each for each in order if each in self._nodes]
        order += [each for each in inputs if each not in order]
        unused = [node for node in self._nodes.values() if node.name not in order]
        if left := [node.ours for node in unused if node.layer is not None or node.inside]:
            self.notes.append(f"not exported, because no output depends on them: {', '.join(left)}")
        return reached([self._nodes[each] for each in order], walked)

    def _ends(self) -> list[Ref]:
        """Return the tensors (`Ref`s) of the model's outputs. Keras names outputs by layer, so several outputs of
        one layer get identity layers."""
        ends = [self._of(output) for output in self._scope.outputs]
        counts = Counter(end.layer for end in ends)
        shared = {name for name in self._shared.values() if counts[name] > 1}
        pairs = zip(self._scope.outputs, ends, strict=True)
        return [self._identity(self._unique(name), end) if end.layer in shared else end for name, end in pairs]

    def _identity(self, name: str, value: Any) -> Ref:
        made = serialized("keras.layers", "Identity", {"name": name, "dtype": dtype_policy(self._precision)})
        return self._add(KerasNode(name, made, [graph.Call([value])]))

    def _add(self, node: KerasNode) -> Ref:
        """Add a node; return its first output."""
        self._nodes[node.name] = node
        return Ref(node.name)


def _written_out(node: Node, specs: Mapping[str, TensorSpec]) -> Node:
    """Return a node, that of `einsum_dense` with the letters and sizes of all axes, some of which Keras mistakes."""
    if not isinstance(layer := node.layer, EinsumDense):
        return node
    hidden = specs[node.inputs[0]].rank + 1 - len(read_equation(layer.equation).x)
    letters = "".join(letter for letter in ascii_letters if letter not in layer.equation)[:hidden]
    whole = {"equation": layer.equation.replace("...", letters), "output_shape": specs[node.outputs[0]].shape}
    return replace(node, layer=layer.model_copy(update=whole))


def _fault(node: Node) -> Fault | None:
    """Return why Keras's files cannot store a node; None if they can."""
    kind = node.layer.component_name
    if isinstance(node.layer, CustomCellRNN):
        text = f"'{node.name}': Keras's files cannot store a custom cell, which is Python code in Keras"
        return Fault(text, hint="use --format torch_export or safetensors")
    if (shared := wrapped(node)) is not None:
        return Fault(f"'{shared.name}': a shared model in time_distributed cannot be exported to Keras", hint=_OTHERS)
    if node.layer.call_form == "none":
        return Fault(f"'{node.name}' is a weight without a layer, which Keras's files cannot store", hint=_OTHERS)
    if kind == "hashed_crossing" and len(node.inputs) != 2:
        return Fault(f"'{node.name}': Keras 3 crosses two inputs, this node {len(node.inputs)}")
    return Fault(f"'{node.name}': Keras 3 has no '{kind}'") if node.layer.call_form == "names" else None
