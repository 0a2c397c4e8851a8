"""PReLU: a leaky relu that learns its slopes (He et al., 2015)."""

import torch
from torch import Tensor, nn

from kerascli.layers.base import Example, Layer, ShapeMismatch, WeightedModule, layer
from kerascli.layers.geometry import positive_axes
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import Zeros
from kerascli.shapes import Axes, TensorSpec


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(4, 4, 3), output=(4, 4, 3), config={"shared_axes": [1, 2]}),
    name="prelu",
    aliases=("activation_parametric_relu", "parametric_relu"),
)
class PReLU(Layer):
    """x above 0, alpha * x below; alpha is learned for each place of a sample."""

    mask = "pass"

    alpha_initializer: InitializerField = Zeros()
    """What the slopes start from."""
    alpha_regularizer: RegularizerField | None = None
    """A penalty on the slopes, added to the loss."""
    alpha_constraint: ConstraintField | None = None
    """What the slopes are held to after each update."""
    shared_axes: Axes | None = None
    """Axes along which there is one slope: [1, 2] gives each channel of an image its own."""

    def build(self, x: TensorSpec) -> nn.Module:
        shared = () if self.shared_axes is None else positive_axes(self.shared_axes, x, "shared_axes")
        sizes = [1 if axis in shared else size for axis, size in enumerate(x.shape, start=1)]
        if None in sizes:
            hint = f"share it: shared_axes: [{', '.join(str(i) for i, size in enumerate(sizes, 1) if size is None)}]"
            raise ShapeMismatch(f"needs a known size for each axis with slopes of its own, got {x}", hint=hint)
        return PReLUModule(self, tuple(size for size in sizes if size is not None))


class PReLUModule(WeightedModule):
    alpha: Tensor

    def __init__(self, settings: PReLU, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.add_weight_of(settings, "alpha", shape)

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        return torch.relu(x) - self.alpha * torch.relu(-x)
