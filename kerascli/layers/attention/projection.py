"""Dense projection of a tensor's last axes to new axes: features to attention heads, and back."""

from typing import Protocol

from torch import Tensor
from torch.nn import functional as F

from kerascli.layers.base import WeightedModule
from kerascli.parts.base import Initializer
from kerascli.parts.initializers import with_fans


class Projecting(Protocol):
    """Protocol of a layer's settings with the attributes that `Projection` reads; `add_weight_of` reads further
    settings by their names."""

    @property
    def use_bias(self) -> bool: ...
    @property
    def kernel_initializer(self) -> Initializer: ...


class Projection(WeightedModule):
    """Dense projection of a tensor's last axes, with sizes `ins`, to axes with sizes `outs`.

    The kernel has the shape (*ins, *outs) in Keras and (*outs, *ins) in torch.
    """

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: Projecting, ins: tuple[int, ...], outs: tuple[int, ...]) -> None:
        super().__init__()
        self.ins, self.outs = ins, outs
        of_ins, of_outs = tuple(range(len(ins))), tuple(range(len(ins), len(ins) + len(outs)))
        start = with_fans(settings.kernel_initializer, of_ins, of_outs)
        self.add_weight_of(settings, "kernel", (*ins, *outs), initializer=start, axes=(*of_outs, *of_ins))
        self.add_weight_of(settings, "bias", outs if settings.use_bias else None)

    def forward(self, x: Tensor) -> Tensor:  # (N, *, ins) -> (N, *, outs)
        kernel = self.kernel.flatten(len(self.outs)).flatten(0, -2)
        y = F.linear(x.flatten(-len(self.ins)), kernel, None if self.bias is None else self.bias.flatten())
        return y.unflatten(-1, self.outs)
