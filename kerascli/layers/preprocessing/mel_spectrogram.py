"""MelSpectrogram: power of an audio signal in frequency bands of the mel scale."""

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import NonNegativeFloat, PositiveFloat, PositiveInt, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.function import Function, full_precision


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
            text = f"needs signals of more than {border} samples (half of fft_length), got {steps}"
            raise ShapeMismatch(text, argument="fft_length")
        return Function(self._spectrogram)

    def _spectrogram(self, x: Tensor) -> Tensor:  # (N, *, T) -> (N, *, bins, T')
        """Return mel spectrograms, computed in float32 or float64, since half precision lacks the range."""
        waves = x if x.dtype == torch.float64 else x.float()
        power = self._magnitudes(waves).pow(self.mag_exp)
        with full_precision(x):
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
