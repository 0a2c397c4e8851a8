"""What is declared of a weight: its shape and its parts, as Keras knows them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kerascli.parts.base import Constraint, Initializer, Regularizer
from kerascli.shapes import show_shape

MAX_PARAMETERS = 2**31
"""Of a whole model: a typing error in `units` must not take the machine down."""


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """A weight as Keras knows it. torch's tensor is `keras_weight.permute(axes)`, no more than that."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer
    regularizer: Regularizer | None
    constraint: Constraint | None
    trainable: bool
    axes: tuple[int, ...] | None
    dtype: torch.dtype | None
    is_state: bool = False
    """What a stateful layer remembers of the rows of a batch: kept like a weight, but no part of the model."""

    def to_torch(self, weight: Tensor) -> Tensor:
        """Keras's layout -> torch's, as a view."""
        return weight if self.axes is None else weight.permute(self.axes)

    def to_keras(self, tensor: Tensor) -> Tensor:
        """torch's layout -> Keras's, as a view."""
        if self.axes is None:
            return tensor
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return tensor.permute(inverse)

    def fault(self) -> tuple[str, str | None] | None:
        """What would fail in training, tried on a weight of no numbers; and the setting that it is about."""
        if (count := math.prod(self.shape)) > MAX_PARAMETERS:
            text = f"needs {count:,} parameters for its {self.name} {show_shape(self.shape)}"
            return f"{text}; the limit is {MAX_PARAMETERS:,} for a whole model", None
        meta = torch.empty(self.shape, device="meta")
        trials: dict[str, Callable[[], object]] = {"initializer": partial(self.initializer.check, self.shape)}
        if self.regularizer is not None:
            trials["regularizer"] = partial(self.regularizer, meta)
        if self.constraint is not None:
            trials["constraint"] = partial(self.constraint, meta)
        for kind, trial in trials.items():
            try:
                trial()
            except (IndexError, ValueError) as error:
                reason = "it has no such axis" if isinstance(error, IndexError) else error
                text = f"the {kind} does not fit {self.name} {show_shape(self.shape)}: {reason}"
                return text, f"{part_of(self.name)}_{kind}"
        return None


def part_of(weight: str) -> str:
    """What settings call a weight: recurrent_kernel has a recurrent_initializer, kernel a kernel_initializer."""
    return weight.removesuffix("_kernel")
