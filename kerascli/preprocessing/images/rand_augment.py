"""RandAugment: a few operations of many on each image (Cubuk et al., 2019)."""

from typing import Any

import torch
from torch import Tensor

from kerascli.preprocessing.images.auto_contrast import AutoContrast
from kerascli.preprocessing.images.base import Factor, ImageOperation, Span, Use, ValueRange, operation, span, uniform
from kerascli.preprocessing.images.equalization import Equalization
from kerascli.preprocessing.images.random_brightness import RandomBrightness
from kerascli.preprocessing.images.random_color_degeneration import RandomColorDegeneration
from kerascli.preprocessing.images.random_contrast import RandomContrast
from kerascli.preprocessing.images.random_posterization import RandomPosterization
from kerascli.preprocessing.images.random_rotation import RandomRotation
from kerascli.preprocessing.images.random_sharpness import RandomSharpness
from kerascli.preprocessing.images.random_shear import RandomShear
from kerascli.preprocessing.images.random_translation import RandomTranslation
from kerascli.preprocessing.images.solarization import Solarization
from kerascli.preprocessing.images.warp import Interpolation
from kerascli.shapes import DataFormat, PositiveInt, Seed


@operation(Use(), Use({"num_ops": 1, "factor": [0.2, 0.4], "value_range": [0.0, 1.0], "interpolation": "nearest"}))
class RandAugment(ImageOperation):
    """Does `num_ops` operations of eleven to each image while training, each image its own.

    All eleven are computed for all images, and one is taken: no step waits to see what was drawn.
    """

    channels = (1, 3)

    value_range: ValueRange = (0, 255)
    """The lowest and the highest value of the images."""
    num_ops: PositiveInt = 2
    """How many operations an image goes through."""
    factor: Factor = 0.5
    """How strong they are: the factor of each of them."""
    interpolation: Interpolation = "bilinear"
    """How values between pixels are found."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> list[tuple[Tensor, list[Any]]]:
        """For each turn the number of each image's operation (N, 1, 1, 1), and what all operations draw."""
        parts = augmentations(span(self.factor), self.value_range, self.interpolation)
        return [(which(x, len(parts)), [part.draw(x) for part in parts]) for _ in range(self.num_ops)]

    def change(self, x: Tensor, drawn: list[tuple[Tensor, list[Any]]]) -> Tensor:
        parts = augmentations(span(self.factor), self.value_range, self.interpolation)
        for index, numbers in drawn:
            x = one_of(parts, x, index, numbers)
        return x


def augmentations(factor: Span, value_range: Span, interpolation: Interpolation) -> list[ImageOperation]:
    """The eleven operations of Keras, those that move or reshade images first, those that recolour them last."""
    return [
        RandomShear(x_factor=factor, y_factor=factor, interpolation=interpolation),
        RandomTranslation(height_factor=factor, width_factor=factor, interpolation=interpolation),
        RandomRotation(factor=factor, interpolation=interpolation),
        RandomPosterization(factor=max(1, int(8 * factor[1])), value_range=value_range),
        Solarization(addition_factor=factor, threshold_factor=factor, value_range=value_range),
        AutoContrast(value_range=value_range),
        Equalization(value_range=value_range),
        RandomBrightness(factor=factor, value_range=value_range),
        RandomColorDegeneration(factor=factor, value_range=value_range),
        RandomContrast(factor=factor, value_range=value_range),
        RandomSharpness(factor=factor, value_range=value_range),
    ]


def which(x: Tensor, count: int) -> Tensor:
    """A number from 0 to count - 1 for each image (N, 1, 1, 1)."""
    return uniform(x, (0, count)).floor().clamp(max=count - 1)


def one_of(parts: list[ImageOperation], x: Tensor, index: Tensor, drawn: list[Any]) -> Tensor:
    """Each image after the operation of its index; an index beyond the last: as it is."""
    result = x
    for number, (part, numbers) in enumerate(zip(parts, drawn, strict=True)):
        result = torch.where(index == number, part.change(x, numbers), result)
    return result
