"""The forward pass of a training step as one module: batch in, losses and metrics out."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kerascli.component import Component
from kerascli.data.batches.loader import Batch
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.weights import Weight
from kerascli.training.objective import BaseObjective, LossOutput


@dataclass(slots=True)
class TrainStepOutput:
    """Losses and metrics of a batch, and what its forward pass changes."""

    loss: LossOutput
    updates: dict[str, Tensor]
    """New values of non-trainable weights, by weight name."""


class TrainStepModule(nn.Module):
    """A forward pass with its losses and metrics: all that the loop and `evaluate` ask of a model."""

    def __init__(self, objective: BaseObjective) -> None:
        super().__init__()
        self.objective = objective

    @abstractmethod
    def forward(self, batch: Batch) -> TrainStepOutput: ...

    def weights(self) -> list[Weight]:
        """What a forward pass reads, and training or the forward pass changes."""
        return []

    def components(self) -> list[Component]:
        """What computes in a step."""
        return self.objective.components()

    def states(self) -> list[Weight]:
        """What stateful layers remember of the batch before."""
        return [weight for weight in self.weights() if weight.spec.is_state]


class GraphStep(TrainStepModule):
    """Finishes the batch (rescale, one-hot ... mix its samples), runs the graph, computes losses and metrics."""

    def __init__(
        self,
        graph: Graph,
        objective: BaseObjective,
        input_stage: nn.Module,
        target_stage: nn.Module,
        precision: str,
        mixing: nn.Module | None = None,
    ) -> None:
        super().__init__(objective)
        self.graph = graph
        self.input_stage = input_stage
        self.target_stage = target_stage
        self.precision = precision
        self.mixing = mixing

    def forward(self, batch: Batch) -> TrainStepOutput:
        with torch.no_grad():
            inputs = self.input_stage(batch.inputs)
            targets = self.target_stage(batch.targets)
            if self.mixing is not None:
                inputs, targets = self.mixing(inputs, targets)
        outcome = self.run(inputs, targets)
        loss = self.objective(outcome, targets, batch.sample_weight, batch.rows)
        return TrainStepOutput(loss, outcome.updates)

    def weights(self) -> list[Weight]:
        return self.graph.weights()

    def components(self) -> list[Component]:
        return [*(node.layer for node in self.graph.model.nodes), *super().components()]

    def predict(self, inputs: Mapping[str, Tensor]) -> GraphOutcome:
        """Outputs for prepared inputs."""
        return self.run(self.input_stage(dict(inputs)))

    def run(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor] | None = None) -> GraphOutcome:
        """The graph under the precision asked for; losses are always computed in full precision."""
        device = next(iter(inputs.values())).device
        with autocast(self.precision, device):
            return self.graph(inputs, targets)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Keras's mixed policies: compute in half precision, keep weights in full."""
    if precision == "float32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "mixed_bfloat16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)
