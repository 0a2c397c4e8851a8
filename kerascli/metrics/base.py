"""Base class and registry of metrics: states of batches are added, and the value is computed from their sum."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import AfterValidator
from torch import Tensor

from kerascli.foundation.errors import show
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Component, Registry
from kerascli.losses.base import same_shape
from kerascli.losses.labels import Labels, class_labels
from kerascli.losses.ranks import aligned_pair, axes_fault, axes_of, match_ranks, spread


def _log_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,60}", name):
        raise ValueError(f"expected letters, digits, '_', '-' and '.', got {show(name)}")
    return name


class Metric(Component):
    """Base class of metrics. A metric's state is one tensor; the states of batches are added.

    As in Keras, a metric is logged under the name that the user wrote: `mse` as 'mse', `mean_squared_error` as
    'mean_squared_error'; `name` overrides it.
    """

    name: Annotated[str, AfterValidator(_log_name)] | None = None
    """Name of the metric in logs and history; null: the name as written in the config."""

    direction: ClassVar[Literal["min", "max"]] = "min"
    """Direction of improvement of the metric (min, max), used by `mode: auto` of callbacks."""

    sparse_targets: ClassVar[bool] = False
    """True: targets are integer class labels, with one axis fewer than the predictions (or a last axis of 1)."""

    @abstractmethod
    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Compute the metric's state for a batch: a tensor of fixed shape on y_pred's device, without a device sync.

        Targets and predictions are as `aligned` returns them. `sample_weight` has one value per sample (or time step);
        masks have been multiplied into it.
        """

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions, cast and reshaped to (N, *, F), as `measure` takes them.

        With `sparse_targets` they are returned unchanged. Raises DataError if the shapes differ.
        """
        if self.sparse_targets:
            return y_true, y_pred
        return aligned_pair(y_true.to(y_pred.dtype), y_pred, weight_rank)

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, *, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Compute the metric's state of a batch of targets and predictions that are not yet aligned in shape.

        `sample_weight` and `mask` (True: the value is used) have the leading axes of the predictions: (N,), (N, T) ...
        Predictions that are integers are computed with as floats, so that no difference wraps around.
        """
        y_pred = y_pred if y_pred.is_floating_point() else y_pred.to(count_dtype(y_pred))
        weight = sample_weight
        if mask is not None:
            weight = mask.to(y_pred.dtype)
            weight = weight if sample_weight is None else spread(sample_weight, weight, "sample weights") * weight
        return self.measure(*self.aligned(y_true, y_pred, axes_of(weight)), weight)

    @abstractmethod
    def result(self, state: Tensor) -> Tensor:
        """Compute the metric's value from a state: a scalar, or a vector whose elements `value_names` names."""

    def is_defined(self, state: Tensor) -> Tensor:
        """Return which elements of `result` are defined, as a boolean tensor of its shape or a scalar.

        An undefined one, such as an AUC without positives, is 0 or nan in `result`, as in Keras.
        """
        return torch.tensor(True)

    def elements(self, state: Tensor, *, only_defined: bool = False) -> list[float | None]:
        """Return the elements of `result`; with `only_defined`, None in place of those that are undefined."""
        values = self.result(state)
        numbers = values.reshape(-1).tolist()
        if not only_defined:
            return numbers
        defined = self.is_defined(state).expand(values.shape).reshape(-1).tolist()
        return [number if is_defined else None for number, is_defined in zip(numbers, defined, strict=True)]

    def value_names(self, output: TensorSpec, classes: Sequence[str] | None) -> tuple[str, ...]:
        """Return the names of the elements of `result`, in order; () for a metric with one value.

        `classes` are the class names of the target, None if its classes have no names.
        """
        return ()

    def columns(self, name: str, output: TensorSpec | None, classes: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the names of the metric's columns in logs: `name`, or for several values each `name_<value name>`."""
        values = () if output is None else self.value_names(output, classes)
        return tuple(f"{name}_{value}" for value in values) or (name,)

    def labels(self, target: TensorSpec, output: TensorSpec) -> Labels | None:
        """Return the range of class labels that a target may have; None if targets are not class labels."""
        return class_labels(output) if self.sparse_targets else None

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        """Return an error message, with the remedy, if the metric cannot compare target and output; else None.

        `validate` adds the position. By default, targets that are not class labels need the output's shape, up to a
        last axis of 1.
        """
        if (fault := axes_fault(self, output)) or self.sparse_targets or same_shape(target.shape, output.shape):
            return fault
        return f"'{self.component_name}' needs targets of the output's shape {output}, got {target}"

    def log_name(self) -> str:
        """Return the name of the metric in logs and history."""
        return self.name or self.component_name

    @classmethod
    def first_argument(cls) -> str | None:
        return next((name for name in cls.model_fields if name != "name"), "name")


class MeanMetric(Metric):
    """Base class of metrics that are means over samples; their state is (sum, number of samples or sum of weights)."""

    @abstractmethod
    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return one value of the metric per sample (and time step, pixel ...), a tensor (N, *)."""

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        values = self.values(y_true, y_pred)
        if sample_weight is not None:
            return _weighted(values, sample_weight)
        if values.ndim > 1:
            values = values.to(count_dtype(values)).flatten(1).mean(1)
        total = values.sum(dtype=count_dtype(values)).reshape(1)
        return torch.nn.functional.pad(total, (0, 1), value=float(values.numel()))  # one small kernel

    def result(self, state: Tensor) -> Tensor:
        total, count = state
        return ratio(total, count)

    def is_defined(self, state: Tensor) -> Tensor:
        return state[1] != 0


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return part / whole, elementwise, with 0 where `whole` is 0."""
    return torch.where(whole == 0, 0.0, part / whole)


def _weighted(values: Tensor, sample_weight: Tensor) -> Tensor:
    """Return the state (sum, sum of weights), a tensor, of a metric that is the mean of weighted values.

    Values and weights are first averaged over all axes but the batch's.
    """
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
    """Return the names of a metric's values, one per output unit (class); () for an output of one unit.

    They are the class names, else numbers from 0. In class names, characters other than letters, digits, `_`, `-` and
    `.` become `_`. If two names are then equal, numbers are used.
    """
    units = output.shape[-1] if output.shape else 1
    if units in (None, 1):
        return ()
    names = [re.sub(r"[^\w.-]", "_", name)[:60] for name in classes or ()]
    return distinct(names) if len(names) == units else distinct([""] * units)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return the class names `names` if they are distinct and not empty; otherwise the numbers from 0 as names."""
    if all(names) and len(set(names)) == len(names):
        return tuple(names)
    return tuple(str(number) for number in range(len(names)))


def count_dtype(like: Tensor) -> torch.dtype:
    """Return the dtype of metric states: float64, where counts are exact; float32 on MPS, which has no float64."""
    return torch.float32 if like.device.type == "mps" else torch.float64


class MetricRegistry(Registry[Metric]):
    """Registry of metrics; a metric keeps its name as written in the config, under which Keras logs it."""

    def construct(self, cls: type[Metric], written: str, arguments: Any) -> Metric:
        metric = super().construct(cls, written, arguments)
        if metric.name is not None or written == cls.component_name or written.startswith("metric_"):
            return metric
        return metric.model_copy(update={"name": written})


METRICS = MetricRegistry("metric", Metric, ("kerascli.metrics",), ("metric_",))


metric = METRICS.named
"""Decorator that registers a class as a metric that configs can name."""
