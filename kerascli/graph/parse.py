"""The `model:` section as written -> a Model, or every fault that the section has."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerascli.component import Invalid
from kerascli.errors import Fault, Path, nearest, show, suggestion
from kerascli.graph.faults import Faults
from kerascli.graph.inputs import read_inputs
from kerascli.graph.model import CallValue, Input, Model, Node
from kerascli.graph.names import Names
from kerascli.graph.written import WrittenNode, as_list, call_arguments, take_apart
from kerascli.layers.base import LAYERS, BaseLayer, MergeLayer, NamingLayer
from kerascli.shapes import TensorSpec

_SECTIONS = ("inputs", "layers", "outputs")
MAX_NODES = 10_000


def parse_model(section: Any, data_inputs: Mapping[str, TensorSpec], path: Path = ("model",)) -> Model:
    """Read a model section; `data_inputs` gives inputs where the section declares none. Raises Invalid."""
    parser = _Parser(path)
    model = parser.read(section, data_inputs)
    if model is None or parser.faults.found:
        raise Invalid(parser.faults.found)
    return model


def model_faults(section: Any, path: Path = ("model",)) -> list[Fault]:
    """What is wrong with a model section whatever the data gives."""
    parser = _Parser(path)
    parser.read(section, None)
    return parser.faults.found


class _Parser:
    """Reads one section, collecting faults."""

    def __init__(self, path: Path) -> None:
        self.faults = Faults(path)
        self.names = Names()
        self.inputs: dict[str, Input] = {}
        self.nodes: list[Node] = []

    def read(self, section: Any, data_inputs: Mapping[str, TensorSpec] | None) -> Model | None:
        """The model, sound if there are no faults."""
        layers = self._layers(section)
        if layers is None:
            return None
        self.inputs = read_inputs(section, data_inputs, self.names, self.faults)
        self._announce(layers)
        for index, entry in enumerate(layers):
            try:
                self._read_node(take_apart(entry, ("layers", index), self.faults))
            except Invalid as invalid:
                self.faults.absorb(invalid, ("layers", index))
                self._spoil(entry)
        outputs = self._outputs(section)
        if not self.faults.found and data_inputs is not None:
            self._check_use(outputs)
        return Model(tuple(self.inputs.values()), tuple(self.nodes), outputs)

    def _layers(self, section: Any) -> list[Any] | None:
        """The list of layers, or None after a fault."""
        if not isinstance(section, dict):
            hint = "put 'layers:' above the list" if isinstance(section, list) else None
            self.faults.add(f"model: expected a mapping with 'layers', got {show(section)}", (), hint=hint)
            return None
        unknown = [str(key) for key in section if key not in _SECTIONS]
        for key in unknown:
            self.faults.add(f"unknown key '{key}' in model{suggestion(key, _SECTIONS)}", (key,), at="key")
        layers = section.get("layers")
        if "layers" not in section:
            if "layers" not in [nearest(key, _SECTIONS) for key in unknown]:  # else it is there, misspelt
                self.faults.add("model needs 'layers'", (), at="key", hint="add layers: [...]")
        elif not isinstance(layers, list):
            hint = "put a '-' before each layer" if isinstance(layers, dict) else None
            self.faults.add(f"model.layers: expected a list of layers, got {show(layers)}", ("layers",), hint=hint)
        elif not layers:
            self.faults.add("model.layers: there is no layer in it", ("layers",))
        elif len(layers) > MAX_NODES:
            self.faults.add(f"model.layers: {len(layers)} layers; at most {MAX_NODES}", ("layers",))
        else:
            return layers
        return None

    def _announce(self, layers: list[Any]) -> None:
        for index, entry in enumerate(layers):
            written, arguments = _only_item(entry)
            if isinstance(arguments, dict):
                for name in (arguments.get("name"), *as_list(arguments.get("outputs"))):
                    if isinstance(name, str) and name != "_":
                        self.names.announce(name, (*self.faults.section, "layers", index, written))

    # one node

    def _read_node(self, node: WrittenNode) -> None:
        faults_before = len(self.faults.found)
        name = self._name(node)
        layer = self._layer(node)
        inputs = self._named_inputs(node, layer) if issubclass(node.cls, NamingLayer) else self._inputs(node)
        call = self._call(node)
        place = (*self.faults.section, *node.path)
        if layer is None or len(self.faults.found) > faults_before:
            self.names.spoil([name, *map(str, as_list(node.beside.get("outputs")))])
            self.names.previous = name
            return
        if layer.result_count() == 0:
            self.names.take_without_result(name, place)
            if self._is_wanted(node):
                self.nodes.append(Node(name, layer, inputs, (), call, place))
            return
        if not self._is_wanted(node):
            self.names.give(name, place, means=inputs[0])
            self.names.previous = inputs[0]
            return
        outputs = self._results(layer, name, node, call)
        self.names.take(name, place)
        for output in outputs:
            if output != "_":
                self.names.give(output, place)
        self.nodes.append(Node(name, layer, inputs, outputs, call, place))
        self.names.previous = next((output for output in outputs if output != "_"), None)
        if len(self.faults.found) > faults_before:  # names of results that cannot be
            self.names.spoil(["?"])
            self.names.previous = self.names.previous or "?"

    def _layer(self, node: WrittenNode) -> BaseLayer | None:
        try:
            return LAYERS.construct(node.cls, node.written, node.settings)
        except Invalid as invalid:
            self.faults.absorb(invalid, node.entry)
            return None

    def _is_wanted(self, node: WrittenNode) -> bool:
        wanted = node.beside.get("when", True)
        if not isinstance(wanted, bool):
            self.faults.add(f"when: expected true or false, got {show(wanted)}", (*node.path, "when"))
        return wanted is not False

    def _name(self, node: WrittenNode) -> str:
        name, path = node.beside.get("name"), (*node.path, "name")
        if isinstance(name, str):
            self._check_name(name, path, own=node.cls.component_name)
            return name
        if name is not None:
            self.faults.add(f"name: expected text, got {show(name)}", path)
        return self.names.automatic(node.cls.component_name)

    def _check_name(self, name: Any, path: Path, *, own: str | None = None) -> None:
        if not isinstance(name, str):
            self.faults.add(f"expected a name, got {show(name)}", path)
        elif (problem := self.names.refuse(name, own=own)) is not None:
            self.faults.add(problem.text, path, related=problem.related)

    def _inputs(self, node: WrittenNode) -> tuple[str, ...]:
        merges, kind = issubclass(node.cls, MergeLayer), node.cls.component_name
        if "inputs" not in node.beside:
            if merges:
                hint = f"{kind}: [a, b] with the names of nodes above"
                self.faults.add(f"{kind} needs 'inputs', two or more", node.path, at="key", hint=hint)
            elif self.names.previous is None:
                text = "which input? there is no single node before this one"
                self.faults.add(text, node.path, at="key", hint=f"add inputs: one of {', '.join(self.inputs)}")
            return () if merges or self.names.previous is None else (self.names.previous,)
        written = node.beside["inputs"]
        names = as_list(written)
        if merges and len(names) < 2:
            self.faults.add(f"{kind} needs two or more inputs, got {len(names)}", node.inputs)
        elif not merges and len(names) != 1:
            hint = "join them first: concatenate, add ..." if names else None
            self.faults.add(f"{kind} takes one input, got {len(names)}", node.inputs, hint=hint)
        return self._tensors(written, node.inputs) if names else ()

    def _named_inputs(self, node: WrittenNode, layer: BaseLayer | None) -> tuple[str, ...]:
        """The tensors that a layer names itself; one that names none is called on the node before it."""
        if not isinstance(layer, NamingLayer):  # it cannot be read
            return ()
        if "inputs" in node.beside:
            text = f"{node.cls.component_name} names its inputs in its expression"
            self.faults.add(text, (*node.path, "inputs"), at="key", hint="take 'inputs' out")
            return ()
        faults_before = len(self.faults.found)
        for name in sorted(layer.numbers()):
            if self.names.knows(name):
                place = layer.place_of(name)
                fault = Fault(f"'{name}' is a number in an expression; call the node something else", span=place.span)
                self.faults.absorb(Invalid([fault]), (*node.path, *place.path))
        found = [self._named(node, layer, name) for name in layer.names() or (self._nearest_input(),)]
        return tuple(found) if len(self.faults.found) == faults_before else ()

    def _named(self, node: WrittenNode, layer: NamingLayer, name: str) -> str:
        try:
            return self.names.find(name)
        except Invalid as invalid:
            place = layer.place_of(name)
            faults = [replace(f, path=place.path, span=place.span) for f in invalid.faults]
            self.faults.absorb(Invalid(faults), node.path)
            return name

    def _nearest_input(self) -> str:
        """Of what a formula without names tells the size of the batch."""
        return self.names.previous or next(iter(self.inputs))

    def _tensors(self, written: Any, path: Path) -> tuple[str, ...]:
        """The tensors that one name, or a list of names, means here."""
        if not isinstance(written, list):
            found = [self._tensor(written, path)]
        else:
            found = [self._tensor(name, (*path, index)) for index, name in enumerate(written)]
        return tuple(name for name in found if name is not None)

    def _tensor(self, name: Any, path: Path) -> str | None:
        """The tensor that a name means here, or None after a fault."""
        try:
            return self.names.find(name)
        except Invalid as invalid:
            self.faults.absorb(invalid, path)
            return None

    def _call(self, node: WrittenNode) -> dict[str, CallValue]:
        call: dict[str, CallValue] = {}
        for key, argument in call_arguments(node.cls).items():
            if key not in node.beside:
                continue
            value, path = node.beside[key], (*node.path, key)
            if argument.kind == "bool":
                if isinstance(value, bool):
                    call[key] = value
                else:
                    self.faults.add(f"{key}: expected true or false, got {show(value)}", path)
            elif argument.kind == "tensor":
                tensor = self._tensor(value, path)
                if tensor is not None:
                    call[key] = tensor
            else:
                call[key] = self._tensors(value, path)
        return call

    def _results(
        self, layer: BaseLayer, name: str, node: WrittenNode, call: Mapping[str, CallValue]
    ) -> tuple[str, ...]:
        """A name for every result."""
        count = layer.results_of(call)
        if "outputs" not in node.beside:
            return (name, *("_" for _ in range((count or 1) - 1)))
        written, path = node.beside["outputs"], (*node.path, "outputs")
        names = as_list(written)
        if count is not None and len(names) != count:
            results = "1 result" if count == 1 else f"{count} results"
            hint = "name every result; '_' drops one" if count > 1 else None
            self.faults.add(f"'{name}' has {results}, 'outputs' names {len(names)}", path, hint=hint)
        elif all(output == "_" for output in names):
            self.faults.add(f"every result of '{name}' is dropped", path)
        for index, output in enumerate(names):
            where = (*path, index) if isinstance(written, list) else path
            if output in names[:index] and output != "_":
                self.faults.add(f"outputs: '{output}' is named twice", where)
            elif output not in {"_", name}:
                self._check_name(output, where)
        return tuple(map(str, names))

    def _spoil(self, entry: Any) -> None:
        """An entry that is no layer at all."""
        arguments = _only_item(entry)[1]
        name = arguments.get("name") if isinstance(arguments, dict) else None
        self.names.previous = name if isinstance(name, str) else "?"
        self.names.spoil([self.names.previous])

    # the whole

    def _outputs(self, section: dict[str, Any]) -> tuple[str, ...]:
        written = section.get("outputs")
        if written is None:
            return (self.names.previous,) if self.names.previous is not None else ()
        if written == []:
            self.faults.add("model.outputs: there is no output in it", ("outputs",))
        found = self._tensors(written, ("outputs",))
        if len(set(found)) < len(found):
            self.faults.add("model.outputs: a node is named twice", ("outputs",))
        return found

    def _check_use(self, outputs: tuple[str, ...]) -> None:
        """What leads nowhere is a mistake; of a chain that leads nowhere only its end is told."""
        used = {*outputs, *(name for node in self.nodes for name in node.used_names())}
        hint = f"use it below, or name it under model.outputs (now: {', '.join(outputs)})"
        for node in self.nodes:
            if node.outputs and not used.intersection(node.outputs):
                text = f"'{node.name}' leads to no output"
                self.faults.found.append(Fault(text, node.path, "key", hint=hint))
        for name, given in self.inputs.items():
            if name not in used:
                self.faults.found.append(Fault(f"input '{name}' is not used by the model", given.path, "key"))


def _only_item(entry: Any) -> tuple[Any, Any]:
    """The key and the value of a mapping of one key."""
    return next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else (None, None)
