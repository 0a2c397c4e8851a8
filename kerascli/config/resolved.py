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


def resolved_config(config: Config, specs: Sequence[RunSpec], folder: Path) -> dict[str, Any]:
    """Return the complete config to save in a run's `folder`, with every default, as data to write as YAML.

    `specs` has the RunSpec (parsed config) of each training phase. Paths are relative to `folder`.
    """
    plugins = {"plugins": [f"plugins/{code.path.name}" for code in config.plugins]} if config.plugins else {}
    phases: list[dict[str, Any]] = []
    for phase, spec in zip(config.phases, specs, strict=True):
        moved = {path: each.rebased(phase.init_folder(path), folder) for path, each in spec.weight_sources.items()}
        bases = {name: moved[base_path(name)] for name in spec.bases}
        data = phase.data and phase.data.rebased(phase.data_folder, folder).dump()
        phases.append(resolved(replace(spec, init_from=moved.get(INIT_FROM), bases=bases), data))
        if without_lora(spec.model, trainable=True) == without_lora(specs[0].model, trainable=True):
            phases[-1]["model"] = phases[0]["model"]  # what fit.trainable changes is not repeated
    return {**plugins, **folded(phases)}


def resolved(spec: RunSpec, data: Any) -> dict[str, Any]:
    """Return a RunSpec (parsed config) as a complete config with every default, as data to write as YAML.

    `data` is its data section, with paths relative to the new config.
    """
    out: dict[str, Any] = {"name": spec.name, "seed": spec.seed}
    if data is not None:
        out["data"] = data
    begin = {} if spec.init_from is None else {"init_from": spec.init_from.dump()}
    out["model"] = {**begin, **dump_model(spec.model)}
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


def _dump_update(update: UpdateSpec, each: ForwardPassSpec) -> dict[str, Any]:
    out: dict[str, Any] = {"name": update.name, "train": list(update.train), "optimizer": update.optimizer.dump()}
    if update.layers is not None:
        out["layers"] = _dump_entries(update.layers)
    if update.terms:
        out["loss"] = {term.name: _dump_term(term, each) for term in update.terms}
    if update.metrics:
        out["metrics"] = {j.name: {"metric": j.metric.dump(), **_dump_compared(j.of)} for j in update.metrics}
    return {**out, "repeat": each.repeat}


def _dump_term(term: LossTerm, each: ForwardPassSpec) -> dict[str, Any]:
    if term.loss is not None and term.of is not None:
        return {"loss": term.loss.dump(), **_dump_compared(term.of), "weight": term.weight}
    node = formulas(each)[term.node]
    return {"expr": _dump_entry(node)[node.layer.component_name]["value"], "weight": term.weight}


def _dump_compared(of: Comparison) -> dict[str, Any]:
    return {"y_true": (f"targets.{of.y_true}" if of.is_target else of.y_true), "y_pred": of.y_pred}


def dump_model(model: Model) -> dict[str, Any]:
    """Return a model as a `model` section of a config, as data to write as YAML; parsing it gives an equal model.

    Every node has its name and inputs; blocks and repeats (templates of layers) are expanded.
    """
    views = {"views": {name: _dump_view(view) for name, view in model.views.items()}} if model.views else {}
    if model.alone:
        shared = {each.name: _dump_shared(each) for each in model.shared}
        return {"shared": shared, "outputs": model.entries[0].name, **views}
    return {**_dump_inputs(model), **_dump_layers(model.entries, model.outputs, model.shared), **views}


def _dump_inputs(model: Model) -> dict[str, Any]:
    return {"inputs": {each.name: _dump_input(each.spec) for each in model.inputs}} if model.inputs else {}


def _dump_view(view: View) -> dict[str, Any]:
    own = {key: each for key, each in _dump_layers(view.entries, view.model.outputs, ()).items() if each}
    return {**(_dump_inputs(view.model) if view.own_inputs else {}), **own}


def _dump_layers(entries: Sequence[Entry], outputs: Sequence[str], shared: Sequence[Shared]) -> dict[str, Any]:
    own = {"shared": {each.name: _dump_shared(each) for each in shared}} if shared else {}
    return {**own, "layers": _dump_entries(entries), "outputs": list(outputs)}


def _dump_entries(entries: Sequence[Entry]) -> list[Any]:
    return [_dump_entry(entry) for entry in entries]


def _dump_shared(shared: Shared) -> Any:
    if shared.layer is not None:
        return shared.layer.dump()
    inputs = {name: spec and _dump_input(spec) for name, spec in shared.inputs.items()}
    named = {} if list(inputs) == ["input"] else {"inputs": inputs}
    frozen = {} if shared.trainable else {"trainable": False}
    return {**named, **_dump_layers(shared.entries, shared.outputs, shared.shared), **frozen}


def _dump_input(spec: TensorSpec) -> dict[str, Any]:
    return {"shape": list(spec.shape), "dtype": spec.dtype}


def _dump_entry(node: Entry) -> dict[str, Any]:
    if isinstance(node, Call):
        return {node.of.name: {"name": node.name, "inputs": list(node.inputs), **_dump_results(node)}}
    layer = node.layer
    entry: dict[str, Any] = {"name": node.name}
    if isinstance(layer, ExpressionLayer):
        layer = layer.renamed(dict(zip(layer.names(), node.inputs, strict=False)))
    elif node.inputs:
        entry["inputs"] = list(node.inputs)
    if isinstance(layer, CustomCellRNN):
        return {"rnn": {**_dump_custom_cell(layer, node), "name": node.name, **_dump_results(node)}}
    settings = {name: plain(getattr(layer, name)) for name in type(layer).model_fields}
    return {layer.component_name: {**settings, **entry, **_dump_results(node)}}


def _dump_custom_cell(layer: CustomCellRNN, node: Node) -> dict[str, Any]:
    cell = layer.cell
    sequences, constants, states_in = layer.split_inputs(node.inputs)
    states: dict[str, Any] = {}
    for each in cell.states:
        initial = {"initializer": plain(each.initializer), "trainable": each.trainable}
        states[each.name] = {"shape": list(each.shape), **initial}
    own = {} if cell.inputs == ("input",) else {"inputs": list(cell.inputs)}
    following = dict(zip(states, cell.next, strict=True))
    tensors = {
        "initial_state": dict(zip(layer.initial_states, states_in, strict=True)),
        "constants": dict(zip(cell.constants, constants, strict=True)),
    }
    settings = {name: getattr(layer, name) for name in layer.settings()}
    described = {**own, "states": states, **_dump_layers(cell.entries, cell.outputs, ()), "next": following}
    return {**settings, "inputs": list(sequences), **{k: v for k, v in tensors.items() if v}, "cell": described}


def _dump_results(entry: Entry) -> dict[str, Any]:
    """Return the keys of a node in a config other than its layer's arguments: names of outputs (unless default), call
    arguments."""
    plain_names = (entry.name, *("_" for _ in entry.outputs[1:]))
    named = {"outputs": list(entry.outputs)} if entry.outputs and entry.outputs != plain_names else {}
    call = {key: list(value) if isinstance(value, tuple) else value for key, value in entry.call.items()}
    return {**named, **call}
