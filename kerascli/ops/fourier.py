"""Operations of Fourier transforms, in which a complex tensor is a pair [real, imaginary parts], as in Keras."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import Refusal, Tensors, as_float, op


def _joined(x: Tensors) -> Tensor:
    if len(x) != 2 or x[0].shape != x[1].shape:
        raise Refusal("x: expected [real parts, imaginary parts], two tensors of one shape")
    return torch.complex(as_float(x[0]), as_float(x[1]))


def _parted(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.real, x.imag


@op(widens=True)
def fft(x: Tensors) -> tuple[Tensor, Tensor]:
    """Compute the Fourier transform along the last axis; argument and result are [real, imaginary] parts."""
    return _parted(torch.fft.fft(_joined(x)))


@op(widens=True)
def fft2(x: Tensors) -> tuple[Tensor, Tensor]:
    """Compute the 2D Fourier transform along the last two axes; argument and result are [real, imaginary] parts."""
    return _parted(torch.fft.fft2(_joined(x)))


@op(widens=True)
def ifft2(x: Tensors) -> tuple[Tensor, Tensor]:
    """Compute the inverse 2D Fourier transform; argument and result are [real, imaginary] parts."""
    return _parted(torch.fft.ifft2(_joined(x)))


@op(widens=True)
def rfft(x: Tensor, fft_length: int | None = None) -> tuple[Tensor, Tensor]:
    """Compute real and imaginary parts of the Fourier transform of real x, at fft_length // 2 + 1 frequencies."""
    return _parted(torch.fft.rfft(x, fft_length))


@op(widens=True)
def irfft(x: Tensors, fft_length: int | None = None) -> Tensor:
    """Compute the inverse of rfft: a real signal from [real, imaginary] parts."""
    return torch.fft.irfft(_joined(x), fft_length)


@op(widens=True)
def stft(
    x: Tensor, sequence_length: int, sequence_stride: int, fft_length: int, window: Tensor | str | None = "hann",
    center: bool = True,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the short-time Fourier transform: real and imaginary parts (*, sequences, fft_length // 2 + 1)."""
    signal = as_float(x)
    weights = _weights(signal, window, sequence_length, sequence_stride, fft_length)
    if center:
        around = fft_length // 2
        if around >= x.shape[-1]:
            raise Refusal(f"center: a signal of {x.shape[-1]} is too short for reflection padding of {around}")
        signal = F.pad(signal.reshape(-1, x.shape[-1]), (around, around), mode="reflect")
        signal = signal.unflatten(0, x.shape[:-1]) if x.ndim > 1 else signal[0]
    if signal.shape[-1] < fft_length:
        raise Refusal(f"a signal of {signal.shape[-1]} is shorter than fft_length, {fft_length}")
    return _parted(torch.fft.rfft(signal.unfold(-1, fft_length, sequence_stride) * weights))


@op(widens=True)
def istft(
    x: Tensors, sequence_length: int, sequence_stride: int, fft_length: int, length: int | None = None,
    window: Tensor | str | None = "hann", center: bool = True,
) -> Tensor:  # fmt: skip
    """Compute the inverse short-time Fourier transform of [real, imaginary] parts: a signal of `length` samples."""
    pieces = irfft(x, fft_length)
    count, start = pieces.shape[-2], fft_length // 2 if center else 0
    whole = sequence_stride * (count - 1) + fft_length
    end = whole - start if length is None else start + length
    weights = _weights(pieces, window, sequence_length, sequence_stride, fft_length)
    if window is None:
        return _overlapped(pieces, sequence_stride)[..., start:end]
    if center and sequence_length == fft_length:  # the sums of squared window weights of each sample
        sums = _overlapped((weights * weights).expand(count, -1), sequence_stride)[start:end]
        signal = _overlapped(pieces * weights, sequence_stride)[..., start:end] / sums
        return F.pad(signal, (0, max(end - whole, 0)))
    steps = -(-fft_length // sequence_stride)  # as for an infinite number of frames
    squares = F.pad(weights * weights, (0, steps * sequence_stride - fft_length)).view(steps, -1)
    return _overlapped(pieces * weights / squares.sum(0).repeat(steps)[:fft_length], sequence_stride)[..., start:end]


def _weights(x: Tensor, window: Tensor | str | None, length: int, stride: int, fft_length: int) -> Tensor:
    """Return the `length` values of a window function, zero-padded on both sides to `fft_length`."""
    if not 1 <= length <= fft_length:
        raise Refusal(f"sequence_length: expected 1 to fft_length, {fft_length}, got {length}")
    if stride < 1:
        raise Refusal(f"sequence_stride: expected 1 or more, got {stride}")
    if window is None:
        weights = torch.ones(length, dtype=x.dtype, device=x.device)
    elif isinstance(window, Tensor):
        weights = window.to(x.dtype)
    elif window in ("hann", "hamming"):
        make = torch.hann_window if window == "hann" else torch.hamming_window
        weights = make(length, periodic=True, dtype=x.dtype, device=x.device)
    else:
        raise Refusal(f"window: expected 'hann', 'hamming', a vector or null, got '{window}'", "window")
    if tuple(weights.shape) != (length,):
        raise Refusal(f"window: expected {length} values, sequence_length, got {list(weights.shape)}")
    before = (fft_length - length) // 2
    return F.pad(weights, (before, fft_length - length - before))


def _overlapped(x: Tensor, stride: int) -> Tensor:
    """Add up frames (*, n, L), each `stride` elements after the one before, to a signal (*, stride * (n - 1) + L)."""
    count, length = x.shape[-2:]
    steps = -(-length // stride)
    parts = F.pad(x, (0, steps * stride - length)).unflatten(-1, (steps, stride)).unbind(-2)
    rows = [F.pad(part, (0, 0, k, steps - 1 - k)) for k, part in enumerate(parts)]
    return sum(rows[1:], rows[0]).flatten(-2)[..., : stride * (count - 1) + length]
