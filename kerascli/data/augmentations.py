"""Augmentations of training batches: `cut_mix` (Yun et al., 2019) and `mix_up` (Zhang et al., 2018)."""

from typing import NamedTuple

import torch
from torch import Tensor

from kerascli.data.base import Field
from kerascli.data.mixing import Augmentation, Names, augmentation
from kerascli.foundation import draws
from kerascli.foundation.shapes import DataFormat, PositiveFloat, Seed, Shape, show_shape
from kerascli.preprocessing.images.base import Factor, span, uniform
from kerascli.preprocessing.images.distortions import stretch
from kerascli.preprocessing.images.policies import log_gamma_numbers

_LEAST_ALPHA = 1e-6


def order_of(like: Tensor) -> Tensor:
    """Draw a random permutation (N,) of the row indices of the batch `like`, on its device."""
    return torch.argsort(draws.uniform(like.new_empty(like.shape[0])))


def beta_numbers(like: Tensor, alpha: float | Tensor) -> Tensor:
    """Draw a number from the Beta(alpha, alpha) distribution for each of the N samples in `like`; return them (N,)."""
    first, second = log_gamma_numbers(like.new_empty((2, like.shape[0])), alpha).unbind()
    return torch.sigmoid(first - second)


def blended(x: Tensor, order: Tensor, weight: Tensor) -> Tensor:
    """Blend each sample x[i] with x[order[i]]: `weight * x + (1 - weight) * x[order]`; order and weight are (N,)."""
    weight = weight.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
    return weight * x + (1.0 - weight) * x.index_select(0, order)


class Drawn(NamedTuple):
    """Random numbers that CutMix draws for a batch of N images: four tensors (N,).

    `order` is the index of the image that the box comes from, `stays` the fraction of the image to keep, `across` and
    `down` the box's position as a fraction of the free width and height.
    """

    order: Tensor
    stays: Tensor
    across: Tensor
    down: Tensor


@augmentation()
class CutMix(Augmentation):
    """CutMix (Yun et al., 2019): replaces a box of each image of a training batch with the same box of another image.

    Targets are blended by the box's area: `weight * y + (1 - weight) * y_other`. Targets of the images' size, such as
    segmentation masks, are cut like the images. As keras.layers.CutMix.
    """

    factor: Factor = 1.0
    """Upper bound of alpha, or [lower, upper] in [0, 1]; the kept fraction of an image follows Beta(alpha, alpha).
    alpha is drawn uniformly, once per batch."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"
    inputs: Names | None = None
    """Names of the image inputs to cut, all with the same box; null: all image inputs."""
    targets: Names | None = None
    """Names of the targets to mix; null: all targets."""

    def draw(self, images: Tensor) -> Drawn:
        alpha = uniform(images[:1], span(self.factor), 1) + _LEAST_ALPHA  # one for the batch, as in Keras
        stays = beta_numbers(images, alpha.view(()))
        across, down = uniform(images, (0, 1), 2).unbind(1)
        return Drawn(order_of(images), stays, across, down)

    def mix_images(self, images: Tensor, drawn: Drawn) -> Tensor:
        inside, _ = self._box(images, drawn)
        return torch.where(inside, images.index_select(0, drawn.order), images)

    def mix_targets(self, targets: Tensor, images: Tensor, drawn: Drawn) -> Tensor:
        inside, stays = self._box(images, drawn)
        if targets.dim() == 4:
            return torch.where(inside, targets.index_select(0, drawn.order), targets)
        return blended(targets, drawn.order, stays)

    def refuse_image(self, image: Field, first: Field) -> str | None:
        sizes = [show_shape(self._size(field.shape)) for field in (image, first)]
        return None if sizes[0] == sizes[1] else f"is of another size, {sizes[0]}, than the first images, {sizes[1]}"

    def refuse_target(self, target: Field, image: Field) -> tuple[str, str] | None:
        if len(target.shape) < 2:
            return super().refuse_target(target, image)
        if len(target.shape) == 3 and self.refuse_image(target, image) is None:
            return None
        text = f"is neither a vector nor of the images' height and width, but {show_shape((None, *target.shape))}"
        return text, "name the targets that are mixed: targets: [...]"

    def _size(self, shape: Shape) -> Shape:
        return shape[-3:-1] if self.data_format == "channels_last" else shape[-2:]

    def _box(self, images: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
        """Return a mask of the pixels to replace, (N, H, W, 1) or (N, 1, H, W), and the fraction kept of each image."""
        height, width = (size or 0 for size in self._size(tuple(images.shape)))
        part = torch.sqrt(1.0 - drawn.stays)
        left, right, in_row = stretch(part, drawn.across, width)
        upper, lower, in_column = stretch(part, drawn.down, height)
        inside = in_column.unsqueeze(2) & in_row.unsqueeze(1)
        channels = -1 if self.data_format == "channels_last" else 1
        return inside.unsqueeze(channels), 1.0 - (right - left) * (lower - upper) / (width * height)


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

    def draw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Draw, for each sample of a batch, the index of its blending partner (N,) and its own blend weight (N,)."""
        return order_of(images), beta_numbers(images, self.alpha)

    def mix_images(self, images: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        return blended(images, *drawn)

    def mix_targets(self, targets: Tensor, images: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        return blended(targets, *drawn)
