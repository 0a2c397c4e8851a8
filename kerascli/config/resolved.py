"""Conversion of a run's parsed config, which is a RunSpec for each training phase, to a config with every default.

A config without `fit.phases` has one phase. Of several, the first is the config; the changes of the others are its
`fit.phases`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerascli.config.config import Config
from kerascli.config.run import RunSpec
from kerascli.config.sections.init_from import INIT_FROM, base_path
from kerascli.config.sections.phases import folded
from kerascli.config.sections.train_step import ForwardPassSpec, UpdateSpec, formulas
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import plain
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.metrics.comparisons import Comparison, LossTerm
from kerascli.model.freezing import without_lora
from kerascli.model.ir.inner_models import CustomCellRNN
from kerascli.model.ir.nodes import Call, Entry, Model, Node, Shared, View

Data = dict[str, Any]
"""Type of a part of a config, as data to write as YAML."""


def resolved_config(config: Config, specs: Sequence[RunSpec], folder: Path) -> Data:
    """Return the complete config to save in a run's `folder`, with every default, as data to write as YAML.

    `specs` has the RunSpec (parsed config) of each training phase. Paths are relative to `folder`.
    """
    plugins = {"plugins": [f"plugins/{code.path.name}" for code in config.plugins]} if config.plugins else {}
    phases: list[Data] = []
    for phase, spec in zip(config.phases, specs, strict=True):
        moved = {path: each.rebased(phase.init_folder(path), folder) for path, each in spec.weight_sources.items()}
        bases = {name: moved[base_path(name)] for name in spec.bases}
        data = phase.data and phase.data.rebased(phase.data_folder, folder).dump()
        phases.append(resolved(replace(spec, init_from=moved.get(INIT_FROM), bases=bases), data))
        if without_lora(spec.model, trainable=True) == without_lora(specs[0].model, trainable=True):
            phases[-1]["model"] = phases[0]["model"]  # what fit.trainable changes is not repeated
    return plugins | folded(phases)


def resolved(spec: RunSpec, data: Any) -> Data:
    """Return a RunSpec (parsed config) as a complete config with every default, as data to write as YAML.

    `data` is its data section, with paths relative to the new config.
    """
    out: Data = {"name": spec.name, "seed": spec.seed}
    if data is not None:
        out["data"] = data
    begin = {} if spec.init_from is None else {"init_from": spec.init_from.dump()}
    out["model"] = begin | dump_model(spec.model)
    for name, each in spec.bases.items():
        out["model"]["shared"][name]["init_from"] = each.dump()
    if spec.compile is not None:
        out["compile"] = spec.compile.dump()
    out["fit"] = spec.fit.dump()
    if spec.train_step is not None:
        out["compile"] = spec.train_step.compute.model_dump()
        passes = spec.train_step.passes
        out["fit"]["train_step"] = [_dump_update(update, each) for each in passes for update in each.updates]
    return out


def _present(data: Data) -> Data:
    """Return data without keys whose values are missing or empty, as their defaults are."""
    return {key: value for key, value in data.items() if value}


def _dump_update(update: UpdateSpec, each: ForwardPassSpec) -> Data:
    metrics = {use.name: {"metric": use.metric.dump(), **_dump_compared(use.of)} for use in update.metrics}
    return _present({
        "name": update.name, "train": list(update.train), "optimizer": update.optimizer.dump(),
        "layers": [_dump_entry(entry) for entry in update.layers or ()],
        "loss": {term.name: _dump_term(term, each) for term in update.terms},
        "metrics": metrics, "repeat": each.repeat,
    })  # fmt: skip


def _dump_term(term: LossTerm, each: ForwardPassSpec) -> Data:
    if term.loss is not None and term.of is not None:
        return {"loss": term.loss.dump(), **_dump_compared(term.of), "weight": term.weight}
    node = formulas(each)[term.node]
    return {"expr": _dump_entry(node)[node.layer.component_name]["value"], "weight": term.weight}


def _dump_compared(of: Comparison) -> Data:
    return {"y_true": (f"targets.{of.y_true}" if of.is_target else of.y_true), "y_pred": of.y_pred}


def dump_model(model: Model) -> Data:
    """Return a model as a `model` section of a config, as data to write as YAML; parsing it gives an equal model.

    Every node has its name and inputs; blocks and repeats (templates of layers) are expanded.
    """
    views = {name: _dump_view(view) for name, view in model.views.items()}
    if model.alone:
        shared = {each.name: _dump_shared(each) for each in model.shared}
        return _present({"shared": shared, "outputs": model.entries[0].name, "views": views})
    layers = _dump_layers(model.entries, model.outputs, model.shared)
    return _present({"inputs": _dump_inputs(model), **layers, "views": views})


def _dump_inputs(model: Model) -> Data:
    return {each.name: _dump_input(each.spec) for each in model.inputs}


def _dump_view(view: View) -> Data:
    layers = _dump_layers(view.entries, view.model.outputs, ())
    return _present({"inputs": view.own_inputs and _dump_inputs(view.model), **layers})


def _dump_layers(entries: Sequence[Entry], outputs: Sequence[str], shared: Sequence[Shared]) -> Data:
    own = {each.name: _dump_shared(each) for each in shared}
    return {"shared": own, "layers": [_dump_entry(entry) for entry in entries], "outputs": list(outputs)}


def _dump_shared(shared: Shared) -> Any:
    if shared.layer is not None:
        return shared.layer.dump()
    inputs = {name: spec and _dump_input(spec) for name, spec in shared.inputs.items()}
    layers = _dump_layers(shared.entries, shared.outputs, shared.shared)
    frozen = {} if shared.trainable else {"trainable": False}
    return _present({"inputs": list(inputs) != ["input"] and inputs, **layers}) | frozen


def _dump_input(spec: TensorSpec) -> Data:
    return {"shape": list(spec.shape), "dtype": spec.dtype}


def _dump_entry(node: Entry) -> Data:
    if isinstance(node, Call):
        return {node.of.name: {"name": node.name, "inputs": list(node.inputs), **_dump_results(node)}}
    layer = node.layer
    entry: Data = {"name": node.name}
    if isinstance(layer, ExpressionLayer):
        layer = layer.renamed(dict(zip(layer.names(), node.inputs, strict=False)))
    elif node.inputs:
        entry["inputs"] = list(node.inputs)
    if isinstance(layer, CustomCellRNN):
        return {"rnn": {**_dump_custom_cell(layer, node), "name": node.name, **_dump_results(node)}}
    settings = {name: plain(getattr(layer, name)) for name in type(layer).model_fields}
    return {layer.component_name: {**settings, **entry, **_dump_results(node)}}


def _dump_custom_cell(layer: CustomCellRNN, node: Node) -> Data:
    cell = layer.cell
    sequences, constants, states_in = layer.split_inputs(node.inputs)
    states: Data = {}
    for each in cell.states:
        own = {"initializer": plain(each.initializer), "trainable": each.trainable}
        states[each.name] = {"shape": list(each.shape), **own}
    inputs = cell.inputs != ("input",) and list(cell.inputs)
    layers = _dump_layers(cell.entries, cell.outputs, ())
    following = dict(zip(states, cell.next, strict=True))
    initial = dict(zip(layer.initial_states, states_in, strict=True))
    tensors = {"initial_state": initial, "constants": dict(zip(cell.constants, constants, strict=True))}
    settings = {name: getattr(layer, name) for name in layer.settings()}
    described = _present({"inputs": inputs, "states": states, **layers, "next": following})
    return {**settings, "inputs": list(sequences), **_present(tensors), "cell": described}


def _dump_results(entry: Entry) -> Data:
    """Return the keys of a node in a config other than its layer's arguments: names of outputs (unless default), call
    arguments."""
    plain_names = (entry.name, *("_" for _ in entry.outputs[1:]))
    named = {"outputs": list(entry.outputs)} if entry.outputs and entry.outputs != plain_names else {}
    call = {key: list(value) if isinstance(value, tuple) else value for key, value in entry.call.items()}
    return named | call
