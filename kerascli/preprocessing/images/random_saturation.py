"""RandomSaturation: colours stronger or weaker."""

from torch import Tensor

from kerascli.preprocessing.images.base import Factor, FactorOperation, Use, ValueRange, operation, span, uniform
from kerascli.preprocessing.images.color import from_hsv, to_hsv

_EPSILON = 1e-7


@operation(Use({"factor": 0.6}), Use({"factor": [0.4, 0.5], "value_range": [0.0, 1.0]}))
class RandomSaturation(FactorOperation):
    """Multiplies the saturation by factor / (1 - factor) while training; 0 is grey, 0.5 changes nothing."""

    channels = (3,)

    factor: Factor
    """Drawn from 0 to this, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """The lowest and the highest value of the images; as in Keras the saturation is held to it."""

    def draw(self, x: Tensor) -> Tensor:
        """What the saturation is multiplied by (N, 1, 1)."""
        factor = uniform(x, span(self.factor), 1, 1)
        return factor / (1 - factor + _EPSILON)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        hue, saturation, value = to_hsv(x)
        return from_hsv(hue, (saturation * drawn).clamp(*self.value_range), value)
