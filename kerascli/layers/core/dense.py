"""Dense: activation(x @ kernel + bias), over the last axis of an input of any rank."""

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import PositiveInt, TensorSpec
from kerascli.layers.absent import ADAPTERS_AND_QUANTIZATION
from kerascli.layers.base import Example, Layer, ShapeMismatch, WeightedModule, layer
from kerascli.parts import fields
from kerascli.parts.base import Activation
from kerascli.parts.initializers import GlorotUniform, Zeros


@layer(Example(input=(8,), output=(4,), config={"units": 4, "activation": "relu"}))
class Dense(Layer):
    """Fully connected layer: activation(x @ kernel + bias), along the last axis of the input.

    Input: (N, *, F). Output: (N, *, units). `kernel` is (F, units), `bias` (units,).
    """

    refused = ADAPTERS_AND_QUANTIZATION
    mask = "pass"
    row_independent = True

    units: PositiveInt
    """Number of output units: dimensionality of the output's last axis."""
    activation: fields.OutputActivation = None
    use_bias: fields.UseBias = True
    kernel_initializer: fields.KernelInitializer = GlorotUniform()
    bias_initializer: fields.BiasInitializer = Zeros()
    kernel_regularizer: fields.KernelRegularizer = None
    bias_regularizer: fields.BiasRegularizer = None
    activity_regularizer: fields.ActivityRegularizer = None
    kernel_constraint: fields.KernelConstraint = None
    bias_constraint: fields.BiasConstraint = None

    def build(self, x: TensorSpec) -> nn.Module:
        if not x.shape or x.shape[-1] is None:
            raise ShapeMismatch(f"needs an input with a known last axis, got {x}")
        return DenseModule(self, x.shape[-1])


class DenseModule(WeightedModule):
    kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: Dense, features: int) -> None:
        super().__init__()
        self.activation: Activation | None = settings.activation
        self.add_weight_of(settings, "kernel", (features, settings.units), axes=(1, 0))
        self.add_weight_of(settings, "bias", (settings.units,) if settings.use_bias else None)

    def forward(self, x: Tensor) -> Tensor:  # (N, *, F) -> (N, *, units)
        y = F.linear(x, self.kernel, self.bias)
        return y if self.activation is None else self.activation(y)
