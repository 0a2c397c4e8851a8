"""The `fit.train_step:` section: parameter updates as in the config, and as parsed, grouped by forward pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from kerascli.config.sections.compile import ComputeSection, Logged
from kerascli.foundation.errors import show
from kerascli.language.section import BaseSection
from kerascli.losses.base import LOSSES, Loss
from kerascli.metrics.base import METRICS, Metric
from kerascli.metrics.comparisons import LossTerm, UpdateMetric
from kerascli.model.ir.nodes import Entry, Node
from kerascli.model.runtime.built import Built
from kerascli.model.syntax.schema import Layers, Takes
from kerascli.optimizers.base import OPTIMIZERS, BaseOptimizer


class _TermSection(BaseSection):
    """Base class of the sections for losses and metrics, by name, in an update (an item of `fit.train_step`)."""

    key_list: ClassVar[str] = "it has"


class LossSection(_TermSection):
    """Loss, in an item of `fit.train_step`, of a predicted tensor against a tensor or a constant."""

    loss: Annotated[Loss, LOSSES.field()]
    """Loss function, which compares `y_true` and `y_pred`."""
    y_true: Annotated[Any, Takes(float | str)]
    """Ground truth: a number, a node or a target (`targets.NAME` if a node has that name, too)."""
    y_pred: Annotated[Any, Takes(str)]
    """Name of the node whose output is the prediction."""
    weight: float = 1.0
    """Coefficient of this loss in the total loss of the update (the item of `fit.train_step`)."""


class FormulaSection(_TermSection):
    """Loss, in an item of `fit.train_step`, that is computed by a formula over tensors."""

    expr: Annotated[Any, Takes(str)]
    """Formula of the loss; the names in it are nodes and targets."""
    weight: float = 1.0
    """Coefficient of this loss in the total loss of the update (the item of `fit.train_step`)."""


class MetricSection(_TermSection):
    """Metric, in an item of `fit.train_step`, of a predicted tensor against a tensor or a constant."""

    metric: Annotated[Metric, METRICS.field()]
    """Metric to evaluate, which compares `y_true` and `y_pred`."""
    y_true: Annotated[Any, Takes(float | str)]
    """Ground truth: a number, a node or a target (`targets.NAME` if a node has that name, too)."""
    y_pred: Annotated[Any, Takes(str)]
    """Name of the node whose output is the prediction."""


def _count(value: Any) -> Any:
    if type(value) is not int or value < 1:
        raise ValueError(f"expected an integer of at least 1, got {show(value)}")
    return value


class UpdateSection(BaseSection):
    """Config section of an update of a training step: an optimizer, the weights that it trains, and losses to minimize.

    The update may have a forward pass of its own (`layers`).
    """

    title: ClassVar[str] = "an update"

    name: Annotated[Any, Takes(str)]
    """Name of the update, and prefix of its losses and metrics in history.csv."""
    train: Annotated[Any, Takes(str | Annotated[list[str], Field(min_length=1)])]
    """Shared layers and models, or nodes of the model, whose weights the update trains."""
    optimizer: Annotated[BaseOptimizer, OPTIMIZERS.field()]
    """Optimizer that updates the weights named under the key `train`."""
    layers: Layers = None
    """Layers of the forward pass, from the data's inputs; default: the previous update's forward pass, or the model."""
    loss: Annotated[Any, Takes(dict[str, LossSection | FormulaSection])] = None
    """Losses by name, whose weighted sum is minimized: `{loss, y_true, y_pred, weight}`, or `{expr, weight}`."""
    metrics: Annotated[Any, Takes(dict[str, MetricSection])] = None
    """Metrics to evaluate and log, by name: `{metric, y_true, y_pred}`."""
    repeat: Annotated[int, Field(ge=1), BeforeValidator(_count)] = 1
    """Number of times the update runs per training step, on the same rows with new random numbers."""


@dataclass(frozen=True, slots=True)
class UpdateSpec(Logged):
    """Parsed update (item) of `fit.train_step`: the weights that it trains, their optimizer, losses and metrics."""

    name: str
    train: tuple[str, ...]
    """Names of the shared layers and models, and of nodes of the model, whose weights the update trains."""
    optimizer: BaseOptimizer
    terms: tuple[LossTerm, ...]
    """Losses whose weighted sum the update minimizes."""
    metrics: tuple[UpdateMetric, ...] = ()
    logged: tuple[str, ...] = ()
    """Names of the values logged by the `add_loss` and `add_metric` layers of the update's own forward pass."""
    layers: tuple[Entry, ...] | None = None
    """Nodes of the update's own forward pass; None: the update shares the forward pass of the previous update, or the
    model's."""
    called: tuple[str, ...] = ()
    """Names of further shared layers and models that it trains, since those of `train` call them."""

    def trains(self, weight: str) -> bool:
        """Return True if the update trains the weight of this full name, such as `generator/dense/kernel`."""
        return weight.startswith(tuple(f"{name}/" for name in (*self.train, *self.called)))

    def logged_losses(self) -> list[str]:
        return [f"{self.name}_{name}" for name in ("loss", *(term.name for term in self.terms), *self.logged)]

    def logged_metrics(self) -> Iterator[tuple[str, UpdateMetric]]:
        yield from ((f"{self.name}_", use) for use in self.metrics)


@dataclass(frozen=True, slots=True)
class ForwardPassSpec:
    """Forward pass of a `fit.train_step`, and the updates that share it.

    The gradients of all these updates are computed before any weight changes.
    """

    built: Built
    """Model that the forward pass runs, with a module for every node."""
    updates: tuple[UpdateSpec, ...]
    """Items of `fit.train_step` whose losses are computed from the forward pass, in order."""
    repeat: int = 1
    """Number of times that the forward pass and its updates run in each training step."""


@dataclass(frozen=True, slots=True)
class TrainStepSpec:
    """Parsed `fit.train_step` section: forward passes in order, each with its parameter updates."""

    passes: tuple[ForwardPassSpec, ...]
    compute: ComputeSection = field(default_factory=ComputeSection)
    """Precision and compilation, from the `compile` section."""

    @property
    def updates(self) -> tuple[UpdateSpec, ...]:
        return tuple(update for each in self.passes for update in each.updates)

    @property
    def optimizers(self) -> Mapping[str, BaseOptimizer]:
        """Mapping from the name of each update to its optimizer."""
        return {update.name: update.optimizer for update in self.updates}

    def log_names(self) -> dict[str, Literal["min", "max"]]:
        """Return a mapping from each logged value, named without `val_`, to its better direction, `min` or `max`."""
        return {name: way for update in self.updates for name, way in update.log_names().items()}

    def several(self) -> dict[str, tuple[str, ...]]:
        """Return a mapping from each metric that has several values to the names of its columns in history.csv."""
        return {name: columns for update in self.updates for name, columns in update.several().items()}


def formulas(each: ForwardPassSpec) -> dict[str, Node]:
    """Return the nodes of a forward pass that compute losses given as formulas (`expr`), by name."""
    names = {term.node for update in each.updates for term in update.terms if term.loss is None}
    return {node.name: node for node in each.built.model.nodes if node.name in names}
