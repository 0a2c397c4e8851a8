"""STFTSpectrogram: short-time Fourier transform of signals, as a convolution with trainable kernels."""

import math
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat, PositiveInt, TensorSpec
from kerascli.layers.base import Example, Layer, WeightedModule, layer
from kerascli.layers.geometry import Window, pad_order, sizes_and_channels
from kerascli.parts.initializers import STFT

_EPSILON = 1e-7


@layer(Example(input=(40, 2), output=(4, 18), config={"frame_length": 16}))
class STFTSpectrogram(Layer):
    """Spectrogram: the short-time Fourier transform of signals, by a convolution whose kernels can be trained.

    Input: (N, T, C). Output: (N, T', C * frequencies), or (N, T', frequencies, C) with `expand_dims`, of fft_length / 2
    + 1 frequencies. With `data_format: channels_first` time is the last axis.
    """

    mode: Literal["log", "magnitude", "psd", "real", "imag", "angle", "stft"] = "log"
    """Output per frequency: log magnitude, magnitude, power (psd), real or imag part, angle, or both parts (stft)."""
    frame_length: PositiveInt = 256
    """Length of a frame, in samples."""
    frame_step: PositiveInt | None = None
    """Hop length: samples between the starts of successive frames; null: half a frame."""
    fft_length: PositiveInt | None = None
    """Length n of the Fourier transform (n // 2 + 1 frequencies); null: frame_length rounded up to a power of 2."""
    window: Literal["hann", "hamming", "blackman", "bartlett", "cosine", "nuttall"] | None = "hann"
    """Window function applied to each frame; null: no window."""
    periodic: bool = False
    """Use a periodic window, computed with one more sample that is dropped; false: a symmetric window."""
    scaling: Literal["density", "spectrum"] | None = "density"
    """Divisor of the window: the root of its sum of squares (density), its sum (spectrum), or none (null)."""
    padding: Literal["valid", "same"] = "valid"
    """Padding: none (valid), or at both ends to ceil(T / frame_step) frames (same)."""
    expand_dims: bool = False
    """Keep channels and frequencies on separate axes."""
    data_format: DataFormat = "channels_last"

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        if self.frame_step is not None and self.frame_step > self.frame_length:
            raise ValueError(f"frame_step ({self.frame_step}) must not be above frame_length ({self.frame_length})")
        if self.fft_length is not None and self.fft_length < self.frame_length:
            raise ValueError(f"fft_length ({self.fft_length}) must not be below frame_length ({self.frame_length})")
        if self.frame_length == 1:
            raise ValueError("frame_length must be at least 2")
        return self

    def build(self, x: TensorSpec) -> nn.Module:
        sizes, _ = sizes_and_channels(x, 1, self.data_format)
        module = STFTSpectrogramModule(self)
        module.frames.check(sizes)
        return module


class STFTSpectrogramModule(WeightedModule):
    def __init__(self, settings: STFTSpectrogram) -> None:
        super().__init__(settings)
        self.last = settings.data_format == "channels_last"
        length = settings.frame_length
        self.frames = Window((length,), (settings.frame_step or length // 2,), settings.padding, (1,))
        transform = settings.fft_length or 2 ** math.ceil(math.log2(length))
        sides: tuple[Literal["real", "imag"], ...] = ("real", "imag")
        for side in sides:
            if settings.mode == side or settings.mode not in sides:
                made = STFT(side=side, window=settings.window, scaling=settings.scaling, periodic=settings.periodic)
                shape = (length, 1, transform // 2 + 1)
                self.add_weight(f"{side}_kernel", shape, initializer=made, axes=(2, 1, 0))

    def forward(self, x: Tensor) -> Tensor:  # (N, T, C) -> (N, T', C * F) or (N, T', F, C)
        x = x.mT if self.last else x
        channels, steps = x.shape[1:]
        padded = F.pad(x.reshape(-1, 1, steps), pad_order(self.frames.pads((steps,))))
        parts = [F.conv1d(padded, getattr(self, name), stride=self.frames.strides) for name in self.weight_specs]
        whole = parts[0] if len(parts) == 1 else self._combined(*parts)
        spectrogram = whole.unflatten(0, (-1, channels))  # (N, C, F, T')
        if self.settings.expand_dims:
            return spectrogram.permute(0, 3, 2, 1) if self.last else spectrogram.mT
        spectrogram = spectrogram.flatten(1, 2)
        return spectrogram.mT if self.last else spectrogram

    def _combined(self, real: Tensor, imag: Tensor) -> Tensor:  # (N * C, F, T') each
        mode = self.settings.mode
        if mode == "stft":
            return torch.cat([real, imag], 1)
        if mode == "angle":
            return torch.atan2(imag, real)
        power = real.square() + imag.square()
        if mode == "psd":  # every frequency but the first and the last also represents its negative
            return power + F.pad(power[:, 1:-1], (0, 0, 1, 1))
        magnitude = power.clamp(min=_EPSILON).sqrt()
        return magnitude if mode == "magnitude" else magnitude.clamp(min=_EPSILON).log()
