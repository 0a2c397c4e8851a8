"""Pairings of outputs and targets with the losses and metrics that compare them."""

from dataclasses import dataclass

from kerascli.losses.base import Loss
from kerascli.metrics.base import Metric


@dataclass(frozen=True, slots=True)
class MetricUse:
    """A metric of an output, with its name and columns in logs (without the output's name)."""

    name: str
    metric: Metric
    weighted: bool
    columns: tuple[str, ...]
    """Names of the metric's columns in logs: `name`, or one for each of several values."""


@dataclass(frozen=True, slots=True)
class OutputTarget:
    """The target, loss, loss weight and metrics of one output."""

    output: str
    target: str
    loss: Loss | None
    weight: float
    metrics: tuple[MetricUse, ...]
    prefix: str = ""
    """Prefix of the metrics' names in logs: `<output>_` in a model with several outputs, else empty."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Operands of a loss or metric in an update of `train_step`: a predicted tensor, and a tensor, target or number."""

    y_pred: str
    y_true: str | float
    is_target: bool = False
    class_numbers: bool = False
    """True if a number in `y_true` is a class label, not the target value of each prediction."""


@dataclass(frozen=True, slots=True)
class LossTerm:
    """Weighted term of the loss of an update of `train_step`: a loss between operands, or the value of a graph node."""

    name: str
    weight: float = 1.0
    loss: Loss | None = None
    of: Comparison | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class UpdateMetric:
    """Metric of an update of `train_step`, with its operands and its columns in logs."""

    name: str
    metric: Metric
    of: Comparison
    columns: tuple[str, ...]
    """Names of the metric's columns in logs, which the update's name precedes: one for each value."""
