"""A dense layer from some last axes to others: how attentions come to their heads and back."""

from typing import Protocol

from torch import Tensor
from torch.nn import functional as F

from kerascli.layers.base import WeightedModule
from kerascli.parts.base import Constraint, Initializer, Regularizer
from kerascli.parts.initializers import with_fans


class Projecting(Protocol):
    """Settings that all projections of a layer share."""

    @property
    def use_bias(self) -> bool: ...
    @property
    def kernel_initializer(self) -> Initializer: ...
    @property
    def bias_initializer(self) -> Initializer: ...
    @property
    def kernel_regularizer(self) -> Regularizer | None: ...
    @property
    def bias_regularizer(self) -> Regularizer | None: ...
    @property
    def kernel_constraint(self) -> Constraint | None: ...
    @property
    def bias_constraint(self) -> Constraint | None: ...


class Projection(WeightedModule):
    """Keras's kernel has the axes `ins` and `outs`; torch's the other way round, so that it is that of a linear."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: Projecting, ins: tuple[int, ...], outs: tuple[int, ...]) -> None:
        super().__init__()
        self.ins, self.outs = ins, outs
        of_ins, of_outs = tuple(range(len(ins))), tuple(range(len(ins), len(ins) + len(outs)))
        self.add_weight(
            "kernel", (*ins, *outs), axes=(*of_outs, *of_ins),
            initializer=with_fans(settings.kernel_initializer, of_ins, of_outs),
            regularizer=settings.kernel_regularizer, constraint=settings.kernel_constraint,
        )  # fmt: skip
        if settings.use_bias:
            self.add_weight(
                "bias", outs, initializer=settings.bias_initializer,
                regularizer=settings.bias_regularizer, constraint=settings.bias_constraint,
            )  # fmt: skip
        else:
            self.bias = None

    def forward(self, x: Tensor) -> Tensor:  # (N, *, ins) -> (N, *, outs)
        kernel = self.kernel.flatten(len(self.outs)).flatten(0, -2)
        y = F.linear(x.flatten(-len(self.ins)), kernel, None if self.bias is None else self.bias.flatten())
        return y.unflatten(-1, self.outs)
