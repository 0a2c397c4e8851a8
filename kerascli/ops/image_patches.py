"""Operations that extract patches from images and volumes, and recombine them."""

from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import ArgumentError, Sizes, op
from kerascli.ops.filters import windows


@op("image.extract_patches", keeps_integers=True)
def extract_patches(
    images: Tensor, size: int | Sizes, strides: int | Sizes | None = None, dilation_rate: int | Sizes = 1,
    padding: str = "valid",
) -> Tensor:  # fmt: skip
    """Extract windows of images (*, H, W, channels), or with 3 sizes of volumes, as vectors (*, H', W', patch)."""
    if not isinstance(size, int) and len(size) == 3:
        return extract_patches_3d(images, size, strides, dilation_rate, padding)
    return _patches("image.extract_patches", images, size, strides, dilation_rate, padding, 2)


@op("image.extract_patches_3d", keeps_integers=True)
def extract_patches_3d(
    volumes: Tensor, size: int | Sizes, strides: int | Sizes | None = None, dilation_rate: int | Sizes = 1,
    padding: str = "valid",
) -> Tensor:  # fmt: skip
    """Extract windows of volumes (*, D, H, W, channels) as vectors: (*, D', H', W', patch)."""
    return _patches("image.extract_patches_3d", volumes, size, strides, dilation_rate, padding, 3)


def _patches(
    name: str, x: Tensor, size: int | Sizes, strides: int | Sizes | None, dilation: int | Sizes, padding: str, rank: int
) -> Tensor:
    if x.ndim not in (rank + 1, rank + 2):
        raise ArgumentError(f"{name} needs a tensor of {rank + 2} axes, the batch first and channels last")
    y = x if x.ndim == rank + 2 else x.unsqueeze(0)
    steps = size if strides is None else strides
    sizes, strides, rates, margins = windows(name, y, size, steps, dilation, padding)
    y = F.pad(y, [0, 0, *margins])
    for axis, (count, stride, rate) in enumerate(zip(sizes, strides, rates, strict=True), 1):
        y = y.unfold(axis, (count - 1) * rate + 1, stride)[..., ::rate]  # appends an axis of the window's elements
    y = y.movedim(rank + 1, -1).flatten(rank + 1)
    return y if x.ndim == rank + 2 else y.squeeze(0)


@op()
def unfold(
    x: Tensor, kernel_size: int | Sizes, dilation: int | Sizes = 1, padding: int | Sizes = 0, stride: int | Sizes = 1
) -> Tensor:
    """Extract windows of images (N, C, H, W) as columns: (N, C * window, windows)."""
    if x.ndim != 4:
        raise ArgumentError(f"unfold needs images (batch, channels, height, width), got {x.ndim} axes")
    return F.unfold(x, kernel_size, dilation, padding, stride)  # type: ignore[arg-type]


@op()
def fold(
    x: Tensor, output_size: int | Sizes, kernel_size: int | Sizes, dilation: int | Sizes = 1,
    padding: int | Sizes = 0, stride: int | Sizes = 1,
) -> Tensor:  # fmt: skip
    """Combine columns (N, C * window, windows) to images (N, C, H, W); overlapping elements are added."""
    if x.ndim != 3:
        raise ArgumentError(f"fold needs columns (batch, channels * window, windows), got {x.ndim} axes")
    return F.fold(x, output_size, kernel_size, dilation, padding, stride)  # type: ignore[arg-type]
