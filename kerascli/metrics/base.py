"""What a metric is: a state for each batch, states that add up, a value of the sum."""

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import AfterValidator
from torch import Tensor

from kerascli.component import Component, Registry
from kerascli.errors import show
from kerascli.losses.base import same_shape
from kerascli.losses.labels import Labels, class_labels
from kerascli.losses.ranks import aligned_pair, axes_of, match_ranks, spread
from kerascli.shapes import TensorSpec


def _log_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,60}", name):
        raise ValueError(f"expected letters, digits, '_', '-' and '.', got {show(name)}")
    return name


class Metric(Component):
    """A figure over many batches. The state is one tensor; those of batches and processes are added.

    The name in logs is what the user wrote, as in Keras: `mse` logs 'mse', `mean_squared_error` logs
    'mean_squared_error'; `name` says otherwise.
    """

    name: Annotated[str, AfterValidator(_log_name)] | None = None
    """What logs call it; null: the name that was written."""

    direction: ClassVar[Literal["min", "max"]] = "min"
    """Which way is better: what `mode: auto` of callbacks goes by."""

    sparse_targets: ClassVar[bool] = False
    """Targets are class numbers, one fewer axis than the predictions (or a last axis of 1)."""

    @abstractmethod
    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        """The state of a batch: a tensor (any fixed shape) on y_pred's device; no waiting for it.

        Targets and predictions are as `aligned` returns them. `sample_weight` has one value a sample (or time step),
        masks already multiplied in.
        """

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions as `measure` takes them, as a loss does: of one dtype and shape (N, *, F).

        With `sparse_targets` they are as they come. Raises DataError where shapes do not fit.
        """
        if self.sparse_targets:
            return y_true, y_pred
        return aligned_pair(y_true.to(y_pred.dtype), y_pred, weight_rank)

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, *, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The state of a batch of targets and predictions as they come.

        `sample_weight` and `mask` (true: counts) have the leading axes of the predictions: (N,) or (N, T) ...
        """
        weight = sample_weight
        if mask is not None:
            weight = mask.to(y_pred.dtype)
            weight = weight if sample_weight is None else spread(sample_weight, weight, "sample weights") * weight
        return self.measure(*self.aligned(y_true, y_pred, axes_of(weight)), weight)

    @abstractmethod
    def result(self, state: Tensor) -> Tensor:
        """The figure of an added-up state, a scalar; or a vector, whose values `value_names` tells apart."""

    def value_names(self, output: TensorSpec, classes: Sequence[str] | None) -> tuple[str, ...]:
        """Return what tells the values of `result` apart, in their order; () for a metric of one value.

        `classes` are the names of the target's classes, None where it has no named classes.
        """
        return ()

    def columns(self, name: str, output: TensorSpec | None, classes: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the columns of the metric in logs: `name`, or `name_<value>` for each of several values."""
        values = () if output is None else self.value_names(output, classes)
        return tuple(f"{name}_{value}" for value in values) or (name,)

    def adds_up(self) -> bool:
        """Whether the figure is the same however rows are put into batches."""
        return True

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        """Which labels of classes targets may be; None where they are other numbers."""
        return class_labels(output) if self.sparse_targets else None

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        """What does not fit (in words that name the remedy), or None. `validate` adds the place."""
        return None

    def log_name(self) -> str:
        """The name in logs and history."""
        return self.name or self.component_name

    @classmethod
    def first_argument(cls) -> str | None:
        return next((name for name in cls.model_fields if name != "name"), "name")


class MeanMetric(Metric):
    """The mean of a value for each sample; the state is (sum, number of samples or sum of weights)."""

    @abstractmethod
    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value a sample (and time step ...): (N, *)."""

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        values = self.values(y_true, y_pred)
        if values.ndim > 1 and sample_weight is None:
            values = values.to(count_dtype(values)).flatten(1).mean(1)
        if sample_weight is None:
            return sum_and_count(values, values.numel())
        return _weighted(values, sample_weight)

    def result(self, state: Tensor) -> Tensor:
        total, count = state
        return ratio(total, count)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, and 0 where there is no whole."""
    return torch.where(whole == 0, 0.0, part / whole)


def sum_and_count(values: Tensor, count: int) -> Tensor:
    """The state of unweighted values; one small kernel puts the count beside the sum."""
    total = values.sum(dtype=count_dtype(values)).reshape(1)
    return torch.nn.functional.pad(total, (0, 1), value=float(count))


def _weighted(values: Tensor, sample_weight: Tensor) -> Tensor:
    """Means over the axes behind the samples' are taken before adding, of values and weights alike."""
    dtype = count_dtype(values)
    values, weight = match_ranks(values.to(dtype), sample_weight.to(dtype))
    if values.ndim > weight.ndim:
        values = values.flatten(weight.ndim).mean(-1)
    weight = spread(weight, values, "sample weights or a mask").expand(values.shape)
    values = values * weight
    if values.ndim > 1:
        values, weight = values.flatten(1).mean(1), weight.flatten(1).mean(1)
    return torch.stack([values.sum(), weight.sum()])


def class_names(output: TensorSpec, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return what tells the values of an output's units apart: names of classes, else numbers; () for one unit.

    What is no letter, digit, `_`, `-` or `.` in a name becomes `_`. Names that are then the same give way to numbers.
    """
    units = output.shape[-1] if output.shape else 1
    if units in (None, 1):
        return ()
    names = [re.sub(r"[^\w.-]", "_", name)[:60] for name in classes or ()]
    return distinct(names) if len(names) == units else distinct([""] * units)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names if each is there once and none is empty, else their numbers from 0."""
    if all(names) and len(set(names)) == len(names):
        return tuple(names)
    return tuple(str(number) for number in range(len(names)))


def units_fault(name: str, output: TensorSpec) -> str | None:
    """Return what keeps a metric from having a value for each unit of the output: their number must be known."""
    if output.shape and output.shape[-1] is None:
        return f"'{name}' has a value for each unit of the output, whose number must be known, got {output}"
    return None


def shape_fault(name: str, target: TensorSpec, output: TensorSpec) -> str | None:
    """What keeps targets from having the output's shape, or None."""
    if same_shape(target.shape, output.shape):
        return None
    return f"'{name}' needs targets of the output's shape {output}, got {target}"


def count_dtype(like: Tensor) -> torch.dtype:
    """What states are added in: float64, in which counts stay exact; MPS has none."""
    return torch.float32 if like.device.type == "mps" else torch.float64


class MetricRegistry(Registry[Metric]):
    """Keeps the spelling that the user chose as the metric's name, since that is what Keras logs."""

    def construct(self, cls: type[Metric], written: str, arguments: Any) -> Metric:
        metric = super().construct(cls, written, arguments)
        if metric.name is not None or written == cls.component_name or written.startswith("metric_"):
            return metric
        return metric.model_copy(update={"name": written})


METRICS = MetricRegistry("metric", Metric, ("kerascli.metrics",), ("metric_",))

M = TypeVar("M", bound=type[Metric])


def metric(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[M], M]:
    """Register a metric."""

    def register(cls: M) -> M:
        METRICS.register(cls, name=name, aliases=aliases)
        return cls

    return register
