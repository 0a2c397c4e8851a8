"""MixUp: two samples in one (Zhang et al., 2018)."""

from torch import Tensor

from kerascli.data.augmentations import beta_numbers, blended, order_of
from kerascli.data.mixing import Augmentation, Names, augmentation
from kerascli.shapes import DataFormat, PositiveFloat, Seed

Drawn = tuple[Tensor, Tensor]


@augmentation()
class MixUp(Augmentation):
    """Blends each sample of a training batch with another one: images and targets by the same share."""

    alpha: PositiveFloat = 0.2
    """The share is of the beta(alpha, alpha) distribution; small: mostly one of the two."""
    data_format: DataFormat = "channels_last"
    """Where the channels are. Either way each value is blended with the one in its place."""
    seed: Seed = None
    inputs: Names | None = None
    """The images that are blended, all by the same share; null: all images."""
    targets: Names | None = None
    """The targets that are blended; null: all."""

    def draw(self, images: Tensor) -> Drawn:
        """With which sample (N,), and what stays of each (N,)."""
        return order_of(images), beta_numbers(images, self.alpha)

    def mix_images(self, images: Tensor, drawn: Drawn) -> Tensor:
        return blended(images, *drawn)

    def mix_targets(self, targets: Tensor, images: Tensor, drawn: Drawn) -> Tensor:
        return blended(targets, *drawn)
