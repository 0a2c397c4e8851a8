"""RandAugment and AugMix: operations chosen at random for each image, and random numbers for mixing."""

from typing import Any

import torch
from torch import Tensor

from kerascli.foundation import draws
from kerascli.foundation.shapes import DataFormat, PositiveFloat, PositiveInt, Seed, ValueRange
from kerascli.preprocessing.images.base import Factor, ImageOperation, integers, operation, span
from kerascli.preprocessing.images.colors import RandomBrightness, RandomColorDegeneration, RandomContrast
from kerascli.preprocessing.images.filters import RandomSharpness
from kerascli.preprocessing.images.tones import AutoContrast, Equalization, RandomPosterization, Solarization
from kerascli.preprocessing.images.warp import RandomRotation, RandomShear, RandomTranslation
from kerascli.preprocessing.resampling import Interpolation

Chain = list[tuple[Tensor, list[Any]]]
"""Operations that are applied one after the other: the index of each image's, and the parameters of all."""
_TRIALS = 16
"""Number of candidates drawn in parallel; each is rejected with a probability below 0.05, so one is all but certain."""


def log_gamma_numbers(like: Tensor, alpha: float | Tensor) -> Tensor:
    """Draw logarithms of gamma(alpha) distributed random numbers, in the shape of `like`.

    It is Marsaglia and Tsang's method (2000) for alpha + 1, reduced by u ** (1 / alpha): instead of rejecting, it makes
    several trials at once; logarithms do not underflow where a small alpha makes numbers too small.
    """
    alpha = alpha if isinstance(alpha, Tensor) else like.new_full((), alpha)
    trials = like.new_empty((*like.shape, _TRIALS))
    d = alpha + 2 / 3
    normal = draws.normal(trials)
    cube = (1 + normal / (9 * d) ** 0.5) ** 3
    log_cube = cube.clamp(min=1e-30).log()
    fits = (cube > 0) & (_log(draws.uniform(trials)) < 0.5 * normal**2 + d * (1 - cube + log_cube))
    first = torch.where(fits, torch.arange(_TRIALS, device=like.device), _TRIALS - 1).amin(-1, keepdim=True)
    return log_cube.gather(-1, first).squeeze(-1) + d.log() + _log(draws.uniform(like)) / alpha


def _log(uniform: Tensor) -> Tensor:
    return uniform.clamp(min=torch.finfo(uniform.dtype).tiny).log()


@operation({})
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

    def draw(self, x: Tensor) -> Chain:
        """Draw, `num_ops` times, each image's operation index (N, 1, 1, 1) and the parameters of all operations."""
        parts = augmentations(self)
        return draw_chain(x, parts, self.num_ops, len(parts))

    def change(self, x: Tensor, drawn: Chain) -> Tensor:
        return changed_by(augmentations(self), x, drawn)


_COLOURS = (RandomBrightness, RandomColorDegeneration, RandomContrast, RandomSharpness)


def augmentations(of: "RandAugment | AugMix") -> list[ImageOperation]:
    """Return Keras's eleven image operations: first those that change positions and shades, last those for colours."""
    factor, value_range, interpolation = span(of.factor), of.value_range, of.interpolation
    return [
        RandomShear(x_factor=factor, y_factor=factor, interpolation=interpolation),
        RandomTranslation(height_factor=factor, width_factor=factor, interpolation=interpolation),
        RandomRotation(factor=factor, interpolation=interpolation),
        RandomPosterization(factor=max(1, int(8 * factor[1])), value_range=value_range),
        Solarization(addition_factor=factor, threshold_factor=factor, value_range=value_range),
        AutoContrast(value_range=value_range),
        Equalization(value_range=value_range),
        *(kind(factor=factor, value_range=value_range) for kind in _COLOURS),
    ]


def draw_chain(x: Tensor, parts: list[ImageOperation], depth: int, choices: int) -> Chain:
    """Draw, `depth` times, an index from 0 to choices - 1 for each image of a batch (N, 1, 1, 1), and the parameters of
    all operations."""
    return [(integers(x, 0, choices - 1), [part.draw(x) for part in parts]) for _ in range(depth)]


def changed_by(parts: list[ImageOperation], x: Tensor, chain: Chain) -> Tensor:
    """Apply to each image, one after the other, the operations in `parts` with its indices in a chain; an index past
    the end leaves the image unchanged."""
    for index, drawn in chain:
        result = x
        for number, (part, numbers) in enumerate(zip(parts, drawn, strict=True)):
            result = torch.where(index == number, part.change(x, numbers), result)
        x = result
    return x


@operation({"num_chains": 2, "chain_depth": 1})
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
        return augmentations(self)[: None if self.all_ops else -len(_COLOURS)]

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor, list[Chain]]:
        """Draw the weights of an image's augmented versions (N, chains) and of itself (N, 1, 1, 1), and the chains."""
        versions = log_gamma_numbers(x.new_empty((x.shape[0], self.num_chains)), self.alpha).softmax(1)
        image = log_gamma_numbers(x.new_empty((x.shape[0], 2)), self.alpha).softmax(1)[:, :1]
        parts = self.parts()
        chains = [draw_chain(x, parts, self.chain_depth, len(parts) + 1) for _ in range(self.num_chains)]
        return versions, image.view(-1, 1, 1, 1), chains

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor, list[Chain]]) -> Tensor:
        versions, image, chains = drawn
        parts = self.parts()
        mixed = torch.zeros_like(x)
        for weight, chain in zip(versions.unbind(1), chains, strict=True):
            mixed = mixed + changed_by(parts, x, chain) * weight.view(-1, 1, 1, 1)
        return torch.lerp(mixed, x, image).clamp(*self.value_range)
