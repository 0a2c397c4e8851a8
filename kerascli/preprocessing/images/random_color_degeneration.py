"""RandomColorDegeneration: images on their way to grey."""

from torch import Tensor

from kerascli.preprocessing.images.base import Factor, FactorOperation, Use, operation, span, uniform
from kerascli.preprocessing.images.color import grayscale


@operation(Use({"factor": 0.5}), Use({"factor": [0.2, 0.8], "value_range": [0.0, 1.0]}))
class RandomColorDegeneration(FactorOperation):
    """Mixes images with their grey selves while training: 0 changes nothing, 1 is grey."""

    channels = (1, 3)

    factor: Factor
    """The part of grey: drawn from 0 to this, or from [lowest, highest]."""

    def draw(self, x: Tensor) -> Tensor:
        return uniform(x, span(self.factor))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return (x + drawn * (grayscale(x) - x)).clamp(*self.value_range)
