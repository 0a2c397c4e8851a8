"""Build a PyTorch model with its losses, metrics and optimizers from a RunSpec (the parsed config)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from kerascli.config.run import RunSpec
from kerascli.config.sections.compile import CompileSpec
from kerascli.config.sections.train_step import TrainStepSpec
from kerascli.data.base import Field
from kerascli.data.pipeline.pipeline import Stage
from kerascli.data.pipeline.prepare import Stages
from kerascli.foundation.device import prepare_device
from kerascli.layers.lora import LowRankModule
from kerascli.metrics.comparisons import Comparison, LossTerm, OutputTarget, UpdateMetric
from kerascli.model.freezing import without_lora
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import Weight, materialize
from kerascli.optimizers.adaptive import RMSprop
from kerascli.training.forward_pass import ForwardPass, ParameterUpdate
from kerascli.training.objectives.objective import Objective, PassObjective
from kerascli.training.objectives.train_step import AllPasses, BatchStages, GraphStep


@dataclass(slots=True)
class Experiment:
    """Model on its device with all that training and evaluation need: losses, metrics, optimizers, forward passes."""

    spec: RunSpec
    """Parsed config."""
    graph: Graph
    """Module of the model alone."""
    module: GraphStep
    """Module that predicts with the model, and computes its losses and metrics."""
    forward_passes: tuple[ForwardPass[GraphStep], ...]
    """Forward passes of a training step; if the config has no `fit.train_step`, only the forward pass of `module`."""
    weights: list[Weight]
    """Weights of the model and, with `fit.train_step`, of what only its forward passes use; each weight once."""
    device: torch.device

    def view(self, name: str) -> "Experiment":
        """Return the view `name` of the model (a submodel that shares its weights) as an Experiment, ready to run.

        The view's inputs are preprocessed like the model's, unless it declares its own. The Experiment has no targets
        and no losses.
        """
        built, view = self.spec.built.views[name], self.spec.model.views[name]
        spec = replace(self.spec, model=view.model, built=built, compile=None, train_step=None)
        graph = Graph(built)
        weights = graph.weights()
        stage = Stage({}) if view.own_inputs else self.module.input_stage
        objective = Objective(["loss"], (), (), weights).to(self.device)
        module = GraphStep(graph, objective, (stage, self.module.target_stage), self.module.precision)
        return Experiment(spec, graph, module, (), weights, self.device)


def with_merged_lora(experiment: Experiment) -> Experiment:
    """Return a model without LoRA, as an Experiment: its low-rank updates are added to the kernels, in place."""
    for module in experiment.graph.modules():
        if isinstance(module, LowRankModule):
            module.merge()
    model = without_lora(experiment.spec.model)
    spec = replace(experiment.spec, model=model, built=replace(experiment.spec.built, model=model))
    return replace(experiment, spec=spec, weights=experiment.graph.weights())


def build_experiment(
    spec: RunSpec,
    stages: Stages,
    *,
    device: torch.device,
    mixing: nn.Module | None = None,
    divide: Callable[[GraphStep], None] | None = None,
    initialize: bool = True,
) -> Experiment:
    """Return a config's model on `device`, with its losses, metrics and optimizers, as an Experiment.

    `spec` is the parsed config; weights are initialized from its seed. `stages` has the preprocessing steps that run
    per batch. Without the config's `compile` section, there is no training step. `mixing` is applied to batches in
    training, for example mixup; None: batches are not mixed. `divide` divides the weights of the model, which is still
    on the meta device, so that this process holds a part of them (FSDP); None: this process holds all weights. Without
    `initialize` the values of the weights are undefined.
    """
    prepare_device(device, deterministic=spec.fit.deterministic)
    modules = stages.input_stage.to(device), stages.target_stage.to(device)
    if spec.train_step is not None:
        return _of_train_step(spec, spec.train_step, modules, device, mixing, initialize)
    compiled = spec.compile or CompileSpec(RMSprop(), ())
    graph = Graph(spec.built)
    weights = graph.weights()
    objective = Objective(
        list(compiled.log_names()),
        *_terms_and_metrics(compiled.pairs),
        weights,
        logged=compiled.logged,
        sums=spec.model.summed,
        class_weight=_class_weight(spec, stages.facts.targets),
    ).to(device)
    module = GraphStep(graph, objective, modules, compiled.compute.precision, mixing)
    if divide is not None:
        divide(module)
    materialize(graph, weights, seed=spec.seed, device=device, initialize=initialize)
    if divide is not None:
        module.to(device)  # so that FSDP finds the memory that the weights have now
    trained = ParameterUpdate("", compiled.optimizer, tuple(weight for weight in weights if weight.trainable))
    return Experiment(spec, graph, module, (ForwardPass(module, (trained,)),), weights, device)


def _of_train_step(
    spec: RunSpec,
    train_step: TrainStepSpec,
    modules: BatchStages,
    device: torch.device,
    mixing: nn.Module | None,
    initialize: bool,
) -> Experiment:
    """Build the Experiment (model, losses and optimizers, ready to train) of a config with `fit.train_step`: one graph
    per forward pass, with shared weights."""
    graphs = [Graph(spec.built), *(Graph(each.built) for each in train_step.passes)]
    weights = list({weight.name: weight for graph in graphs for weight in graph.weights()}.values())
    materialize(nn.ModuleList(graphs), weights, seed=spec.seed, device=device, initialize=initialize)
    passes = []
    for graph, each in zip(graphs[1:], train_step.passes, strict=True):
        updates, objectives = list[ParameterUpdate](), list[Objective]()
        for u in each.updates:
            trained = tuple(weight for weight in graph.weights() if weight.trainable and u.trains(weight.name))
            names, sums = list(u.log_names()), each.built.model.summed
            updates.append(ParameterUpdate(u.name, u.optimizer, trained))
            objectives.append(Objective(names, u.terms, u.metrics, trained, logged=u.logged, sums=sums))
        module = GraphStep(graph, PassObjective(objectives), modules, train_step.compute.precision, mixing)
        passes.append(ForwardPass(module, tuple(updates), each.repeat))
    whole = AllPasses(graphs[0], [(each.stream, each.module) for each in passes], modules, train_step.compute.precision)
    return Experiment(spec, graphs[0], whole, tuple(passes), weights, device)


def _terms_and_metrics(pairs: Sequence[OutputTarget]) -> tuple[list[LossTerm], list[UpdateMetric]]:
    compared = [(pair, Comparison(pair.output, pair.target, is_target=True)) for pair in pairs]
    terms = [LossTerm(pair.output, pair.weight, pair.loss, of) for pair, of in compared if pair.loss is not None]
    metrics = [UpdateMetric(m.name, m.metric, m.weighted, m.columns, of) for pair, of in compared for m in pair.metrics]
    return terms, metrics


def _class_weight(spec: RunSpec, targets: Mapping[str, Field]) -> Tensor | None:
    """Return a tensor with the loss weight of each class label (1 if not listed); None without `fit.class_weight`."""
    weights = spec.fit.class_weight
    if weights is None or weights == "balanced":  # training has replaced `balanced` by numbers
        return None
    names = {name: number for number, name in enumerate(next(iter(targets.values())).classes or ())}
    numbers = {names[key] if key in names else int(key): weight for key, weight in weights.items()}
    return torch.tensor([numbers.get(number, 1.0) for number in range(max(numbers) + 2)])
