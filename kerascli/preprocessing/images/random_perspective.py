"""RandomPerspective: changes the perspective of images."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Fraction, Seed
from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, draw_selected, operation, uniform
from kerascli.preprocessing.images.warp import Interpolation, pixels, warp


@operation(Use(), Use({"factor": [0.5, 1.0], "scale": 0.4, "interpolation": "nearest", "fill_value": 2.0}))
class RandomPerspective(ImageOperation):
    """Transforms the perspective of some images in training, by moving their corners; the upper left one stays.

    Input and output: (N, H, W, C).
    """

    factor: Factor = 1.0
    """Probability to change an image, drawn from 0 to this value, or from [lowest, highest]."""
    scale: Fraction = 1.0
    """Maximum movement of a corner: a coordinate changes by a random fraction of itself, up to half this number."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    fill_value: float = 0.0
    """Value outside of the image."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        if height == 1 or width == 1:
            raise ValueError("needs images of at least 2 x 2 pixels: a line has no perspective")
        return height, width

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw which images to change (N, 1, 1, 1), and the relative change of their four corners' (x, y) (N, 4, 2)."""
        return draw_selected(x, self.factor), uniform(x, (-self.scale / 2, self.scale / 2), 4, 2)

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        selected, growth = drawn
        height, width = x.shape[-2:]
        across, down = _sources(x, growth, width - 1, height - 1)
        bent = warp(x, across, down, interpolation=self.interpolation, fill_mode="constant", fill_value=self.fill_value)
        return torch.where(selected, bent, x)


def _sources(x: Tensor, growth: Tensor, right: int, bottom: int) -> tuple[Tensor, Tensor]:
    """Return the source position in the image of each output pixel, for corners moved by the factors 1 + `growth`.

    It is in closed form: the map from the unit square to the quadrilateral, then its inverse by cofactors (Heckbert,
    Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3). The corners are (0, 0), (right, 0),
    (0, bottom), (right, bottom) before they are moved, and in Heckbert's order in the code.
    """
    ones = torch.ones_like(growth[:, 0, 0])
    x1, y1 = right * (1 + growth[:, 1, 0]), 0 * ones
    x2, y2 = right * (1 + growth[:, 3, 0]), bottom * (1 + growth[:, 3, 1])
    x3, y3 = 0 * ones, bottom * (1 + growth[:, 2, 1])
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x2 - x1 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y2 - y1 - y3
    turn = dx1 * dy2 - dx2 * dy1
    g, h = (dx3 * dy2 - dx2 * dy3) / turn, (dx1 * dy3 - dx3 * dy1) / turn
    a, b, d, e = (part.view(-1, 1, 1) for part in (x1 + g * x1, x3 + h * x3, y1 + g * y1, y3 + h * y3))
    g, h = g.view(-1, 1, 1), h.view(-1, 1, 1)
    i, j = pixels(x)
    depth = (d * h - e * g) * i + (b * g - a * h) * j + (a * e - b * d)
    return right * (e * i - b * j) / depth, bottom * (a * j - d * i) / depth
