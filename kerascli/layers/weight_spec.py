"""Specification of a weight: shape, initializer, regularizer and constraint, as in Keras."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kerascli.foundation.shapes import show_shape
from kerascli.parts.base import Constraint, Initializer, Regularizer

MAX_PARAMETERS = 2**31
"""Maximum number of parameters of a model, so that a typing error in `units` does not exhaust the memory."""
KINDS = ("initializer", "regularizer", "constraint")
"""Kinds of components that a weight has, which the names of its settings end with."""


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """Specification of a weight with its shape in Keras; the tensor in torch is `keras_weight.permute(axes)`."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer
    regularizer: Regularizer | None
    constraint: Constraint | None
    trainable: bool
    axes: tuple[int, ...] | None
    dtype: torch.dtype | None
    is_state: bool = False
    """True for the state of a stateful layer (one row per sample), stored like a weight but not part of the model."""

    @property
    def is_of_lora(self) -> bool:
        """True for a factor of the low-rank update of a layer with LoRA."""
        return self.name.startswith("lora_")

    def to_torch(self, weight: Tensor) -> Tensor:
        """Return a weight, given in Keras's layout, in torch's layout; both share their memory."""
        return weight if self.axes is None else weight.permute(self.axes)

    def to_keras(self, tensor: Tensor) -> Tensor:
        """Return a weight, given in torch's layout, in Keras's layout; both share their memory."""
        if self.axes is None:
            return tensor
        return tensor.permute(sorted(range(len(self.axes)), key=self.axes.__getitem__))

    def fault(self) -> tuple[str, str | None] | None:
        """Return (error message, one of KINDS that is at fault) if the weight is too large or one does not fit it; else
        None.

        A trial on the meta device finds it.
        """
        if (count := math.prod(self.shape)) > MAX_PARAMETERS:
            text = f"needs {count:,} parameters for its {self.name} {show_shape(self.shape)}"
            return f"{text}; the limit is {MAX_PARAMETERS:,} for a whole model", None
        meta = torch.empty(self.shape, device="meta")
        for kind in KINDS:
            try:
                if kind == "initializer":
                    self.initializer.check(self.shape)
                elif (part := getattr(self, kind)) is not None:
                    part(meta)
            except (IndexError, ValueError) as error:
                reason = "it has no such axis" if isinstance(error, IndexError) else error
                return f"the {kind} does not fit {self.name} {show_shape(self.shape)}: {reason}", kind
        return None


def prefix_of(weight: str) -> str:
    """Return how the names of a weight's settings begin: `recurrent_` (of `recurrent_initializer`) for
    `recurrent_kernel`."""
    return f"{weight.removesuffix('_kernel')}_"
