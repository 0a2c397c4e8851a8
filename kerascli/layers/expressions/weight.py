"""Weight: a tensor that is trained, or kept, for itself."""

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from kerascli.layers.base import BaseLayer, Example, ShapeMismatch, WeightedModule, layer
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import GlorotUniform, Zeros
from kerascli.shapes import Sizes, TensorSpec


@layer(
    Example(input=[], output=(8, 4), config={"shape": [8, 4], "initializer": "random_normal"}),
    Example(input=[], output=(), config={"shape": [], "initializer": "ones", "constraint": "non_neg"}),
)
class Weight(BaseLayer):
    """A weight as a node, without a batch axis: formulas use it, and layers take its first axis for the batch's.

    `add_weight` of Keras's own layers. It is trained, unless `trainable` is false; `update` may change it then.
    """

    call_form = "none"
    by_rows = True

    shape: Sizes
    """All of it: there is no batch axis; [] is a single number."""
    initializer: InitializerField | None = None
    """What it starts with; null: glorot_uniform, of whole numbers and truth values zeros."""
    dtype: Literal["float32", "int32", "int64", "bool"] = "float32"
    """float32: the model's; whole numbers and truth values are not trained."""
    regularizer: RegularizerField | None = None
    """The penalty that is added to the loss."""
    constraint: ConstraintField | None = None
    """What it is projected to after each step."""

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.trainable and self.dtype != "float32":
            raise ValueError(f"dtype {self.dtype} cannot be trained: set trainable to false")
        return self

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        try:
            return WeightModule(self)
        except ShapeMismatch as mismatch:  # a part is called by what it is: `initializer`
            path = mismatch.fault.path
            argument = path[0].removeprefix("value_") if path and isinstance(path[0], str) else None
            raise ShapeMismatch(mismatch.fault.text, argument=argument) from None

    def output_spec(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return (TensorSpec(self.shape, self.dtype, batched=False),)


class WeightModule(WeightedModule):
    value: Tensor

    def __init__(self, settings: Weight) -> None:
        super().__init__()
        is_float = settings.dtype == "float32"
        self.add_weight(
            "value", settings.shape,
            initializer=settings.initializer or (GlorotUniform() if is_float else Zeros()),
            regularizer=settings.regularizer, constraint=settings.constraint, trainable=settings.trainable,
            dtype=None if is_float else getattr(torch, settings.dtype),
        )  # fmt: skip

    def forward(self) -> Tensor:  # -> shape
        return self.value
