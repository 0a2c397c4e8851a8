"""RandomHue: shifts the hue of images."""

import torch
from torch import Tensor

from kerascli.preprocessing.images.base import Factor, FactorOperation, Use, operation, span, uniform
from kerascli.preprocessing.images.color import from_hsv, rescaled, to_hsv


@operation(Use({"factor": 0.2}), Use({"factor": [0.2, 0.5], "value_range": [0.0, 1.0]}))
class RandomHue(FactorOperation):
    """Shifts the hue of each image by a random angle in training.

    Input and output: (N, H, W, 3).
    """

    channels = (3,)

    factor: Factor
    """Shift of the hue to either side, from 0 to this value, or from [lowest, highest]; 1: half the colour wheel."""

    def draw(self, x: Tensor) -> Tensor:
        """Draw the shift of each image's hue, as a fraction of the colour wheel (N, 1, 1)."""
        sign = torch.where(uniform(x, (0, 1), 1, 1) > 0.5, -0.5, 0.5)
        return sign * uniform(x, span(self.factor), 1, 1)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        hue, saturation, value = to_hsv(rescaled(x, self.value_range, (0, 1)))
        turned = from_hsv(hue + drawn, saturation, value).clamp(0, 1)
        return rescaled(turned, (0, 1), self.value_range)
