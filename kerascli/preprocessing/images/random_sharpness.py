"""RandomSharpness: images sharper, or blurred a little."""

import torch.nn.functional as F
from torch import Tensor

from kerascli.preprocessing.images.base import Factor, FactorOperation, Use, operation, span, uniform


@operation(Use({"factor": 0.5}), Use({"factor": [0.2, 0.9], "value_range": [0.0, 1.0]}))
class RandomSharpness(FactorOperation):
    """Blurs or sharpens images while training: 0 is blurred, 0.5 changes nothing, 1 is sharpest."""

    factor: Factor
    """Drawn from 0 to this, or from [lowest, highest]."""

    def draw(self, x: Tensor) -> Tensor:
        return 2 * uniform(x, span(self.factor))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        # a window of 3 x 3 with weights 1/13, in the middle 5/13; around the image there are zeros
        smooth = (9 * F.avg_pool2d(x, 3, 1, 1) + 4 * x) / 13
        return (x + (1 - drawn) * (smooth - x)).clamp(*self.value_range)
