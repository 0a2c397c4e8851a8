"""Decode sound files to samples at one rate and of one length: PCM wave files by Python, others by soundfile."""

import io
import math
import wave
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from kerascli.data.storage.decoded_files import MAX_BYTES, DamagedFile, Decoder
from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.errors import DataError, safe_text

MAX_SAMPLES = 2**26
"""Maximum number of samples of all channels to decode of a file."""
_OTHERS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")
"""First bytes of sound files that Python's `wave` does not read, or not always."""
_WIDTH, _ROLLOFF = 6, 0.99
_MAX_KERNEL = 2**24


@dataclass(frozen=True, slots=True)
class SoundReading(Decoder):
    """Settings for decoding sound files: sampling rate, length in samples, and channels.

    `rate` None keeps the rate of each file. `channels` None: the mean of all channels, without an axis of channels; 1:
    the same with that axis.
    """

    noun: ClassVar = "sound"
    suffixes: ClassVar = (".wav", ".flac", ".mp3", ".ogg", ".aiff", ".aif")
    dtype: ClassVar = np.dtype(np.float32)

    rate: int | None
    length: int
    channels: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,) if self.channels is None else (self.length, self.channels)

    def decode(self, path: Path, *, reduced: bool = False) -> np.ndarray:
        data = read_bytes(path, MAX_BYTES)
        try:
            samples, rate = self._wave(data, path)
        except (wave.Error, EOFError):
            samples, rate = self._other(data, path)
        if not len(samples):
            raise DamagedFile("there are no samples", place=str(path))
        if self.channels in (None, 1):
            samples = samples.mean(axis=1, keepdims=True)
        elif samples.shape[1] != self.channels:
            text = f"channels: {self.channels} expected, the file has {samples.shape[1]}"
            raise DataError(text, place=str(path), hint="channels: 1 takes the mean of all channels")
        if self.rate not in (None, rate):
            samples = resampled(samples, rate, self.rate, path)
        out = np.zeros((self.length, samples.shape[1]), np.float32)
        out[: len(samples)] = samples[: self.length]
        return out.reshape(self.shape)

    def _frames(self, frames: int, channels: int, rate: int, path: Path) -> int:
        """Return how many of a file's frames are needed. Raises DataError if they are too many."""
        ratio = 1.0 if self.rate is None else rate / self.rate
        frames = min(frames, math.ceil(self.length * ratio + (2 * _WIDTH + 2) * max(1.0, ratio)))
        if frames * channels > MAX_SAMPLES:
            text = f"{frames:,} samples in {channels:,} channels; the limit here is {MAX_SAMPLES:,} in all"
            raise DataError(text, place=str(path))
        return frames

    def _wave(self, data: bytes, path: Path) -> tuple[np.ndarray, int]:
        """Return the samples (frames, channels) of a PCM wave file in [-1, 1], and its rate; raises wave.Error."""
        with wave.Wave_read(io.BytesIO(data)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            if width not in (1, 2, 3, 4) or rate < 1:
                raise wave.Error
            size, declared = width * channels, file.getnframes()
            is_known = declared * size <= MAX_BYTES  # programs that write to a pipe declare the largest number
            frames = self._frames(declared if is_known else len(data) // size, channels, rate, path)
            raw = file.readframes(frames)
        if is_known and len(raw) < frames * size:
            raise DamagedFile("the file is cut off", place=str(path))
        raw = raw[: len(raw) // size * size]
        if width == 1:
            values = np.frombuffer(raw, np.uint8).astype(np.int32) - 128
        elif width == 3:
            low, middle, high = np.frombuffer(raw, np.uint8).astype(np.int32).reshape(-1, 3).T
            values = (low << 8 | middle << 16 | high << 24) >> 8
        else:
            values = np.frombuffer(raw, f"<i{width}")
        return (values / 2.0 ** (8 * width - 1)).astype(np.float32).reshape(-1, channels), rate

    def _other(self, data: bytes, path: Path) -> tuple[np.ndarray, int]:
        """Return the samples (frames, channels) of a file that is no PCM wave, and its rate, by soundfile."""
        if not data:
            raise DamagedFile("the file is empty", place=str(path))
        if not data.startswith(_OTHERS):
            raise DamagedFile("not a sound of a supported format (wav, flac, ogg, mp3, aiff)", place=str(path))
        try:
            import soundfile  # pyright: ignore[reportMissingImports]
        except ImportError:
            text = "this sound file is no PCM wave; others need soundfile"
            raise DataError(text, place=str(path), hint="pip install 'kerascli[audio]'") from None
        try:
            with soundfile.SoundFile(io.BytesIO(data)) as file:
                frames = self._frames(file.frames, file.channels, file.samplerate, path)
                samples = file.read(frames, dtype="float32", always_2d=True)
                rate = file.samplerate
        except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
            raise DamagedFile(f"damaged sound: {safe_text(str(error), 120)}", place=str(path)) from None
        if len(samples) < frames:
            raise DamagedFile("the file is cut off", place=str(path))
        return samples, rate


def resampled(samples: np.ndarray, rate: int, to: int, path: Path) -> np.ndarray:
    """Resample (frames, channels) to another rate by windowed sinc interpolation.

    The filter is that of torchaudio.functional.resample with its defaults: a Hann window of 6 zero crossings on each
    side, and 0.99 of the lower Nyquist frequency. Raises DataError for rates without a large common divisor.
    """
    divisor = math.gcd(rate, to)
    before, after = rate // divisor, to // divisor
    if after * (before + 2 * _half(before, after)) > _MAX_KERNEL:
        text = f"a rate of {rate:,} Hz cannot be resampled to {to:,} Hz, which have no common divisor but {divisor}"
        raise DataError(text, place=str(path), hint="convert it with ffmpeg or sox")
    kernel = _kernel(before, after)
    half = _half(before, after)
    padded = np.pad(samples, ((half, half + before), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[1], axis=0)[::before]
    out = np.einsum("nck,ak->nac", windows, kernel, optimize=True).reshape(-1, samples.shape[1])
    return out[: math.ceil(len(samples) * after / before)]


def _half(before: int, after: int) -> int:
    """Return half of the filter's length, in samples before resampling."""
    return math.ceil(_WIDTH * before / (min(before, after) * _ROLLOFF))


@lru_cache(maxsize=8)
def _kernel(before: int, after: int) -> np.ndarray:
    """Return the filter (phases, samples): phase p of each `after` new samples weighs the old ones around it."""
    half, cutoff = _half(before, after), min(before, after) * _ROLLOFF
    places = np.arange(-half, half + before) / before - np.arange(after)[:, None] / after
    at = np.clip(places * cutoff, -_WIDTH, _WIDTH)
    return (np.sinc(at) * np.cos(at * np.pi / _WIDTH / 2) ** 2 * cutoff / before).astype(np.float32)
