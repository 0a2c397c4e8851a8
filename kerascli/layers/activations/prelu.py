"""PReLU: leaky ReLU with learned slopes (He et al., 2015)."""

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import Axes, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, WeightedModule, layer
from kerascli.layers.geometry import positive_axes
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import Zeros


@layer(Example(input=(8,), output=(8,)), name="prelu", aliases=("activation_parametric_relu", "parametric_relu"))
class PReLU(Layer):
    """Parametric ReLU: x above 0, alpha * x below, with a learned `alpha` for each position of a sample.

    Input and output: (N, *). Paper: He et al., 2015.
    """

    mask = "pass"

    alpha_initializer: InitializerField = Zeros()
    """Initializer of the slopes `alpha`."""
    alpha_regularizer: RegularizerField | None = None
    """Regularizer of the slopes, a penalty added to the loss."""
    alpha_constraint: ConstraintField | None = None
    """Constraint applied to the slopes after each update."""
    shared_axes: Axes | None = None
    """Axes along which the slopes are shared, counted from 1: [1, 2] leaves one slope for each channel of an image.

    As in Keras, -1 is the last axis but one.
    """

    def build(self, x: TensorSpec) -> nn.Module:
        given = (self.shared_axes,) if isinstance(self.shared_axes, int) else self.shared_axes or ()
        shared = positive_axes(tuple(axis - (axis < 0) for axis in given), x, "shared_axes") if given else ()
        sizes = [1 if axis in shared else size for axis, size in enumerate(x.shape, start=1)]
        if None in sizes:
            hint = f"share it: shared_axes: [{', '.join(str(i) for i, size in enumerate(sizes, 1) if size is None)}]"
            text = f"needs a known size for each axis along which slopes are not shared, got {x}"
            raise ShapeMismatch(text, hint=hint)
        return PReLUModule(self, tuple(size for size in sizes if size is not None))


class PReLUModule(WeightedModule):
    alpha: Tensor

    def __init__(self, settings: PReLU, shape: tuple[int, ...]) -> None:
        super().__init__(settings)
        self.add_weight_of("alpha", shape)

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        return torch.relu(x) - self.alpha * torch.relu(-x)
