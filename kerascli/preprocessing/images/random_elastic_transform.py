"""RandomElasticTransform: smooth random distortion of images (Simard et al., 2003)."""

from typing import Literal

import torch
from torch import Tensor

from kerascli.foundation import draws
from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import (
    Factor,
    ImageOperation,
    Use,
    ValueRange,
    draw_selected,
    operation,
    span,
    uniform,
)
from kerascli.preprocessing.images.blur import blur, gaussian_taps
from kerascli.preprocessing.images.warp import FillMode, Interpolation, pixels, warp


@operation(Use(), Use({"factor": [0.5, 1.0], "scale": 0.5, "interpolation": "nearest", "fill_mode": "mirror"}))
class RandomElasticTransform(ImageOperation):
    """Distorts some images elastically in training: pixels are displaced by smoothed random noise.

    Input and output: (N, H, W, C). Paper: Simard et al., 2003.
    """

    factor: Factor = 1.0
    """Probability to change an image, drawn from 0 to this value, or from [lowest, highest]."""
    scale: Factor = 1.0
    """Strength of the distortion, drawn for each image from 0 to this value, or from [lowest, highest]."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    fill_mode: FillMode | Literal["mirror"] = "reflect"
    """Fill outside of the image: reflection (mirror: without border), wrapped copies, fill_value, or border pixels."""
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw which images to change (N, 1, 1, 1), the strength (N, 1), and noise across and down (N, 2, H, W)."""
        noise = x.new_empty((x.shape[0], 2, *x.shape[-2:]))
        return draw_selected(x, self.factor), uniform(x, span(self.scale), 1), draws.normal(noise)

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        selected, strength, noise = drawn
        height, width = x.shape[-2:]
        largest = span(self.scale)[1]
        if largest == 0:
            return x
        length = 0.05 * min(height, width)
        sigma = (strength * length).clamp(min=1e-6)
        taps = gaussian_taps(sigma, int(3 * (largest * length)), reach=(3 * sigma).floor())
        shift = blur(noise * sigma.view(-1, 1, 1, 1), taps, taps)
        shift = shift * (strength * 0.1 * max(height, width)).view(-1, 1, 1, 1)
        across, down = pixels(x)
        bent = warp(
            x, across + shift[:, 0], down + shift[:, 1],
            interpolation=self.interpolation, fill_mode=self.fill_mode, fill_value=self.fill_value,
        )  # fmt: skip
        return torch.where(selected, bent, x).clamp(*self.value_range)
