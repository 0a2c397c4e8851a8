"""RandomSharpness: sharpens or blurs images."""

import torch.nn.functional as F
from torch import Tensor

from kerascli.preprocessing.images.base import Factor, FactorOperation, Use, operation, span, uniform


@operation(Use({"factor": 0.5}), Use({"factor": [0.2, 0.9], "value_range": [0.0, 1.0]}))
class RandomSharpness(FactorOperation):
    """Sharpens or blurs images in training: factor 0 blurs, 0.5 leaves them as they are, 1 sharpens most.

    Input and output: (N, H, W, C).
    """

    factor: Factor
    """Factor drawn from 0 to this value, or from [lowest, highest]: 0 blurs, 0.5 changes nothing, 1 sharpens most."""

    def draw(self, x: Tensor) -> Tensor:
        return 2 * uniform(x, span(self.factor))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        # 3 x 3 window of weights 1/13, with 5/13 in the centre; zeros around the image
        smooth = (9 * F.avg_pool2d(x, 3, 1, 1) + 4 * x) / 13
        return (x + (1 - drawn) * (smooth - x)).clamp(*self.value_range)
