"""`fit.train_step`, understood: rounds of updates, each with an optimizer and losses of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kerascli.config.sections.arithmetic import Precision
from kerascli.metrics.comparisons import LossTerm, UpdateMetric
from kerascli.model.ir.nodes import Entry, Node
from kerascli.model.runtime.built import Built
from kerascli.optimizers.base import BaseOptimizer


@dataclass(frozen=True, slots=True)
class UpdateSpec:
    """What one optimizer does in a step."""

    name: str
    train: tuple[str, ...]
    """Shared things and nodes of the model, whose weights it changes."""
    optimizer: BaseOptimizer
    terms: tuple[LossTerm, ...]
    metrics: tuple[UpdateMetric, ...] = ()
    figures: tuple[str, ...] = ()
    """Nodes whose figures are logged: of the update's own add_loss and add_metric."""
    layers: tuple[Entry, ...] | None = None
    """Its own forward pass; None: it shares that of the one before, or the model's."""

    def trains(self, weight: str) -> bool:
        """Whether a weight, by its full name, is one that it changes."""
        return weight.startswith(tuple(f"{name}/" for name in self.train))

    def log_names(self) -> dict[str, Literal["min", "max"]]:
        """Its figures in the order of their states: the losses, then the metrics."""
        names: dict[str, Literal["min", "max"]] = {f"{self.name}_loss": "min"}
        for name in (*(term.name for term in self.terms), *self.figures):
            names[f"{self.name}_{name}"] = "min"
        for judged in self.metrics:
            names.update({f"{self.name}_{column}": judged.metric.direction for column in judged.columns})
        return names

    def several(self) -> dict[str, tuple[str, ...]]:
        """The metrics of several values, by name, with the columns of each."""
        prefix = f"{self.name}_"
        return {
            f"{prefix}{judged.name}": tuple(f"{prefix}{column}" for column in judged.columns)
            for judged in self.metrics
            if judged.columns != (judged.name,)
        }


@dataclass(frozen=True, slots=True)
class ForwardPassSpec:
    """A forward pass, and the updates that learn from it: all gradients are taken before any weight changes."""

    built: Built
    updates: tuple[UpdateSpec, ...]
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class TrainStepSpec:
    """A step of the training: rounds, one after the other."""

    passes: tuple[ForwardPassSpec, ...]
    precision: Precision = "float32"
    jit_compile: bool | Literal["auto"] = "auto"

    @property
    def updates(self) -> tuple[UpdateSpec, ...]:
        return tuple(update for each in self.passes for update in each.updates)

    @property
    def optimizers(self) -> Mapping[str, BaseOptimizer]:
        """By the name of their update."""
        return {update.name: update.optimizer for update in self.updates}

    def log_names(self) -> dict[str, Literal["min", "max"]]:
        """Every figure that training logs (without `val_`), and which way it is better."""
        return {name: way for update in self.updates for name, way in update.log_names().items()}

    def several(self) -> dict[str, tuple[str, ...]]:
        """The metrics of several values, by name, with the columns of each."""
        return {name: columns for update in self.updates for name, columns in update.several().items()}

    def dump_compile(self) -> dict[str, Any]:
        """The compile section, which says no more than how to compute."""
        return {"precision": self.precision, "jit_compile": self.jit_compile}


def formulas(each: ForwardPassSpec) -> dict[str, Node]:
    """The nodes that stand for the formulas of losses, by name."""
    names = {term.node for update in each.updates for term in update.terms if term.loss is None}
    return {node.name: node for node in each.built.model.nodes if node.name in names}
