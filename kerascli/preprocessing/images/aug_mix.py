"""AugMix: images mixed with augmented versions of themselves (Hendrycks et al., 2019)."""

from typing import Any

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, PositiveFloat, PositiveInt, Seed
from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, ValueRange, operation, span
from kerascli.preprocessing.images.gamma import log_gamma_numbers
from kerascli.preprocessing.images.rand_augment import apply_selected, augmentations, draw_index
from kerascli.preprocessing.images.warp import Interpolation

_WITHOUT_COLOURS = 7

Chain = list[tuple[Tensor, list[Any]]]


@operation(
    Use({"num_chains": 2, "chain_depth": 1}),
    Use({"num_chains": 1, "all_ops": False, "factor": [0.1, 0.3], "value_range": [0.0, 1.0]}),
)
class AugMix(ImageOperation):
    """AugMix: in training mixes each image with several versions of itself, each changed by a chain of operations.

    Input and output: (N, H, W, C), with 1 or 3 channels. Each image has its own choice of operations; in Keras a batch
    shares one. All operations are computed for all images at each position of each chain, and one, or none, is
    selected, so that nothing waits for the random numbers. Paper: Hendrycks et al., 2019.
    """

    channels = (1, 3)

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    num_chains: PositiveInt = 3
    """Number of augmented versions (chains) to mix."""
    chain_depth: PositiveInt = 3
    """Maximum number of operations in each chain; any position in a chain may also have no operation."""
    factor: Factor = 0.3
    """Strength of the operations, passed to each as its factor: from 0 to 1, or [lowest, highest]."""
    alpha: PositiveFloat = 1.0
    """Concentration of the mixing weights' Dirichlet and beta distributions; small: mostly one version or the image."""
    all_ops: bool = True
    """Include brightness, colour, contrast and sharpness among the operations."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def parts(self) -> list[ImageOperation]:
        """Return the image operations that the chains of AugMix are composed of."""
        found = augmentations(span(self.factor), self.value_range, self.interpolation)
        return found if self.all_ops else found[:_WITHOUT_COLOURS]

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor, list[Chain]]:
        """Draw the weights of an image's augmented versions (N, chains) and of itself (N, 1, 1, 1), and the chains."""
        versions = log_gamma_numbers(x.new_empty((x.shape[0], self.num_chains)), self.alpha).softmax(1)
        image = log_gamma_numbers(x.new_empty((x.shape[0], 2)), self.alpha).softmax(1)[:, :1]
        parts = self.parts()
        chains = [
            [(draw_index(x, len(parts) + 1), [part.draw(x) for part in parts]) for _ in range(self.chain_depth)]
            for _ in range(self.num_chains)
        ]
        return versions, image.view(-1, 1, 1, 1), chains

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor, list[Chain]]) -> Tensor:
        versions, image, chains = drawn
        parts = self.parts()
        mixed = torch.zeros_like(x)
        for weight, chain in zip(versions.unbind(1), chains, strict=True):
            changed = x
            for index, numbers in chain:
                changed = apply_selected(parts, changed, index, numbers)
            mixed = mixed + changed * weight.view(-1, 1, 1, 1)
        return torch.lerp(mixed, x, image).clamp(*self.value_range)
