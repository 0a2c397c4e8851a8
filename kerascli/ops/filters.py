"""Operations over windows: pooling, convolution with kernels given as tensors, patches of images."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import Ints, Refusal, as_float, op

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_Pad = Literal["valid", "same"]


@op()
def max_pool(inputs: Tensor, pool_size: Ints, strides: Ints | None = None, padding: _Pad = "valid") -> Tensor:
    """Compute the maximum of each window of (N, *sizes, channels); padding: 'valid' or 'same'."""
    pools = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
    sizes, steps, _, margins = windows(inputs, pool_size, strides, 1, padding)
    return _channels_last(lambda y: pools[len(sizes) - 1](F.pad(y, margins, value=-torch.inf), sizes, steps), inputs)


@op()
def average_pool(inputs: Tensor, pool_size: Ints, strides: Ints | None = None, padding: _Pad = "valid") -> Tensor:
    """Compute the mean of each window of (N, *sizes, channels), without the padding of 'same'."""
    pools = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
    sizes, steps, _, margins = windows(inputs, pool_size, strides, 1, padding)
    inputs, pool = as_float(inputs), pools[len(sizes) - 1]
    counted = pool(F.pad(inputs.new_ones(1, 1, *inputs.shape[1:-1]), margins), sizes, steps)
    return _channels_last(lambda y: pool(F.pad(y, margins), sizes, steps) / counted, inputs)


@op()
def adaptive_max_pool(inputs: Tensor, output_size: Ints) -> Tensor:
    """Compute the maximum of each of `output_size` windows per axis; window sizes are as equal as possible."""
    pools = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
    sizes = _each(output_size, _rank(inputs))
    return _channels_last(lambda y: pools[len(sizes) - 1](y, sizes), inputs)  # type: ignore[arg-type]


@op()
def adaptive_average_pool(inputs: Tensor, output_size: Ints) -> Tensor:
    """Compute the mean of each of `output_size` windows per axis; window sizes are as equal as possible."""
    pools = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
    sizes = _each(output_size, _rank(inputs))
    return _channels_last(lambda y: pools[len(sizes) - 1](y, sizes), inputs)  # type: ignore[arg-type]


@op()
def conv(inputs: Tensor, kernel: Tensor, strides: Ints = 1, padding: _Pad = "valid", dilation_rate: Ints = 1) -> Tensor:
    """Compute a convolution in 1 to 3 dimensions; the kernel has the shape (*sizes, channels, filters)."""
    return _convolved(inputs, kernel, strides, padding, dilation_rate)


@op()
def depthwise_conv(
    inputs: Tensor, kernel: Tensor, strides: Ints = 1, padding: _Pad = "valid", dilation_rate: Ints = 1
) -> Tensor:
    """Compute a convolution per channel; the kernel has the shape (*sizes, channels, filters per channel)."""
    whole = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return _convolved(inputs, whole, strides, padding, dilation_rate)


@op()
def separable_conv(
    inputs: Tensor, depthwise_kernel: Tensor, pointwise_kernel: Tensor, strides: Ints = 1,
    padding: _Pad = "valid", dilation_rate: Ints = 1,
) -> Tensor:  # fmt: skip
    """Compute a depthwise convolution, followed by a pointwise one (kernel sizes of 1)."""
    if any(size != 1 for size in pointwise_kernel.shape[:-2]):
        raise Refusal("pointwise_kernel: expected sizes of 1 before channels and filters")
    return conv(depthwise_conv(inputs, depthwise_kernel, strides, padding, dilation_rate), pointwise_kernel)


@op()
def conv_transpose(
    inputs: Tensor, kernel: Tensor, strides: Ints = 1, padding: _Pad = "valid",
    output_padding: Ints | None = None, dilation_rate: Ints = 1,
) -> Tensor:  # fmt: skip
    """Compute a transposed convolution, which upsamples; the kernel has the shape (*sizes, filters, channels)."""
    rank = _rank(inputs)
    if kernel.ndim != inputs.ndim or kernel.shape[-1] != inputs.shape[-1]:
        raise Refusal(f"expected a kernel (*sizes, filters, {inputs.shape[-1]}) of {rank + 2} axes")
    steps, rates = _each(strides, rank), _each(dilation_rate, rank)
    extras = [output_padding] * rank if output_padding is None or isinstance(output_padding, int) else output_padding
    margins: list[int] = []
    for size, step, rate, extra in zip(kernel.shape[:-2], steps, rates, extras, strict=True):
        before, after = cut_of_transposed((size - 1) * rate + 1, step, extra, padding)
        margins = [-before, -after, *margins]
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    filters = as_float(kernel).movedim((-1, -2), (0, 1))
    return _channels_last(lambda y: F.pad(function(y, filters, None, steps, 0, 0, 1, rates), margins), inputs)


def cut_of_transposed(reach: int, stride: int, extra: int | None, padding: str) -> tuple[int, int]:
    """Return the margins (before, after) to crop from an axis of a transposed convolution's output; negative: to pad.

    It applies to the (n - 1) * stride + reach outputs of n inputs, where `reach` is the size of the dilated kernel.
    """
    if padding == "valid":
        return 0, -(max(stride - reach, 0) if extra is None else extra)
    total = reach - stride if extra is None else reach - reach % 2 - extra
    before = max(total // 2, 0)
    return before, total - before


def _rank(x: Tensor) -> int:
    if not 3 <= x.ndim <= 5:
        raise Refusal(f"needs a tensor (batch, *sizes, channels) of 3 to 5 axes, got {x.ndim}")
    return x.ndim - 2


def _convolved(x: Tensor, kernel: Tensor, strides: Ints, padding: str, rates: Ints) -> Tensor:
    if kernel.ndim != x.ndim or not 3 <= x.ndim <= 5:
        raise Refusal("expected inputs (batch, *sizes, channels) and kernel of 3 to 5 axes, the same number of both")
    if x.shape[-1] % kernel.shape[-2]:
        raise Refusal(f"the kernel is for {kernel.shape[-2]} channels, the inputs have {x.shape[-1]}")
    _, steps, dilation, margins = windows(x, list(kernel.shape[:-2]), strides, rates, padding)
    groups = x.shape[-1] // kernel.shape[-2]
    filters = as_float(kernel).movedim((-1, -2), (0, 1))
    function = _CONVOLUTIONS[x.ndim - 3]
    return _channels_last(lambda y: function(F.pad(y, margins), filters, None, steps, 0, dilation, groups), x)


def _channels_last(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply `function`, which needs the channels on axis 1 as in torch, to a tensor `x` with the channels last."""
    return function(as_float(x).movedim(-1, 1)).movedim(1, -1)


def windows(x: Tensor, sizes: Ints, strides: Ints | None, dilation: Ints, padding: str) -> tuple[list[int], ...]:
    """Return a window's sizes, strides (None: its sizes) and dilations per axis, and its padding in F.pad's order (last
    axis first)."""
    settings = (sizes, sizes if strides is None else strides, dilation)
    each, steps, rates = (_each(value, _rank(x)) for value in settings)
    margins: list[int] = []
    for length, size, step, rate in zip(reversed(x.shape[1:-1]), each[::-1], steps[::-1], rates[::-1], strict=True):
        reach = (size - 1) * rate + 1
        around = max(0, (-(-length // step) - 1) * step + reach - length) if padding == "same" else 0
        margins += [around // 2, around - around // 2]
    return each, steps, rates, margins


def _each(value: Ints, count: int) -> list[int]:
    values = [value] * count if isinstance(value, int) else list(value)
    if len(values) != count or any(one < 1 for one in values):
        raise Refusal(f"expected an integer from 1, or {count} of them, got {value}")
    return values


@op("image.extract_patches", keeps_integers=True)
def extract_patches(
    images: Tensor, size: Ints, strides: Ints | None = None, dilation_rate: Ints = 1,
    padding: _Pad = "valid",
) -> Tensor:  # fmt: skip
    """Extract windows of images (*, H, W, channels), or with 3 sizes of volumes, as vectors (*, H', W', patch)."""
    rank = 3 if not isinstance(size, int) and len(size) == 3 else 2
    return _patches(images, size, strides, dilation_rate, padding, rank)


@op("image.extract_patches_3d", keeps_integers=True)
def extract_patches_3d(
    volumes: Tensor, size: Ints, strides: Ints | None = None, dilation_rate: Ints = 1,
    padding: _Pad = "valid",
) -> Tensor:  # fmt: skip
    """Extract windows of volumes (*, D, H, W, channels) as vectors: (*, D', H', W', patch)."""
    return _patches(volumes, size, strides, dilation_rate, padding, 3)


def _patches(x: Tensor, size: Ints, strides: Ints | None, dilation: Ints, padding: str, rank: int) -> Tensor:
    if x.ndim not in (rank + 1, rank + 2):
        raise Refusal(f"needs a tensor of {rank + 2} axes, the batch first and channels last")
    y = x if x.ndim == rank + 2 else x.unsqueeze(0)
    sizes, strides, rates, margins = windows(y, size, strides, dilation, padding)
    y = F.pad(y, [0, 0, *margins])
    for axis, (count, stride, rate) in enumerate(zip(sizes, strides, rates, strict=True), 1):
        y = y.unfold(axis, (count - 1) * rate + 1, stride)[..., ::rate]  # appends an axis of the window's elements
    y = y.movedim(rank + 1, -1).flatten(rank + 1)
    return y if x.ndim == rank + 2 else y.squeeze(0)


@op()
def unfold(x: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor:
    """Extract windows of images (N, C, H, W) as columns: (N, C * window, windows)."""
    if x.ndim != 4:
        raise Refusal(f"needs images (batch, channels, height, width), got {x.ndim} axes")
    return F.unfold(as_float(x), kernel_size, dilation, padding, stride)  # type: ignore[arg-type]


@op()
def fold(
    x: Tensor, output_size: Ints, kernel_size: Ints, dilation: Ints = 1,
    padding: Ints = 0, stride: Ints = 1,
) -> Tensor:  # fmt: skip
    """Combine columns (N, C * window, windows) to images (N, C, H, W); overlapping elements are added."""
    if x.ndim != 3:
        raise Refusal(f"needs columns (batch, channels * window, windows), got {x.ndim} axes")
    return F.fold(as_float(x), output_size, kernel_size, dilation, padding, stride)  # type: ignore[arg-type]
