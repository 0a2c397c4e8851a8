"""What a metric is: a state for each batch, states that add up, a value of the sum."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, TypeVar

from torch import Tensor

from kerascli.component import Component, Registry


class Metric(Component):
    """A figure over many batches. The state is one tensor; those of batches and processes are added."""

    direction: ClassVar[Literal["min", "max"]] = "min"
    """Which way is better: what `mode: auto` of callbacks goes by."""

    @abstractmethod
    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        """The state of a batch: a tensor (any fixed shape) on y_pred's device; no waiting for it.

        `sample_weight` has one value a sample (or time step), masks already multiplied in.
        """

    @abstractmethod
    def result(self, state: Tensor) -> Tensor:
        """The figure of an added-up state, a scalar (or a vector for per-class figures)."""

    def log_name(self) -> str:
        """The name in logs and history: Keras's, or `name:` where given."""
        return self.component_name


METRICS: Registry[Metric] = Registry("metric", Metric, ("kerascli.metrics",), ("metric_",))

M = TypeVar("M", bound=type[Metric])


def metric(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[M], M]:
    """Register a metric."""

    def register(cls: M) -> M:
        METRICS.register(cls, name=name, aliases=aliases)
        return cls

    return register
