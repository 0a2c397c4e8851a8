"""RunSpec, the complete, frozen description of a run, and its dump as a complete config."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kerascli.config.config import Config
from kerascli.config.sections.compile import CompileSpec
from kerascli.config.sections.fit import FitSpec
from kerascli.config.sections.init_from import InitFrom
from kerascli.config.sections.phases import folded
from kerascli.config.sections.train_step import ForwardPassSpec, TrainStepSpec, UpdateSpec, formulas
from kerascli.data.base import Field
from kerascli.data.section import DataSpec
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import plain
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.losses.base import Loss
from kerascli.metrics.base import Metric
from kerascli.metrics.comparisons import Comparison, LossTerm, OutputTarget
from kerascli.model.ir.inner_models import CustomCellRNN
from kerascli.model.ir.nodes import Call, Entry, Model, Node, Shared, View
from kerascli.model.runtime.built import Built


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Complete description of a run: all sections, parsed; `built` is the model's modules on the meta device."""

    name: str
    seed: int
    data: DataSpec | None
    model: Model
    built: Built
    compile: CompileSpec | None
    fit: FitSpec
    train_step: TrainStepSpec | None = None
    """The `fit.train_step` section, in place of the optimizer and losses of `compile`."""
    init_from: InitFrom | None = None
    inputs: Mapping[str, Field] = field(default_factory=dict, compare=False)
    targets: Mapping[str, Field] | None = field(default=None, compare=False)
    """Fields (shape, dtype, classes) of the data's targets by name, for which the config was parsed; None: they are
    unknown."""
    unknown: tuple[str, ...] = field(default=(), compare=False)
    """References to the data (`$inputs.x.shape`), with their positions in the config, that have no value because the
    data was not read."""

    @property
    def training(self) -> CompileSpec | TrainStepSpec | None:
        """Section with optimizers, losses and metrics: `train_step`, else `compile`; None if the model is not
        trained."""
        return self.compile if self.train_step is None else self.train_step

    @property
    def pairs(self) -> tuple[OutputTarget, ...]:
        """Pairs of output and target that the `compile` section compares; () without that section."""
        return self.compile.pairs if self.compile is not None else ()

    @property
    def graphs(self) -> list[Built]:
        """Graphs, with modules, of the model and of each forward pass of a `train_step`."""
        return [self.built, *(each.built for each in (self.train_step.passes if self.train_step is not None else ()))]

    def compared(self) -> Iterator[tuple[str, Loss | Metric, TensorSpec]]:
        """Yield (target, loss or metric, spec (shape, dtype) of the output compared with the target) for all losses and
        metrics."""
        for pair in self.pairs:
            for component in (pair.loss, *(use.metric for use in pair.metrics)):
                if component is not None:
                    yield pair.target, component, self.built.specs[pair.output]
        for each in self.train_step.passes if self.train_step is not None else ():
            for update in each.updates:
                pairs = [*((t.loss, t.of) for t in update.terms), *((m.metric, m.of) for m in update.metrics)]
                for component, of in pairs:
                    if component is not None and of is not None and of.is_target:
                        yield str(of.y_true), component, each.built.specs[of.y_pred]

    def log_names(self) -> dict[str, Any]:
        """Return a mapping from each name that an epoch logs (`loss`, `val_loss` ...) to the direction of improvement,
        `min` or `max`."""
        assert self.training is not None
        names = self.training.log_names()
        return names | ({f"val_{name}": way for name, way in names.items()} if self.fit.validates() else {})

    def several(self) -> dict[str, tuple[str, ...]]:
        """Return a mapping from each metric with several values to the names of its columns in history.csv."""
        assert self.training is not None
        names = self.training.several()
        validated = {f"val_{name}": tuple(f"val_{each}" for each in columns) for name, columns in names.items()}
        return names | (validated if self.fit.validates() else {})


def resolved_config(config: Config, specs: Sequence[RunSpec], folder: Path) -> dict[str, Any]:
    """Return the complete config to save in a run's `folder`: every default is included, paths are relative to it.

    `specs` are the RunSpecs (parsed configs) of the phases.
    """
    plugins = {"plugins": [f"plugins/{code.path.name}" for code in config.plugins]} if config.plugins else {}
    phases: list[dict[str, Any]] = []
    for phase, spec in zip(config.phases, specs, strict=True):
        begin = spec.init_from and spec.init_from.rebased(phase.init_folder, folder)
        data = phase.data and phase.data.rebased(phase.data_folder, folder).dump()
        phases.append(resolved(replace(spec, init_from=begin), data))
    return {**plugins, **folded(phases)}


def resolved(spec: RunSpec, data: Any) -> dict[str, Any]:
    """Return a RunSpec (parsed config) as a complete config, with every default; `data` is its data section, with paths
    relative to the new config."""
    out: dict[str, Any] = {"name": spec.name, "seed": spec.seed}
    if data is not None:
        out["data"] = data
    begin = {} if spec.init_from is None else {"init_from": spec.init_from.dump()}
    out["model"] = {**begin, **dump_model(spec.model)}
    if spec.compile is not None:
        out["compile"] = spec.compile.dump()
    out["fit"] = spec.fit.dump()
    if spec.train_step is not None:
        out["compile"] = spec.train_step.dump_compile()
        out["fit"]["train_step"] = dump_train_step(spec.train_step)
    return out


def dump_train_step(train_step: TrainStepSpec) -> list[dict[str, Any]]:
    """Return `fit.train_step` as data to write as YAML, with every default; parsing this data gives equal updates."""
    return [_dump_update(update, each) for each in train_step.passes for update in each.updates]


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
    return {"expr": _dump_node(node)[node.layer.component_name]["value"], "weight": term.weight}


def _dump_compared(of: Comparison) -> dict[str, Any]:
    y_true = f"targets.{of.y_true}" if of.is_target else of.y_true
    return {"y_true": y_true, "y_pred": of.y_pred}


def dump_model(model: Model) -> dict[str, Any]:
    """Return a model as a `model` section, as data to write as YAML; parsing it gives an equal model.

    Every node has its name and inputs; blocks and repeats are expanded.
    """
    views = {"views": {name: _dump_view(view) for name, view in model.views.items()}} if model.views else {}
    if model.alone:
        shared = {each.name: _dump_shared(each) for each in model.shared}
        return {"shared": shared, "outputs": model.entries[0].name, **views}
    return {**_dump_inputs(model), **_dump_layers(model.entries, model.outputs, model.shared), **views}


def _dump_inputs(model: Model) -> dict[str, Any]:
    return {"inputs": {each.name: _dump_input(each.spec) for each in model.inputs}}


def _dump_view(view: View) -> dict[str, Any]:
    out = _dump_layers(view.entries, view.model.outputs, ())
    if not out["layers"]:
        del out["layers"]
    return {**(_dump_inputs(view.model) if view.own_inputs else {}), **out}


def _dump_layers(entries: Sequence[Entry], outputs: Sequence[str], shared: Sequence[Shared]) -> dict[str, Any]:
    own = {"shared": {each.name: _dump_shared(each) for each in shared}} if shared else {}
    return {**own, "layers": _dump_entries(entries), "outputs": list(outputs)}


def _dump_entries(entries: Sequence[Entry]) -> list[Any]:
    return [_dump_call(entry) if isinstance(entry, Call) else _dump_node(entry) for entry in entries]


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
    states = {
        state.name: {
            "shape": list(state.shape), "initializer": plain(state.initializer), "trainable": state.trainable,
        } for state in cell.states
    }  # fmt: skip
    own = {} if cell.inputs == ("input",) else {"inputs": list(cell.inputs)}
    following = dict(zip(states, cell.next, strict=True))
    tensors = {
        "initial_state": dict(zip(layer.initial_states, states_in, strict=True)),
        "constants": dict(zip(cell.constants, constants, strict=True)),
    }
    settings = {name: getattr(layer, name) for name in layer.settings()}
    described = {**own, "states": states, **_dump_layers(cell.entries, cell.outputs, ()), "next": following}
    return {**settings, "inputs": list(sequences), **{k: v for k, v in tensors.items() if v}, "cell": described}


def _dump_call(call: Call) -> dict[str, Any]:
    return {call.of.name: {"name": call.name, "inputs": list(call.inputs), **_dump_results(call)}}


def _dump_results(entry: Entry) -> dict[str, Any]:
    """Return the keys of a node in a config other than its layer's arguments: names of outputs (unless default), call
    arguments."""
    plain_names = (entry.name, *("_" for _ in entry.outputs[1:]))
    named = {"outputs": list(entry.outputs)} if entry.outputs and entry.outputs != plain_names else {}
    call = {key: list(value) if isinstance(value, tuple) else value for key, value in entry.call.items()}
    return {**named, **call}
