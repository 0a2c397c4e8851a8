"""Module of one forward pass of a training step: batch in, losses and metrics out."""

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
    """Losses and metrics of a batch, and the weights that its forward pass changes."""

    loss: LossOutput
    updates: dict[str, Tensor]
    """New values of non-trainable weights, by weight name."""


class TrainStepModule(nn.Module):
    """A forward pass with losses and metrics: the interface of the training loop and of `evaluate`."""

    def __init__(self, objective: BaseObjective) -> None:
        super().__init__()
        self.objective = objective

    @abstractmethod
    def forward(self, batch: Batch) -> TrainStepOutput: ...

    def weights(self) -> list[Weight]:
        """Return the weights that a forward pass reads and that training or the pass itself changes."""
        return []

    def components(self) -> list[Component]:
        """Return the components (layers, losses, metrics) that the forward pass uses."""
        return self.objective.components()

    def states(self) -> list[Weight]:
        """Return the states of stateful layers, kept from one batch to the next."""
        return [weight for weight in self.weights() if weight.spec.is_state]


class GraphStep(TrainStepModule):
    """Applies the batch-wise stages (rescaling, one-hot, mixup ...), runs the graph, computes losses and metrics."""

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
        """Return the graph's outcome for inputs, after applying their batch-wise stages."""
        return self.run(self.input_stage(dict(inputs)))

    def run(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor] | None = None) -> GraphOutcome:
        """Run the graph in the configured precision; losses are always computed in full precision."""
        device = next(iter(inputs.values())).device
        with autocast(self.precision, device):
            return self.graph(inputs, targets)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast context of a Keras mixed-precision policy: computation in half precision, weights in full."""
    if precision == "float32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "mixed_bfloat16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)
