"""Torch module that is shared by all layers that only apply an activation function."""

from torch import Tensor, nn

from kerascli.parts.base import Activation


class ActivationModule(nn.Module):
    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        return self.activation(x)
