"""RandomColorDegeneration: blends images with their grayscale version."""

from torch import Tensor

from kerascli.preprocessing.images.base import Factor, FactorOperation, Use, operation, span, uniform
from kerascli.preprocessing.images.color import grayscale


@operation(Use({"factor": 0.5}), Use({"factor": [0.2, 0.8], "value_range": [0.0, 1.0]}))
class RandomColorDegeneration(FactorOperation):
    """Blends each image with its grayscale version in training: factor 0 leaves it as it is, 1 replaces it.

    Input and output: (N, H, W, C), with 1 or 3 channels.
    """

    channels = (1, 3)

    factor: Factor
    """Weight of the grayscale version, drawn from 0 to this value, or from [lowest, highest]."""

    def draw(self, x: Tensor) -> Tensor:
        return uniform(x, span(self.factor))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return (x + drawn * (grayscale(x) - x)).clamp(*self.value_range)
