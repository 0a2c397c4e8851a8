"""What a loss is: a value for each sample, reduced as Keras reduces."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, TypeVar

from torch import Tensor

from kerascli.component import Component, Registry
from kerascli.shapes import TensorSpec

Reduction = Literal["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"]


class Loss(Component):
    """The distance of predictions from targets; `values` is what a concrete loss defines.

    `reduction` is declared last by each concrete loss's fields, so the first argument is the loss's own.
    """

    reduction: Reduction = "sum_over_batch_size"

    sparse_targets: ClassVar[bool] = False
    """Targets are class numbers, one fewer axis than the predictions (or a last axis of 1)."""

    @abstractmethod
    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value a sample (and time step, pixel ...): the last axis of the predictions is gone."""

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, *, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The reduced loss, a scalar: as keras/src/losses/loss.py does it, masks and weights included."""
        raise NotImplementedError  # TO DO by the losses' author

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        """What does not fit (in words that name the remedy), or None. `validate` adds the place."""
        return None

    @classmethod
    def first_argument(cls) -> str | None:
        return next((name for name in cls.model_fields if name != "reduction"), "reduction")


LOSSES: Registry[Loss] = Registry("loss", Loss, ("kerascli.losses",), ("loss_",))

L = TypeVar("L", bound=type[Loss])


def loss(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[L], L]:
    """Register a loss."""

    def register(cls: L) -> L:
        LOSSES.register(cls, name=name, aliases=aliases)
        return cls

    return register
