"""Which outputs are compared with which targets, by which losses and metrics."""

from dataclasses import dataclass

from kerascli.losses.base import Loss
from kerascli.metrics.base import Metric


@dataclass(frozen=True, slots=True)
class MetricUse:
    """A metric of an output, and what logs call it and its values there (without the output's name)."""

    name: str
    metric: Metric
    weighted: bool
    columns: tuple[str, ...]
    """The name, or one for each of several values."""


@dataclass(frozen=True, slots=True)
class OutputTarget:
    """What one output is trained towards and judged by."""

    output: str
    target: str
    loss: Loss | None
    weight: float
    metrics: tuple[MetricUse, ...]
    prefix: str = ""
    """Before the names of metrics: `kind_` in a model of several outputs."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is held against what: tensors of the forward pass, targets, numbers."""

    y_pred: str
    y_true: str | float
    is_target: bool = False
    class_numbers: bool = False
    """A number stands for a class, not for a value of each prediction."""


@dataclass(frozen=True, slots=True)
class LossTerm:
    """A part of an update's loss: a loss between two tensors, or the formula of a node."""

    name: str
    weight: float = 1.0
    loss: Loss | None = None
    of: Comparison | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class UpdateMetric:
    """A metric of an update."""

    name: str
    metric: Metric
    of: Comparison
    columns: tuple[str, ...]
    """What logs call its values after the update's name: one, or one for each."""
