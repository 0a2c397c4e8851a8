"""Rescaling: x * scale + offset."""

from torch import Tensor, nn


class RescalingModule(nn.Module):
    """Computes in float32 unless the input is floating point."""

    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        x = x if x.is_floating_point() else x.float()
        x = x * self.scale
        return x + self.offset if self.offset else x
