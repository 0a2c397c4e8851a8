"""Modules that run one forward pass of a training step: they take a batch and return losses and metrics."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.language.component import Component
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.weights import Weight
from kerascli.training.objectives.objective import BaseObjective, JoinedObjective
from kerascli.training.objectives.outcome import StepOutcome


class TrainStepModule(nn.Module):
    """Base class of modules that run a forward pass and compute its losses and metrics, in training and evaluation."""

    def __init__(self, objective: BaseObjective) -> None:
        super().__init__()
        self.objective = objective

    @abstractmethod
    def forward(self, batch: Batch) -> StepOutcome: ...

    def weights(self) -> list[Weight]:
        """Return the weights that the forward pass reads and that training, or the forward pass itself, may change."""
        return []

    def components(self) -> list[Component]:
        """Return the components (layers, losses, metrics) that the forward pass uses."""
        return self.objective.components()

    def states(self) -> list[Weight]:
        """Return the states of stateful layers (`stateful: true`), which are kept from one batch to the next."""
        return [weight for weight in self.weights() if weight.spec.is_state]


BatchStages = tuple[nn.Module, nn.Module]
"""Modules with the preprocessing steps that run per batch: of inputs, and of targets."""


class GraphStep(TrainStepModule):
    """Module that applies per-batch preprocessing (mixup ...) and the model, and computes losses and metrics."""

    def __init__(
        self,
        graph: Graph,
        objective: BaseObjective,
        stages: BatchStages,
        precision: str,
        mixing: nn.Module | None = None,
    ) -> None:
        super().__init__(objective)
        self.graph = graph
        self.input_stage, self.target_stage = stages
        self.precision = precision
        self.mixing = mixing

    def forward(self, batch: Batch) -> StepOutcome:
        outcome, targets = GraphStep.compare(self, batch)  # not by FSDP's wrapper of the method, within its forward
        return replace(self.objective(outcome, targets, batch.sample_weight, batch.rows), updates=outcome.updates)

    def compare(self, batch: Batch) -> tuple[GraphOutcome, dict[str, Tensor]]:
        """Apply batch-wise preprocessing and run the model's graph; return its outcome and the targets to compare it
        with."""
        with torch.no_grad():
            inputs = self.input_stage(batch.inputs)
            targets = self.target_stage(batch.targets)
            if self.mixing is not None:
                inputs, targets = self.mixing(inputs, targets)
        return self.run(inputs, targets), targets

    def weights(self) -> list[Weight]:
        return self.graph.weights()

    def components(self) -> list[Component]:
        return [*(node.layer for node in self.graph.model.nodes), *super().components()]

    def predict(self, inputs: Mapping[str, Tensor]) -> GraphOutcome:
        """Apply the per-batch preprocessing to tensors by input name, run the model; return its outputs, masks ..."""
        return self.run(self.input_stage(dict(inputs)))

    def run(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor] | None = None) -> GraphOutcome:
        """Run the model on preprocessed tensors by input name, in the config's precision; return its outputs, masks ...

        With `targets`, tensors by target name, nodes of the model that take targets run, too.
        """
        of = [*inputs.values(), *(weight.tensor for weight in self.graph.weights())]  # a view may have no input
        with autocast(self.precision, of[0].device):
            return self.graph(inputs, targets)


class AllPasses(GraphStep):
    """Module to predict with, and to evaluate, a model that a `fit.train_step` (several losses and optimizers) trains.

    Evaluation runs all forward passes of a training step on a batch, without parameter updates, and returns the states
    of their losses and metrics.
    """

    def __init__(
        self, graph: Graph, passes: Sequence[tuple[str, GraphStep]], stages: BatchStages, precision: str
    ) -> None:
        super().__init__(graph, JoinedObjective([each.objective for _, each in passes]), stages, precision)
        self.passes = nn.ModuleDict(dict(passes))

    def forward(self, batch: Batch) -> StepOutcome:
        states: list[Tensor] = []
        nodes = draws.node_stack()
        for name, each in self.passes.items():
            nodes.append(name)  # nodes of two passes may have one name, and must draw different numbers
            states += each(batch).states
            nodes.pop()
        return StepOutcome([], states)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return torch's autocast context for `precision`, a Keras dtype policy; for float32, a null context."""
    if precision == "float32" or device.type == "meta":  # shapes are the same
        return nullcontext()
    dtype = torch.bfloat16 if precision == "mixed_bfloat16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)
