"""The `model:` section as written -> a Model, or every fault that the section has."""

import re
from collections.abc import Mapping
from typing import Any

from kerascli.component import Invalid, arguments_of, split_form
from kerascli.errors import Fault, Path, nearest, show, suggestion
from kerascli.graph.model import RESERVED, CallValue, Input, Model, Node
from kerascli.layers.base import LAYERS, BaseLayer, CallArgument, MergeLayer
from kerascli.shapes import TensorSpec

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SECTIONS = ("inputs", "layers", "outputs")
_NODE_KEYS = ("name", "inputs", "outputs", "when")
_ANY_LAYER: Mapping[str, CallArgument] = {
    "training": CallArgument("bool", "true or false: run as in training, or as in inference, whatever goes on"),
}
_MASK = {"mask": CallArgument("tensor", "a tensor (batch, time): nonzero steps count, the others are skipped")}
MAX_NODES = 10_000


def parse_model(section: Any, data_inputs: Mapping[str, TensorSpec], path: Path = ("model",)) -> Model:
    """Read a model section; `data_inputs` gives inputs where the section declares none. Raises Invalid."""
    if not isinstance(section, dict):
        raise Invalid([Fault(f"model: expected a mapping with 'layers', got {show(section)}", path)])
    return _Parser(path).read(section, data_inputs)


class _Parser:
    """Reads one section, collecting faults; the scope grows from top to bottom."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[Fault] = []
        self.inputs: dict[str, Input] = {}
        self.nodes: list[Node] = []
        self.scope: dict[str, str] = {}
        """What a name means: itself, or for a node that `when` left out, the tensor it passes on."""
        self.places: dict[str, Path] = {}
        self.broken: set[str] = set()
        """Names of nodes that could not be read: using one is no further fault."""
        self.previous: str | None = None
        self.later: dict[str, Path] = {}

    def read(self, section: dict[str, Any], data_inputs: Mapping[str, TensorSpec]) -> Model:
        for key in section:
            if key not in _SECTIONS:
                text = f"unknown key '{key}' in model{suggestion(str(key), _SECTIONS)}"
                self.fault(text, (key,), at="key")
        layers = section.get("layers")
        if not isinstance(layers, list) or not layers:
            what = "a list ('- dense: ...')"
            got = f"got {show(layers)}" if layers or isinstance(layers, dict) else "and there is none"
            self.fault(f"model.layers: expected {what}, {got}", ("layers",) if "layers" in section else ())
            raise Invalid(self.faults)
        if len(layers) > MAX_NODES:
            self.fault(f"model.layers: {len(layers)} layers; at most {MAX_NODES}", ("layers",))
            raise Invalid(self.faults)
        self._read_inputs(section.get("inputs"), layers, data_inputs)
        self._names_below(layers)
        for index, entry in enumerate(layers):
            try:
                self._read_node(entry, ("layers", index))
            except Invalid as invalid:
                self.faults += invalid.below((*self.path, "layers", index)).faults
                self._mark_broken(entry)
        outputs = self._read_outputs(section.get("outputs"))
        if not self.faults:
            self._check_use(outputs)
        if self.faults:
            raise Invalid(self.faults)
        return Model(tuple(self.inputs.values()), tuple(self.nodes), outputs)

    def fault(self, text: str, path: Path, *, at: Any = "value", hint: str | None = None) -> None:
        self.faults.append(Fault(text, (*self.path, *path), at, hint=hint))

    # inputs

    def _read_inputs(self, declared: Any, layers: list[Any], data_inputs: Mapping[str, TensorSpec]) -> None:
        if declared is None:
            specs = dict(data_inputs)
            written = _first_shape(layers)
            if written is not None:
                specs = self._with_first_shape(specs, written)
            for name, spec in specs.items():
                self._add_input(name, spec, ("inputs",))
            if not specs:
                hint = "add input_shape to the first layer, or model.inputs"
                self.fault("the shape of the model's input is not known", ("layers", 0), hint=hint)
        elif isinstance(declared, dict) and declared:
            for name, value in declared.items():
                spec = self._read_input(str(name), value, data_inputs.get(str(name)))
                if spec is not None:
                    self._check_name(str(name), ("inputs", name), "key")
                    self._add_input(str(name), spec, ("inputs", name))
        else:
            self.fault(f"model.inputs: expected a mapping of names to shapes, got {show(declared)}", ("inputs",))
        if len(self.inputs) == 1:
            self.previous = next(iter(self.inputs))

    def _with_first_shape(self, specs: dict[str, TensorSpec], written: Any) -> dict[str, TensorSpec]:
        """`input_shape` on the first layer makes the input, or is checked against the data."""
        first = self._first_path()
        shape = _shape(written)
        if shape is None:
            self.fault(f"input_shape: expected a list of sizes such as [784], got {show(written)}", first)
            return specs
        if not specs:
            return {"x": TensorSpec(shape)}
        if len(specs) > 1:
            self.fault("input_shape: the data has several inputs; declare them under model.inputs", first)
            return specs
        ((name, spec),) = specs.items()
        if not _fits(shape, spec.shape):
            text = f"input_shape says {_bare(shape)}, the data gives {_bare(spec.shape)} for input '{name}'"
            self.fault(text, first)
        return specs

    def _first_path(self) -> Path:
        return ("layers", 0)

    def _read_input(self, name: str, value: Any, data: TensorSpec | None) -> TensorSpec | None:
        path: Path = ("inputs", name)
        dtype = data.dtype if data is not None else "float32"
        if isinstance(value, dict):
            for key in value:
                if key not in {"shape", "dtype"}:
                    self.fault(f"unknown key '{key}' in input '{name}'{suggestion(str(key), ('shape', 'dtype'))}",
                               (*path, key), at="key")  # fmt: skip
            dtype = value.get("dtype", dtype)
            value = value.get("shape")
        shape = _shape(value)
        if shape is None:
            self.fault(f"input '{name}': expected a shape such as [28, 28, 1], got {show(value)}", path)
            return None
        if dtype not in {"float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"}:
            self.fault(f"input '{name}': dtype: expected float32, int64 ..., got {show(dtype)}", (*path, "dtype"))
            return None
        if data is not None and not _fits(shape, data.shape):
            text = f"input '{name}' is declared {_bare(shape)}, the data gives {_bare(data.shape)}"
            self.fault(text, path)
        return TensorSpec(shape, dtype)

    def _add_input(self, name: str, spec: TensorSpec, path: Path) -> None:
        self.inputs[name] = Input(name, spec, (*self.path, *path))
        self.scope[name] = name
        self.places[name] = (*self.path, *path)

    # nodes

    def _names_below(self, layers: list[Any]) -> None:
        """Names that are given somewhere, so that using one too early can be told from a misspelling."""
        for index, entry in enumerate(layers):
            arguments = next(iter(entry.values())) if isinstance(entry, dict) and len(entry) == 1 else None
            if isinstance(arguments, dict):
                for name in [arguments.get("name"), *_as_list(arguments.get("outputs"))]:
                    if isinstance(name, str):
                        self.later.setdefault(name, ("layers", index))

    def _read_node(self, entry: Any, path: Path) -> None:
        written, arguments = split_form(entry, "layer")
        cls = LAYERS.get(written, () if isinstance(entry, str) else (written,))
        assert issubclass(cls, BaseLayer)
        if issubclass(cls, MergeLayer) and isinstance(arguments, (list, str)) and not isinstance(entry, str):
            arguments = {"inputs": arguments}
        beside: dict[str, Any] = {}
        if isinstance(arguments, dict):
            calls = _call_arguments(cls)
            kept = {*_NODE_KEYS, *(name for name in calls if name not in cls.model_fields)}
            if not self.nodes:
                kept.add("input_shape")
            beside = {key: value for key, value in arguments.items() if key in kept}
            arguments = {key: value for key, value in arguments.items() if key not in beside}
        below = (*path, written)
        faults_before = len(self.faults)
        name = self._node_name(cls, beside, below)
        inputs = self._node_inputs(cls, beside, below)
        call = self._call(cls, beside, below)
        try:
            layer = self._settings(cls, written, arguments)
        except Invalid as invalid:
            self.faults += invalid.below((*self.path, *path)).faults
            layer = None
        if layer is None or len(self.faults) > faults_before:
            self.broken |= {name, *(o for o in _as_list(beside.get("outputs")) if isinstance(o, str))}
            self.previous = name
            return
        if not self._wanted(beside, below):
            self.scope[name] = inputs[0]
            self.previous = inputs[0]
            return
        outputs = self._node_outputs(layer, name, beside, below)
        for output in outputs:
            if output != "_":
                self.scope[output] = output
                self.places[output] = (*self.path, *below)
        self.nodes.append(Node(name, layer, inputs, outputs, call, (*self.path, *below)))
        self.previous = next((output for output in outputs if output != "_"), None)

    def _settings(self, cls: type[BaseLayer], written: str, arguments: Any) -> BaseLayer:
        if arguments == {}:
            return LAYERS.construct(cls, written, {})
        settings, _ = arguments_of(cls, written, arguments)
        return LAYERS.construct(cls, written, settings)

    def _wanted(self, beside: dict[str, Any], path: Path) -> bool:
        wanted = beside.get("when", True)
        if not isinstance(wanted, bool):
            self.fault(f"when: expected true or false, got {show(wanted)}", (*path, "when"))
        return wanted is not False

    def _node_name(self, cls: type[BaseLayer], beside: dict[str, Any], path: Path) -> str:
        name = beside.get("name")
        if name is not None:
            if not isinstance(name, str):
                self.fault(f"name: expected text, got {show(name)}", (*path, "name"))
            elif name == cls.component_name or self._check_name(name, (*path, "name")):
                return name
        base, number = cls.component_name, 0
        taken = {*self.scope, *self.broken, *self.later, *(node.name for node in self.nodes)}
        while (candidate := f"{base}_{number}" if number else base) in taken:
            number += 1
        return candidate

    def _check_name(self, name: str, path: Path, at: Any = "value") -> bool:
        if not _NAME.match(name):
            self.fault(f"'{name}' is not a name: letters, digits and _ only, no digit first", path, at=at)
        elif name in RESERVED:
            self.fault(f"'{name}' is reserved; choose another name", path, at=at)
        elif LAYERS.find(name) is not None:
            self.fault(f"'{name}' is the name of a layer; choose another name", path, at=at)
        elif name in self.places:
            self.fault(f"there is a node '{name}' already", path, at=at)
        else:
            return True
        return False

    def _node_inputs(self, cls: type[BaseLayer], beside: dict[str, Any], path: Path) -> tuple[str, ...]:
        if "inputs" not in beside:
            if self.previous is None:
                names = ", ".join(self.inputs)
                self.fault("which input? the model has several", path, at="key", hint=f"add inputs: one of {names}")
                return ()
            if issubclass(cls, MergeLayer):
                self.fault(f"{cls.component_name} needs 'inputs', two or more", path, at="key",
                           hint=f"{cls.component_name}: [a, b] with the names of nodes above")  # fmt: skip
                return ()
            return (self.previous,)
        written = beside["inputs"]
        names = _as_list(written)
        found = [self._tensor(name, (*path, "inputs", *((i,) if isinstance(written, list) else ())))
                 for i, name in enumerate(names)]  # fmt: skip
        if issubclass(cls, MergeLayer):
            if len(names) < 2:
                self.fault(f"{cls.component_name} needs two or more inputs, got {len(names)}", (*path, "inputs"))
        elif len(names) != 1:
            hint = "join them first: concatenate, add ..."
            self.fault(f"{cls.component_name} takes one input, got {len(names)}", (*path, "inputs"), hint=hint)
        return tuple(name for name in found if name is not None)

    def _tensor(self, name: Any, path: Path) -> str | None:
        """The tensor that a name means here, or None after a fault."""
        if not isinstance(name, str):
            self.fault(f"expected the name of a node, got {show(name)}", path)
            return None
        if name == "prev" and self.previous is not None:
            return self.scope.get(self.previous, self.previous)
        if name in self.scope:
            return self.scope[name]
        if name in self.broken:
            return name
        if name in self.later:
            self.fault(f"'{name}' is defined further down; a node may be used only below its definition", path)
            return None
        known = [*self.scope]
        hint = None if nearest(name, known) or not known else f"known here: {', '.join(known[-8:])}"
        self.fault(f"there is no node '{name}'{suggestion(name, known)}", path, hint=hint)
        return None

    def _call(self, cls: type[BaseLayer], beside: dict[str, Any], path: Path) -> dict[str, CallValue]:
        call: dict[str, CallValue] = {}
        for key, argument in _call_arguments(cls).items():
            if key not in beside:
                continue
            value, where = beside[key], (*path, key)
            if argument.kind == "bool":
                if isinstance(value, bool):
                    call[key] = value
                else:
                    self.fault(f"{key}: expected true or false, got {show(value)}", where)
            elif argument.kind == "tensor":
                tensor = self._tensor(value, where)
                if tensor is not None:
                    call[key] = tensor
            else:
                tensors = [self._tensor(name, where) for name in _as_list(value)]
                call[key] = tuple(tensor for tensor in tensors if tensor is not None)
        return call

    def _node_outputs(self, layer: BaseLayer, name: str, beside: dict[str, Any], path: Path) -> tuple[str, ...]:
        count = layer.result_count()
        if "outputs" not in beside:
            return (name, *("_" for _ in range(count - 1)))
        outputs = _as_list(beside["outputs"])
        if len(outputs) != count:
            self.fault(f"{layer.component_name} has {count} result(s) here, 'outputs' names {len(outputs)}",
                       (*path, "outputs"))  # fmt: skip
        for index, output in enumerate(outputs):
            if output != "_":
                if isinstance(output, str):
                    self._check_name(output, (*path, "outputs", index))
                else:
                    self.fault(f"expected a name, got {show(output)}", (*path, "outputs", index))
        return tuple(str(output) for output in outputs)

    def _mark_broken(self, entry: Any) -> None:
        arguments = next(iter(entry.values())) if isinstance(entry, dict) and len(entry) == 1 else None
        name = arguments.get("name") if isinstance(arguments, dict) else None
        self.previous = name if isinstance(name, str) else "?"
        self.broken.add(self.previous)
        self.scope.setdefault("?", "?")

    # the whole

    def _read_outputs(self, written: Any) -> tuple[str, ...]:
        if written is None:
            return (self.previous,) if self.previous is not None else ()
        found = []
        for index, name in enumerate(_as_list(written)):
            path = ("outputs", index) if isinstance(written, list) else ("outputs",)
            found.append(self._tensor(name, path))
        if len(set(found)) < len(found):
            self.fault("model.outputs: a node is named twice", ("outputs",))
        return tuple(name for name in found if name is not None)

    def _check_use(self, outputs: tuple[str, ...]) -> None:
        """What leads nowhere is a mistake."""
        needed = set(outputs)
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.used_names())
            else:
                where = node.path[len(self.path) :]
                self.fault(f"'{node.name}' leads to no output", where, at="key",
                           hint=f"use it below, or name it under model.outputs (now: {', '.join(outputs)})")  # fmt: skip
        for name, declared in self.inputs.items():
            if name not in needed:
                self.fault(f"input '{name}' is not used by the model", declared.path[len(self.path) :], at="key")


def _call_arguments(cls: type[BaseLayer]) -> dict[str, CallArgument]:
    return {**_ANY_LAYER, **(_MASK if cls.uses_mask else {}), **cls.call_arguments}


def _first_shape(layers: list[Any]) -> Any:
    first = layers[0]
    arguments = next(iter(first.values())) if isinstance(first, dict) and len(first) == 1 else None
    return arguments.get("input_shape") if isinstance(arguments, dict) else None


def _shape(value: Any) -> tuple[int | None, ...] | None:
    if not isinstance(value, list):
        return None
    sizes = [size for size in value if size is None or (type(size) is int and size > 0)]
    return tuple(sizes) if len(sizes) == len(value) else None


def _fits(declared: tuple[int | None, ...], given: tuple[int | None, ...]) -> bool:
    same_rank = len(declared) == len(given)
    return same_rank and all(None in (a, b) or a == b for a, b in zip(declared, given, strict=True))


def _bare(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("null" if size is None else str(size) for size in shape) + "]"


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
