"""RandomSaturation: increases or reduces the saturation of images."""

from torch import Tensor

from kerascli.preprocessing.images.base import Factor, FactorOperation, Use, ValueRange, operation, span, uniform
from kerascli.preprocessing.images.color import from_hsv, to_hsv

_EPSILON = 1e-7


@operation(Use({"factor": 0.6}), Use({"factor": [0.4, 0.5], "value_range": [0.0, 1.0]}))
class RandomSaturation(FactorOperation):
    """Multiplies the saturation by factor / (1 - factor) in training: 0 gives grayscale, 0.5 no change.

    Input and output: (N, H, W, 3).
    """

    channels = (3,)

    factor: Factor
    """Factor drawn from 0 to this value, or from [lowest, highest]: 0 gives grayscale, 0.5 changes nothing."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values; as in Keras the saturation is clipped to it."""

    def draw(self, x: Tensor) -> Tensor:
        """Draw the multiplier of the saturation (N, 1, 1)."""
        factor = uniform(x, span(self.factor), 1, 1)
        return factor / (1 - factor + _EPSILON)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        hue, saturation, value = to_hsv(x)
        return from_hsv(hue, (saturation * drawn).clamp(*self.value_range), value)
