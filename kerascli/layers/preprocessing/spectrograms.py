"""Spectrograms: `mel_spectrogram`, the power of signals in bands of the mel scale, and `stft_spectrogram`.

The second is a short-time Fourier transform as a convolution with trainable kernels.
"""

import math
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat, NonNegativeFloat, PositiveFloat, PositiveInt, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, WeightedModule, layer
from kerascli.layers.geometry import Window, pad_order, spatial_shape
from kerascli.parts.initializers import STFT
from kerascli.preprocessing.function import Function


@layer(Example(input=(200,), output=(8, 13), config={"fft_length": 64, "sequence_stride": 16, "num_mel_bins": 8}))
class MelSpectrogram(Layer):
    """Mel spectrogram of audio signals: a short-time Fourier transform whose power is summed in bands of the mel scale.

    Input: (N, T), or (N, C, T). Output: (N, num_mel_bins, T'), or (N, C, num_mel_bins, T').
    """

    fft_length: Annotated[int, Field(ge=2, le=2**24)] = 2048
    """Length of the Fourier transform, in samples."""
    sequence_stride: PositiveInt = 512
    """Hop length: samples between the starts of successive frames."""
    sequence_length: PositiveInt | None = None
    """Length of a frame, in samples; null: fft_length."""
    window: Literal["hann", "hamming"] | None = "hann"
    """Window function applied to each frame; null: no window."""
    sampling_rate: PositiveInt = 16000
    """Samples per second, in hertz."""
    num_mel_bins: PositiveInt = 128
    """Number of mel bands."""
    min_freq: NonNegativeFloat = 20.0
    """Lower edge of the lowest band, in hertz."""
    max_freq: PositiveFloat | None = None
    """Upper edge of the highest band, in hertz; null: half the sampling rate."""
    power_to_db: bool = True
    """Convert the power to decibels."""
    top_db: NonNegativeFloat = 80.0
    """Dynamic range: values are clipped to this many decibels below the maximum of the batch."""
    mag_exp: PositiveFloat = 2.0
    """Exponent of the magnitudes: 2 for power, 1 for the magnitudes themselves."""
    min_power: PositiveFloat = 1e-10
    """Minimum of the power, to which smaller values are raised before the logarithm."""
    ref_power: float = 1.0
    """Reference power, which is 0 decibels."""

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        if self.sequence_length is not None and self.fft_length < self.sequence_length:
            text = f"({self.fft_length}) must not be below sequence_length ({self.sequence_length})"
            raise ValueError(f"fft_length {text}")
        if self.min_freq >= self.highest():
            raise ValueError(f"min_freq ({self.min_freq:g}) must be below max_freq ({self.highest():g})")
        return self

    def highest(self) -> float:
        """Return the upper edge of the highest mel band, in hertz."""
        return self.max_freq or self.sampling_rate // 2

    def build(self, x: TensorSpec) -> nn.Module:
        if x.rank not in (1, 2):
            raise ShapeMismatch(f"needs signals (time) or (channels, time), got {x}")
        steps, border = x.shape[-1], self.fft_length // 2
        if steps is not None and steps <= border:
            raise ShapeMismatch(
                f"needs signals of more than {border} samples (half of fft_length), got {steps}", argument="fft_length"
            )
        return Function(self._spectrogram)

    def _spectrogram(self, x: Tensor) -> Tensor:  # (N, *, T) -> (N, *, bins, T')
        """Return mel spectrograms, computed in float32 or float64, since half precision lacks the range."""
        waves = x if x.dtype == torch.float64 else x.float()
        power = self._magnitudes(waves).pow(self.mag_exp)
        bands = torch.einsum("...ft,fb->...bt", power, self._bands(power))
        spectrogram = self._decibels(bands) if self.power_to_db else bands
        return spectrogram.to(x.dtype) if x.is_floating_point() else spectrogram

    def _magnitudes(self, waves: Tensor) -> Tensor:
        """Return the short-time Fourier magnitudes (N, *, frequencies, frames) of audio signals (N, *, T)."""
        length = self.sequence_length or self.fft_length
        make = {"hann": torch.hann_window, "hamming": torch.hamming_window, None: torch.ones}[self.window]
        window = make(length, dtype=waves.dtype, device=waves.device)
        spectrum = torch.stft(
            waves.flatten(0, -2), self.fft_length, self.sequence_stride, length, window,
            return_complex=True,
        )  # fmt: skip
        return spectrum.abs().unflatten(0, waves.shape[:-1])

    def _bands(self, like: Tensor) -> Tensor:
        """Return the weights (frequencies, mel bins) of the triangular mel filters; frequency 0 has weight 0."""
        count = self.fft_length // 2 + 1
        kind = {"dtype": like.dtype, "device": like.device}
        frequencies = torch.linspace(0, self.sampling_rate / 2, count, **kind)[1:]
        ends = _mel(self.min_freq), _mel(self.highest())
        low, middle, high = torch.linspace(*ends, self.num_mel_bins + 2, **kind).unfold(0, 3, 1).unbind(1)
        place = 1127 * torch.log1p(frequencies / 700).unsqueeze(1)
        triangles = torch.minimum((place - low) / (middle - low), (high - place) / (high - middle)).clamp(min=0)
        return nn.functional.pad(triangles, (0, 0, 1, 0))

    def _decibels(self, power: Tensor) -> Tensor:
        spectrogram = 10 * power.clamp(min=self.min_power).log10()
        spectrogram = spectrogram - 10 * math.log10(max(abs(self.ref_power), self.min_power))
        return torch.maximum(spectrogram, spectrogram.max() - self.top_db)


def _mel(hertz: float) -> float:
    return 1127 * math.log1p(hertz / 700)


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
        sizes, channels = spatial_shape(x, 1, self.data_format)
        if channels is None:
            raise ShapeMismatch(f"needs a known number of channels, got {x}")
        module = STFTSpectrogramModule(self)
        module.frames.check(sizes)
        return module


class STFTSpectrogramModule(WeightedModule):
    def __init__(self, settings: STFTSpectrogram) -> None:
        super().__init__()
        self.mode = settings.mode
        self.expand_dims = settings.expand_dims
        self.last = settings.data_format == "channels_last"
        length = settings.frame_length
        self.frames = Window((length,), (settings.frame_step or length // 2,), settings.padding, (1,))
        transform = settings.fft_length or 2 ** math.ceil(math.log2(length))
        sides: tuple[Literal["real", "imag"], ...] = ("real", "imag")
        for side in sides:
            if self.mode == side or self.mode not in sides:
                made = STFT(side=side, window=settings.window, scaling=settings.scaling, periodic=settings.periodic)
                shape = (length, 1, transform // 2 + 1)
                self.add_weight(f"{side}_kernel", shape, initializer=made, axes=(2, 1, 0))

    def forward(self, x: Tensor) -> Tensor:  # (N, T, C) -> (N, T', C * F) or (N, T', F, C)
        x = x.mT if self.last else x
        channels, steps = x.shape[1:]
        padded = F.pad(x.reshape(-1, 1, steps), pad_order(self.frames.pads((steps,))))
        parts = {
            side: F.conv1d(padded, getattr(self, f"{side}_kernel"), stride=self.frames.strides)
            for side in ("real", "imag")
            if f"{side}_kernel" in self.weight_specs
        }
        spectrogram = self._output(**parts).unflatten(0, (-1, channels))  # (N, C, F, T')
        if self.expand_dims:
            return spectrogram.permute(0, 3, 2, 1) if self.last else spectrogram.mT
        spectrogram = spectrogram.flatten(1, 2)
        return spectrogram.mT if self.last else spectrogram

    def _output(self, real: Tensor | None = None, imag: Tensor | None = None) -> Tensor:  # (N * C, F, T') each
        if real is None or imag is None:
            only = imag if real is None else real
            assert only is not None
            return only
        if self.mode == "stft":
            return torch.cat([real, imag], 1)
        if self.mode == "angle":
            return torch.atan2(imag, real)
        power = real.square() + imag.square()
        if self.mode == "psd":  # every frequency but the first and the last also represents its negative
            return power + F.pad(power[:, 1:-1], (0, 0, 1, 1))
        magnitude = power.clamp(min=_EPSILON).sqrt()
        return magnitude if self.mode == "magnitude" else magnitude.clamp(min=_EPSILON).log()
