"""RandAugment: random operations on each image (Cubuk et al., 2019)."""

from typing import Any

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, PositiveInt, Seed
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


@operation(Use(), Use({"num_ops": 1, "factor": [0.2, 0.4], "value_range": [0.0, 1.0], "interpolation": "nearest"}))
class RandAugment(ImageOperation):
    """RandAugment: in training applies to each image `num_ops` operations, drawn at random from eleven.

    Input and output: (N, H, W, C), with 1 or 3 channels. All eleven operations are computed for all images, and one is
    selected, so that nothing waits for the random numbers. Paper: Cubuk et al., 2019.
    """

    channels = (1, 3)

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    num_ops: PositiveInt = 2
    """Number of operations applied to each image, one after the other."""
    factor: Factor = 0.5
    """Strength of the operations, passed to each as its factor: from 0 to 1, or [lowest, highest]."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> list[tuple[Tensor, list[Any]]]:
        """Draw, `num_ops` times, each image's operation index (N, 1, 1, 1) and the parameters of all operations."""
        parts = augmentations(span(self.factor), self.value_range, self.interpolation)
        return [(draw_index(x, len(parts)), [part.draw(x) for part in parts]) for _ in range(self.num_ops)]

    def change(self, x: Tensor, drawn: list[tuple[Tensor, list[Any]]]) -> Tensor:
        parts = augmentations(span(self.factor), self.value_range, self.interpolation)
        for index, numbers in drawn:
            x = apply_selected(parts, x, index, numbers)
        return x


def augmentations(factor: Span, value_range: Span, interpolation: Interpolation) -> list[ImageOperation]:
    """Return Keras's eleven image operations: first those that change positions and shades, last those for colours."""
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


def draw_index(x: Tensor, count: int) -> Tensor:
    """Draw an index from 0 to count - 1 for each image of a batch (N, 1, 1, 1)."""
    return uniform(x, (0, count)).floor().clamp(max=count - 1)


def apply_selected(parts: list[ImageOperation], x: Tensor, index: Tensor, drawn: list[Any]) -> Tensor:
    """Apply to each image the operation in `parts` with its index; an index past the end leaves the image unchanged."""
    result = x
    for number, (part, numbers) in enumerate(zip(parts, drawn, strict=True)):
        result = torch.where(index == number, part.change(x, numbers), result)
    return result
