"""RandomColorJitter: random brightness, contrast, saturation and hue, one after the other."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import Factor, ImageOperation, SignedFactor, Use, ValueRange, operation
from kerascli.preprocessing.images.random_brightness import RandomBrightness
from kerascli.preprocessing.images.random_contrast import RandomContrast
from kerascli.preprocessing.images.random_hue import RandomHue
from kerascli.preprocessing.images.random_saturation import RandomSaturation


@operation(
    Use({"brightness_factor": 0.2, "contrast_factor": 0.2, "saturation_factor": [0.4, 0.6], "hue_factor": 0.1}),
    Use({"value_range": [0.0, 1.0], "contrast_factor": [0.1, 0.2]}),
)
class RandomColorJitter(ImageOperation):
    """Changes brightness, contrast, saturation and hue of images at random in training, in this order.

    Input and output: (N, H, W, 3).
    """

    channels = (3,)

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    brightness_factor: SignedFactor | None = None
    """Factor of random_brightness; null: brightness stays as it is."""
    contrast_factor: Factor | None = None
    """Factor of random_contrast; null: contrast stays as it is."""
    saturation_factor: Factor | None = None
    """Factor of random_saturation; null: saturation stays as it is."""
    hue_factor: Factor | None = None
    """Factor of random_hue; null: hue stays as it is."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def parts(self) -> Iterator[ImageOperation]:
        """Yield the colour operations to apply to an image, in order."""
        if self.brightness_factor is not None:
            yield RandomBrightness(factor=self.brightness_factor, value_range=self.value_range)
        if self.contrast_factor is not None:
            yield RandomContrast(factor=self.contrast_factor, value_range=self.value_range)
        if self.saturation_factor is not None:
            yield RandomSaturation(factor=self.saturation_factor, value_range=self.value_range)
        if self.hue_factor is not None:
            yield RandomHue(factor=self.hue_factor, value_range=self.value_range)

    def draw(self, x: Tensor) -> list[Any]:
        return [part.draw(x) for part in self.parts()]

    def change(self, x: Tensor, drawn: list[Any]) -> Tensor:
        for part, numbers in zip(self.parts(), drawn, strict=True):
            x = part.change(x, numbers)
        return x
