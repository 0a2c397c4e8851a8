"""A whole run, described: frozen, and written out as a complete config."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kerascli.component import plain
from kerascli.data.spec import DataSpec
from kerascli.graph.build import Built
from kerascli.graph.cells import DescribedRNN
from kerascli.graph.model import Call, Entry, Model, Node, Shared
from kerascli.layers.base import NamingLayer
from kerascli.shapes import TensorSpec
from kerascli.spec.compile import CompileSpec
from kerascli.spec.fit import FitSpec


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What was asked for, complete. `built` is the model on the meta device."""

    name: str
    seed: int
    data: DataSpec | None
    model: Model
    built: Built
    compile: CompileSpec | None
    fit: FitSpec

    def log_names(self) -> dict[str, Any]:
        """Every figure that an epoch logs, and which way it is better."""
        assert self.compile is not None
        names = dict(self.compile.log_names())
        if self.fit.validates():
            names.update({f"val_{name}": way for name, way in self.compile.log_names().items()})
        return names


def resolved(spec: RunSpec, data: Any) -> dict[str, Any]:
    """The run as a complete config: every default written out. `data` is the data section with its paths rebased."""
    out: dict[str, Any] = {"name": spec.name, "seed": spec.seed}
    if data is not None:
        out["data"] = data
    out["model"] = dump_model(spec.model)
    if spec.compile is not None:
        out["compile"] = spec.compile.dump()
    out["fit"] = spec.fit.dump()
    return out


def dump_model(model: Model) -> dict[str, Any]:
    """A model section that reads back as an equal model; every name and input is written, no block and no repeat."""
    inputs = {given.name: _dump_input(given.spec) for given in model.inputs}
    return {"inputs": inputs, **_dump_layers(model.entries, model.outputs, model.shared)}


def _dump_layers(entries: Sequence[Entry], outputs: Sequence[str], shared: Sequence[Shared]) -> dict[str, Any]:
    own = {"shared": {each.name: _dump_shared(each) for each in shared}} if shared else {}
    layers = [_dump_call(entry) if isinstance(entry, Call) else _dump_node(entry) for entry in entries]
    return {**own, "layers": layers, "outputs": list(outputs)}


def _dump_shared(shared: Shared) -> Any:
    if shared.layer is not None:
        return shared.layer.dump()
    named = {} if list(shared.inputs) == ["input"] else {
        "inputs": {name: spec and _dump_input(spec) for name, spec in shared.inputs.items()}
    }  # fmt: skip
    frozen = {} if shared.trainable else {"trainable": False}
    return {**named, **_dump_layers(shared.entries, shared.outputs, shared.shared), **frozen}


def _dump_input(spec: TensorSpec) -> dict[str, Any]:
    return {"shape": list(spec.shape), "dtype": spec.dtype}


def _dump_node(node: Node) -> dict[str, Any]:
    layer = node.layer
    entry: dict[str, Any] = {"name": node.name}
    if isinstance(layer, NamingLayer):
        layer = layer.renamed(dict(zip(layer.names(), node.inputs, strict=False)))
    else:
        entry["inputs"] = list(node.inputs)
    if isinstance(layer, DescribedRNN):
        return {"rnn": {**_dump_described(layer, node), "name": node.name, **_dump_results(node)}}
    settings = {name: plain(getattr(layer, name)) for name in type(layer).model_fields}
    return {layer.component_name: {**settings, **entry, **_dump_results(node)}}


def _dump_described(layer: DescribedRNN, node: Node) -> dict[str, Any]:
    cell = layer.cell
    sequences, constants, given = layer.parted(node.inputs)
    states = {
        state.name: {
            "shape": list(state.shape), "initializer": plain(state.initializer), "trainable": state.trainable,
        } for state in cell.states
    }  # fmt: skip
    own = {} if cell.inputs == ("input",) else {"inputs": list(cell.inputs)}
    following = dict(zip(states, cell.next, strict=True))
    tensors = {
        "initial_state": dict(zip(layer.given, given, strict=True)),
        "constants": dict(zip(cell.constants, constants, strict=True)),
    }
    settings = {name: getattr(layer, name) for name in type(layer).model_fields if name not in {"cell", "given"}}
    described = {**own, "states": states, **_dump_layers(cell.entries, cell.outputs, ()), "next": following}
    return {**settings, "inputs": list(sequences), **{k: v for k, v in tensors.items() if v}, "cell": described}


def _dump_call(call: Call) -> dict[str, Any]:
    return {call.of.name: {"name": call.name, "inputs": list(call.inputs), **_dump_results(call)}}


def _dump_results(entry: Entry) -> dict[str, Any]:
    """The names of results, where they do not follow from the entry's, and call arguments."""
    plain_names = (entry.name, *("_" for _ in entry.outputs[1:]))
    named = {"outputs": list(entry.outputs)} if entry.outputs and entry.outputs != plain_names else {}
    call = {key: list(value) if isinstance(value, tuple) else value for key, value in entry.call.items()}
    return {**named, **call}
