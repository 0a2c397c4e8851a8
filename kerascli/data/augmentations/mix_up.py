"""Augmentation `mix_up`: blend each sample of a batch with another one (Zhang et al., 2018)."""

from torch import Tensor

from kerascli.data.augmentations import beta_numbers, blended, order_of
from kerascli.data.mixing import Augmentation, Names, augmentation
from kerascli.foundation.shapes import DataFormat, PositiveFloat, Seed

Drawn = tuple[Tensor, Tensor]


@augmentation()
class MixUp(Augmentation):
    """MixUp (Zhang et al., 2018): blends each sample of a training batch with another one of the batch.

    Images and targets become `weight * x + (1 - weight) * x_other`, with one weight for each sample. As
    keras.layers.MixUp.
    """

    alpha: PositiveFloat = 0.2
    """Parameter of the Beta(alpha, alpha) distribution of the blend weight; smaller values mix less."""
    data_format: DataFormat = "channels_last"
    """Axis of the channels; it has no effect on MixUp, which blends values elementwise."""
    seed: Seed = None
    inputs: Names | None = None
    """Names of the image inputs to blend, all with the same weights; null: all image inputs."""
    targets: Names | None = None
    """Names of the targets to blend; null: all targets."""

    def draw(self, images: Tensor) -> Drawn:
        """Draw, for each sample of a batch, the index of its blending partner (N,) and its own blend weight (N,)."""
        return order_of(images), beta_numbers(images, self.alpha)

    def mix_images(self, images: Tensor, drawn: Drawn) -> Tensor:
        return blended(images, *drawn)

    def mix_targets(self, targets: Tensor, images: Tensor, drawn: Drawn) -> Tensor:
        return blended(targets, *drawn)
