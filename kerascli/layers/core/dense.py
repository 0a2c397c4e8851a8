"""Dense: activation(x @ kernel + bias), over the last axis of an input of any rank."""

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import PositiveInt, TensorSpec
from kerascli.layers.absent import QUANTIZATION
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.layers.kernels import KernelAndBias, OutputArguments
from kerascli.layers.lora import LowRank, LowRankModule


class DenseArguments(Layer):
    """Mixin with the first argument of `dense`."""

    units: PositiveInt
    """Number of output units: dimensionality of the output's last axis."""


@layer(Example(input=(8,), output=(4,), config={"units": 4, "activation": "relu"}))
class Dense(LowRank, KernelAndBias, OutputArguments, DenseArguments):
    """Fully connected layer: activation(x @ kernel + bias), along the last axis of the input.

    Input: (N, *, F). Output: (N, *, units). `kernel` is (F, units), `bias` (units,).
    """

    refused = QUANTIZATION
    mask = "pass"
    row_independent = True

    def build(self, x: TensorSpec) -> nn.Module:
        if not x.shape or x.shape[-1] is None:
            raise ShapeMismatch(f"needs an input with a known last axis, got {x}")
        return DenseModule(self, x.shape[-1])


class DenseModule(LowRankModule):
    bias: Tensor | None

    def __init__(self, settings: Dense, features: int) -> None:
        super().__init__(settings)
        self.add_weight_of("kernel", (features, settings.units), axes=(1, 0))
        self.add_weight_of("bias", (settings.units,) if settings.use_bias else None)
        self.add_lora("kernel")

    def forward(self, x: Tensor) -> Tensor:  # (N, *, F) -> (N, *, units)
        y = F.linear(x, self.adapted("kernel"), self.bias)
        return y if self.settings.activation is None else self.settings.activation(y)
