"""Weight: a layer without input whose output is a weight, trained or not."""

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import Sizes, TensorSpec
from kerascli.layers.base import BaseLayer, Example, WeightedModule, layer
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import GlorotUniform, Zeros


@layer(Example(input=[], output=(8, 4), config={"shape": [8, 4], "initializer": "random_normal"}))
class Weight(BaseLayer):
    """Weight as a node, for formulas and layers; it has no batch axis.

    Input: none. Output: `shape`; a layer takes its first axis as the batch axis. It is `add_weight` of Keras's custom
    layers. It is trained unless `trainable` is false; then `update` may change it.
    """

    call_form = "none"
    row_independent = True

    shape: Sizes
    """Whole shape of the weight, without a batch axis; [] is a scalar."""
    initializer: InitializerField | None = None
    """Initializer of the weight; null: glorot_uniform, and zeros for integers and booleans."""
    dtype: Literal["float32", "int32", "int64", "bool"] = "float32"
    """Data type; float32 means the model's floating-point type; integers and booleans cannot be trained."""
    regularizer: RegularizerField | None = None
    """Regularizer of the weight, a penalty added to the loss."""
    constraint: ConstraintField | None = None
    """Constraint applied to the weight after each update."""

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.trainable and self.dtype != "float32":
            raise ValueError(f"dtype {self.dtype} cannot be trained: set trainable to false")
        return self

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return WeightModule(self)

    def output_spec(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return (TensorSpec(self.shape, self.dtype, batched=False),)


class WeightModule(WeightedModule):
    value: Tensor

    def __init__(self, settings: Weight) -> None:
        super().__init__(settings)
        is_float = settings.dtype == "float32"
        start = settings.initializer or (GlorotUniform() if is_float else Zeros())
        dtype = None if is_float else getattr(torch, settings.dtype)
        self.add_weight_of(
            "value", settings.shape, prefix="", initializer=start, trainable=settings.trainable, dtype=dtype
        )

    def forward(self) -> Tensor:  # -> shape
        return self.value
