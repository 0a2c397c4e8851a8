"""Records of which losses and metrics compare which model outputs with which targets."""

from dataclasses import dataclass

from kerascli.losses.base import Loss
from kerascli.metrics.base import Metric


@dataclass(frozen=True, slots=True)
class MetricUse:
    """Metric of a model output, with its name and its columns in logs (both without the name of the output)."""

    name: str
    metric: Metric
    weighted: bool
    """True if the metric takes sample weights; in a custom `fit.train_step` none does."""
    columns: tuple[str, ...]
    """Names of the metric's columns in logs: `name`, or one name for each value of a metric with several values."""


@dataclass(frozen=True, slots=True)
class OutputTarget:
    """Target, loss, loss weight and metrics of one model output."""

    output: str
    target: str
    loss: Loss | None
    weight: float
    metrics: tuple[MetricUse, ...]
    prefix: str = ""
    """Prefix of the metrics' names in logs: `<output>_` in a model with several outputs, else empty."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Operands of a loss or metric: a prediction; and a target or, in a custom `fit.train_step`, a graph node or
    number."""

    y_pred: str
    y_true: str | float
    is_target: bool = False
    class_numbers: bool = False
    """True if a number in `y_true` is a class label, not the target value of each prediction."""


@dataclass(frozen=True, slots=True)
class LossTerm:
    """Weighted loss term of a parameter update: a loss or, in a custom `fit.train_step`, a graph node's value."""

    name: str
    weight: float = 1.0
    loss: Loss | None = None
    of: Comparison | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class UpdateMetric(MetricUse):
    """Metric of a parameter update, with its two operands; in logs the name of the update (item of `fit.train_step`)
    precedes its columns."""

    of: Comparison
