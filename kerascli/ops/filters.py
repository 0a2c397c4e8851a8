"""Poolings, convolutions with kernels that are tensors, and Fourier transforms. Channels are last."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import ArgumentError, Sizes, Tensors, op

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


@op()
def max_pool(
    inputs: Tensor, pool_size: int | Sizes, strides: int | Sizes | None = None, padding: str = "valid"
) -> Tensor:
    """The largest value of each window; padding is 'valid' or 'same'."""
    pools = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
    sizes, steps, margins = _windows(
        "max_pool", inputs, pool_size, pool_size if strides is None else strides, 1, padding
    )
    return _channels_last(lambda y: pools[len(sizes) - 1](F.pad(y, margins, value=-torch.inf), sizes, steps), inputs)


@op()
def average_pool(
    inputs: Tensor, pool_size: int | Sizes, strides: int | Sizes | None = None, padding: str = "valid"
) -> Tensor:
    """The mean of each window; what 'same' pads does not count."""
    pools = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
    steps = pool_size if strides is None else strides
    sizes, steps, margins = _windows("average_pool", inputs, pool_size, steps, 1, padding)
    pool = pools[len(sizes) - 1]
    counted = pool(F.pad(inputs.new_ones(1, 1, *inputs.shape[1:-1]), margins), sizes, steps)
    return _channels_last(lambda y: pool(F.pad(y, margins), sizes, steps) / counted, inputs)


@op()
def conv(
    inputs: Tensor, kernel: Tensor, strides: int | Sizes = 1, padding: str = "valid", dilation_rate: int | Sizes = 1
) -> Tensor:
    """A convolution in one to three dimensions; the kernel is (*sizes, channels, filters)."""
    return _convolved("conv", inputs, kernel, strides, padding, dilation_rate)


@op()
def depthwise_conv(
    inputs: Tensor, kernel: Tensor, strides: int | Sizes = 1, padding: str = "valid", dilation_rate: int | Sizes = 1
) -> Tensor:
    """A convolution of each channel by itself; the kernel is (*sizes, channels, filters a channel)."""
    whole = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return _convolved("depthwise_conv", inputs, whole, strides, padding, dilation_rate)


def _convolved(
    name: str, x: Tensor, kernel: Tensor, strides: int | Sizes, padding: str, dilation: int | Sizes
) -> Tensor:
    if kernel.ndim != x.ndim or not 3 <= x.ndim <= 5:
        raise ArgumentError(
            f"{name}: inputs (batch, *sizes, channels) and kernel have 3 to 5 axes, as many as each other"
        )
    if x.shape[-1] % kernel.shape[-2]:
        raise ArgumentError(f"{name}: the kernel is for {kernel.shape[-2]} channels, the inputs have {x.shape[-1]}")
    _, steps, margins = _windows(name, x, list(kernel.shape[:-2]), strides, dilation, padding)
    rates = _each(name, dilation, x.ndim - 2)
    groups = x.shape[-1] // kernel.shape[-2]
    filters = kernel.movedim((-1, -2), (0, 1))
    function = _CONVOLUTIONS[x.ndim - 3]
    return _channels_last(lambda y: function(F.pad(y, margins), filters, None, steps, 0, rates, groups), x)


def _channels_last(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """torch has channels in the second axis."""
    return function(x.movedim(-1, 1)).movedim(1, -1)


def _windows(
    name: str, x: Tensor, sizes: int | Sizes, strides: int | Sizes, dilation: int | Sizes, padding: str
) -> tuple[list[int], list[int], list[int]]:
    """Sizes and strides by axis, and what is put around as F.pad takes it: the last axis first."""
    count = x.ndim - 2
    if not 1 <= count <= 3:
        raise ArgumentError(f"{name} needs a tensor (batch, *sizes, channels) of 3 to 5 axes")
    if padding not in {"valid", "same"}:
        raise ArgumentError(f"{name}: padding: expected 'valid' or 'same', got '{padding}'", "padding")
    each, steps, rates = (_each(name, value, count) for value in (sizes, strides, dilation))
    margins: list[int] = []
    for length, size, step, rate in zip(reversed(x.shape[1:-1]), each[::-1], steps[::-1], rates[::-1], strict=True):
        reach = (size - 1) * rate + 1
        around = max(0, (-(-length // step) - 1) * step + reach - length) if padding == "same" else 0
        margins += [around // 2, around - around // 2]
    return each, steps, margins


def _each(name: str, value: int | Sizes, count: int) -> list[int]:
    values = [value] * count if isinstance(value, int) else list(value)
    if len(values) != count or any(one < 1 for one in values):
        raise ArgumentError(f"{name}: expected a number from 1, or {count} of them, got {value}")
    return values


@op()
def rfft(x: Tensor, fft_length: int | None = None) -> tuple[Tensor, Tensor]:
    """Two tensors, the real and the imaginary parts of the Fourier transform of the last axis, half of it."""
    found = torch.fft.rfft(x, fft_length)
    return found.real, found.imag


@op()
def irfft(x: Tensors, fft_length: int | None = None) -> Tensor:
    """The signal whose `rfft` is x, [real parts, imaginary parts]."""
    return torch.fft.irfft(torch.complex(*x), fft_length)
