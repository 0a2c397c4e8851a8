"""`fit.train_step`: its updates as they are written, and as forward passes with the updates that learn from each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from kerascli.config.sections.compile import ComputeSection
from kerascli.errors import show
from kerascli.losses.base import LOSSES, Loss
from kerascli.metrics.base import METRICS, Metric
from kerascli.metrics.comparisons import LossTerm, UpdateMetric
from kerascli.model.ir.nodes import Entry, Node
from kerascli.model.runtime.built import Built
from kerascli.model.syntax.schema import Layers, Takes
from kerascli.optimizers.base import OPTIMIZERS, BaseOptimizer
from kerascli.section import BaseSection


class _TermSection(BaseSection):
    """A loss or a metric by its name in an update."""

    key_list: ClassVar[str] = "it has"


class LossSection(_TermSection):
    """A loss between two tensors, or a number and a tensor."""

    loss: Annotated[Loss, LOSSES.field()]
    y_true: Annotated[Any, Takes(float | str)]
    y_pred: Annotated[Any, Takes(str)]
    weight: float = 1.0


class FormulaSection(_TermSection):
    """A loss that is a formula over tensors."""

    expr: Annotated[Any, Takes(str)]
    weight: float = 1.0


class MetricSection(_TermSection):
    """A metric of two tensors, or a number and a tensor."""

    metric: Annotated[Metric, METRICS.field()]
    y_true: Annotated[Any, Takes(float | str)]
    y_pred: Annotated[Any, Takes(str)]


def _count(value: Any) -> Any:
    if type(value) is not int or value < 1:
        raise ValueError(f"expected a whole number from 1, got {show(value)}")
    return value


class UpdateSection(BaseSection):
    """An update of a step: what it changes, how, and by which losses."""

    title: ClassVar[str] = "an update"

    name: Annotated[Any, Takes(str)]
    """What its figures begin with in the history."""
    train: Annotated[Any, Takes(str | Annotated[list[str], Field(min_length=1)])]
    """What it changes: shared things, or nodes of the model."""
    optimizer: Annotated[BaseOptimizer, OPTIMIZERS.field()]
    """The rule that changes it."""
    layers: Layers = None
    """Its forward pass, from the data's inputs; none: that of the update before."""
    loss: Annotated[Any, Takes(dict[str, LossSection | FormulaSection])] = None
    """What is made small, by name; y_true may be a number."""
    metrics: Annotated[Any, Takes(dict[str, MetricSection])] = None
    """Figures to log, by name."""
    repeat: Annotated[int, Field(ge=1), BeforeValidator(_count)] = 1
    """How often it is done in a step."""


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
    compute: ComputeSection = field(default_factory=ComputeSection)

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
        return self.compute.model_dump()


def formulas(each: ForwardPassSpec) -> dict[str, Node]:
    """The nodes that stand for the formulas of losses, by name."""
    names = {term.node for update in each.updates for term in update.terms if term.loss is None}
    return {node.name: node for node in each.built.model.nodes if node.name in names}
