"""LayerScale: a learned factor for each channel, initially small (Touvron et al., 2021)."""

from torch import Tensor, nn

from kerascli.foundation.shapes import PositiveInt, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, WeightedModule, layer
from kerascli.parts.initializers import Constant


@layer(Example(input=(4, 4, 3), output=(4, 4, 3), config={"init_values": 1e-6, "projection_dim": 3}))
class LayerScale(Layer):
    """Multiplies each channel (last axis) by a learned factor `gamma`, which starts from `init_values`.

    Input and output: (N, *, C). Residual branches of ConvNeXt start near 0 by it; Keras keeps it in
    `keras.applications`, as a part of ConvNeXt. Paper: Touvron et al., 2021.
    """

    init_values: float
    """Initial value of each factor `gamma`."""
    projection_dim: PositiveInt
    """Number of factors: the size of the last axis, or 1 for a single factor."""

    def build(self, x: TensorSpec) -> nn.Module:
        size = x.shape[-1] if x.shape else None
        if self.projection_dim not in (1, size):
            text = f"projection_dim {self.projection_dim} does not fit an input of {x}"
            hint = "it is the size of the last axis, or 1"
            raise ShapeMismatch(text, hint=hint, argument="projection_dim")
        return LayerScaleModule(self.projection_dim, self.init_values)


class LayerScaleModule(WeightedModule):
    gamma: Tensor

    def __init__(self, size: int, start: float) -> None:
        super().__init__()
        self.add_weight("gamma", (size,), initializer=Constant(value=start))

    def forward(self, x: Tensor) -> Tensor:  # (N, *, C) -> (N, *, C)
        return x * self.gamma
