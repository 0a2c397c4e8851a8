"""Random brightness, contrast, saturation, hue and grayscale of images."""

from typing import Any

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Fraction, Seed, ValueRange
from kerascli.preprocessing.images import base


def rescaled(x: Tensor, old: ValueRange, new: ValueRange) -> Tensor:
    """Rescale pixel values linearly from one range to another."""
    return x if old == new else (x - old[0]) / (old[1] - old[0]) * (new[1] - new[0]) + new[0]


def grayscale(x: Tensor) -> Tensor:
    """Convert images (N, 3, H, W) to grayscale (N, 1, H, W) by ITU-R BT.601's weights; images of one channel stay."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert RGB images (N, 3, H, W) to hue, saturation and value (N, H, W) each; hues are from 0 to 1, red is 0."""
    red, green, blue = torch.where(x.abs() < torch.finfo(x.dtype).eps, 0.0, x).unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    saturation = torch.where(value > 0, chroma / torch.where(value > 0, value, 1.0), 0.0)
    unit = 1 / (6 * torch.where(chroma > 0, chroma, 1.0))
    hue = torch.where(value == green, unit * (blue - red) + 1 / 3, unit * (red - green) + 2 / 3)
    hue = torch.where(value == red, unit * (green - blue), hue)
    return torch.where(chroma > 0, hue, 0.0) + (hue < 0), saturation, value


def from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Convert hue, saturation and value (N, H, W) back to RGB images (N, 3, H, W)."""
    sixth = hue.remainder(1.0) * 6
    red = ((sixth - 3).abs() - 1).clamp(0, 1)
    green = (2 - (sixth - 2).abs()).clamp(0, 1)
    blue = (2 - (sixth - 4).abs()).clamp(0, 1)
    return torch.stack([value * (1 - saturation + saturation * part) for part in (red, green, blue)], 1)


@base.operation({"factor": 0.2})
class RandomBrightness(base.FactorOperation):
    """Adds a random number to all values of an image in training, and clips to the range of values.

    Input and output: (N, H, W, C).
    """

    factor: base.SignedFactor
    """Change of the values as a fraction of their range, from -x to x for a number x, or from [lowest, highest]."""

    def draw(self, x: Tensor) -> Tensor:
        low, high = self.value_range
        return base.uniform(x, base.signed_span(self.factor)) * (high - low)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return (x + drawn).clamp(*self.value_range)


@base.operation({"factor": 0.2})
class RandomContrast(base.FactorOperation):
    """Multiplies the differences from each channel's mean by a random number in training, and clips to the range.

    Input and output: (N, H, W, C).
    """

    factor: base.Factor
    """Number f: contrast is multiplied by 1 - f to 1 + f, at random; [lower, upper]: by 1 - lower to 1 + upper."""

    def draw(self, x: Tensor) -> Tensor:
        lower, upper = sorted(self.factor) if isinstance(self.factor, tuple) else (self.factor, self.factor)
        return base.uniform(x, (1 - lower, 1 + upper))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        mean = x.mean((-2, -1), keepdim=True)
        return ((x - mean) * drawn + mean).clamp(*self.value_range)


_EPSILON = 1e-7


@base.operation({"factor": 0.6})
class RandomSaturation(base.FactorOperation):
    """Multiplies the saturation by factor / (1 - factor) in training: 0 gives grayscale, 0.5 no change.

    Input and output: (N, H, W, 3).
    """

    channels = (3,)

    factor: base.Factor
    """Factor drawn from 0 to this value, or from [lowest, highest]: 0 gives grayscale, 0.5 changes nothing."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values; as in Keras the saturation is clipped to it."""

    def draw(self, x: Tensor) -> Tensor:
        """Draw the multiplier of the saturation (N, 1, 1)."""
        factor = base.uniform(x, self.factor, 1, 1)
        return factor / (1 - factor + _EPSILON)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        hue, saturation, value = to_hsv(x)
        return from_hsv(hue, (saturation * drawn).clamp(*self.value_range), value)


@base.operation({"factor": 0.2})
class RandomHue(base.FactorOperation):
    """Shifts the hue of each image by a random angle in training.

    Input and output: (N, H, W, 3).
    """

    channels = (3,)

    factor: base.Factor
    """Shift of the hue to either side, from 0 to this value, or from [lowest, highest]; 1: half the colour wheel."""

    def draw(self, x: Tensor) -> Tensor:
        """Draw the shift of each image's hue, as a fraction of the colour wheel (N, 1, 1)."""
        sign = torch.where(base.uniform(x, (0, 1), 1, 1) > 0.5, -0.5, 0.5)
        return sign * base.uniform(x, self.factor, 1, 1)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        hue, saturation, value = to_hsv(rescaled(x, self.value_range, (0, 1)))
        turned = from_hsv(hue + drawn, saturation, value).clamp(0, 1)
        return rescaled(turned, (0, 1), self.value_range)


@base.operation({"brightness_factor": 0.2, "contrast_factor": 0.2, "saturation_factor": [0.4, 0.6], "hue_factor": 0.1})
class RandomColorJitter(base.ImageOperation):
    """Changes brightness, contrast, saturation and hue of images at random in training, in this order.

    Input and output: (N, H, W, 3).
    """

    channels = (3,)

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    brightness_factor: base.SignedFactor | None = None
    """Factor of random_brightness; null: brightness stays as it is."""
    contrast_factor: base.Factor | None = None
    """Factor of random_contrast; null: contrast stays as it is."""
    saturation_factor: base.Factor | None = None
    """Factor of random_saturation; null: saturation stays as it is."""
    hue_factor: base.Factor | None = None
    """Factor of random_hue; null: hue stays as it is."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def parts(self) -> list[base.ImageOperation]:
        """Return the colour operations to apply to an image, in order."""
        factors: dict[type[base.FactorOperation], Any] = {
            RandomBrightness: self.brightness_factor, RandomContrast: self.contrast_factor,
            RandomSaturation: self.saturation_factor, RandomHue: self.hue_factor,
        }  # fmt: skip
        return [kind(factor=each, value_range=self.value_range) for kind, each in factors.items() if each is not None]

    def draw(self, x: Tensor) -> list[Any]:
        return [part.draw(x) for part in self.parts()]

    def change(self, x: Tensor, drawn: list[Any]) -> Tensor:
        for part, numbers in zip(self.parts(), drawn, strict=True):
            x = part.change(x, numbers)
        return x


@base.operation({"factor": 0.5})
class RandomColorDegeneration(base.FactorOperation):
    """Blends each image with its grayscale version in training: factor 0 leaves it as it is, 1 replaces it.

    Input and output: (N, H, W, C), with 1 or 3 channels.
    """

    channels = (1, 3)

    factor: base.Factor
    """Weight of the grayscale version, drawn from 0 to this value, or from [lowest, highest]."""

    def draw(self, x: Tensor) -> Tensor:
        return base.uniform(x, self.factor)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return (x + drawn * (grayscale(x) - x)).clamp(*self.value_range)


@base.operation({})
class RandomGrayscale(base.ImageOperation):
    """Converts some images to grayscale in training; they keep their channels, with equal values.

    Input and output: (N, H, W, C), with 1 or 3 channels.
    """

    channels = (1, 3)

    factor: Fraction = 0.5
    """Probability to convert an image."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    def draw(self, x: Tensor) -> Tensor:
        return base.uniform(x, (0, 1)) < self.factor

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, grayscale(x), x)
