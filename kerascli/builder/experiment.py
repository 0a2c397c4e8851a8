"""RunSpec + prepared data + device -> everything that fit needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from kerascli.builder.objective import Objective
from kerascli.builder.update import Update
from kerascli.data.base import Field
from kerascli.data.pipeline import Stage
from kerascli.device import prepare_gpu
from kerascli.graph.module import Graph
from kerascli.graph.weights import Weight, materialize
from kerascli.optimizers.rmsprop import RMSprop
from kerascli.spec.compile import CompileSpec
from kerascli.spec.run import RunSpec


@dataclass(slots=True)
class Experiment:
    """A model with memory on its device, and the update that trains or judges it."""

    spec: RunSpec
    graph: Graph
    update: Update
    weights: list[Weight]
    device: torch.device

    def view(self, name: str) -> "Experiment":
        """A view of the model, with these very weights; of the run it has the inputs' pipelines, and no goals."""
        built, view = self.spec.built.views[name], self.spec.model.views[name]
        spec = replace(self.spec, model=view.model, built=built, compile=None)
        graph = Graph(built)
        weights = graph.weights()
        given = Stage({}) if view.own_inputs else self.update.input_stage
        objective = Objective(CompileSpec(RMSprop(), ()), weights, None).to(self.device)
        update = Update(graph, objective, given, self.update.target_stage, self.update.precision)
        return Experiment(spec, graph, update, weights, self.device)


def build_experiment(
    spec: RunSpec,
    *,
    device: torch.device,
    input_stage: nn.Module,
    target_stage: nn.Module,
    targets: Mapping[str, Field],
) -> Experiment:
    """Make the weights (by the spec's seed) and the update; without a compile section it only predicts."""
    compiled = spec.compile or CompileSpec(RMSprop(), ())
    prepare_gpu(device)
    graph = Graph(spec.built)
    weights = graph.weights()
    materialize(graph, weights, seed=spec.seed, device=device)
    objective = Objective(compiled, weights, _class_weight(spec, targets)).to(device)
    update = Update(graph, objective, input_stage.to(device), target_stage.to(device), compiled.precision)
    return Experiment(spec, graph, update, weights, device)


def _class_weight(spec: RunSpec, targets: Mapping[str, Field]) -> Tensor | None:
    """Weights by class number, 1 where nothing is said."""
    given = spec.fit.class_weight
    if given is None:
        return None
    field = next(iter(targets.values()))
    names = {name: number for number, name in enumerate(field.classes or ())}
    numbers = {names[key] if key in names else int(key): weight for key, weight in given.items()}
    return torch.tensor([numbers.get(number, 1.0) for number in range(max(numbers) + 2)])
