"""Sound files: samples equal to what was written, resampling beside closed forms, and hostile files."""

import math
import struct
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import load_data
from kerascli.data.section import parse_data
from kerascli.data.storage import sound_files
from kerascli.data.storage.decoded_files import DamagedFile
from kerascli.data.storage.sound_files import SoundReading, resampled
from kerascli.foundation.errors import DataError
from kerascli.language.component import Invalid
from tests.support.needs import library


def sine(rate: int, hertz: float, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def put(path: Path, samples: np.ndarray, rate: int = 8000, width: int = 2) -> Path:
    """Write samples (frames,) or (frames, channels) in [-1, 1] as a PCM wave file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    full = 2 ** (8 * width - 1)
    values = np.clip(np.round(samples * full), -full, full - 1).astype(np.int64)
    low_bytes = (values + (128 if width == 1 else 0)).astype("<i8").reshape(-1, 1).view(np.uint8)[:, :width]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(low_bytes.tobytes())
    return path


def test_samples_of_every_width_are_those_that_were_written(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 300)
    for width in (1, 2, 3, 4):
        read = SoundReading(8000, 300).decode(put(tmp_path / "a.wav", samples, width=width))
        np.testing.assert_allclose(read, samples, atol=1.01 * 2.0 ** (1 - 8 * width) + 1e-7)
        assert read.dtype == np.float32


def test_shorter_sounds_are_padded_and_longer_ones_truncated(tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav", sine(8000, 440))
    whole = SoundReading(None, 4000).decode(path)
    np.testing.assert_array_equal(SoundReading(8000, 1000).decode(path), whole[:1000])
    np.testing.assert_array_equal(SoundReading(8000, 5000).decode(path), np.pad(whole, (0, 1000)))


def test_channels_are_mixed_or_kept(tmp_path: Path) -> None:
    both = np.stack([sine(8000, 100), sine(8000, 300) / 2], axis=1)
    path = put(tmp_path / "a.wav", both, width=4)
    np.testing.assert_allclose(SoundReading(8000, 4000, 2).decode(path), both, atol=1e-6)
    mixed = SoundReading(8000, 4000).decode(path)
    np.testing.assert_allclose(mixed, both.mean(1), atol=1e-6)
    np.testing.assert_array_equal(SoundReading(8000, 4000, 1).decode(path), mixed[:, None])
    with pytest.raises(DataError, match="channels: 3 expected, the file has 2"):
        SoundReading(8000, 4000, 3).decode(path)


@pytest.mark.parametrize(("rate", "to"), [(8000, 16000), (44100, 16000), (16000, 8000), (22050, 16000), (48000, 44100)])
def test_a_resampled_sine_is_the_sine_at_the_other_rate(rate: int, to: int) -> None:
    found = resampled(sine(rate, 440)[:, None].astype(np.float32), rate, to, Path("a.wav"))[:, 0]
    assert len(found) == math.ceil(round(rate * 0.5) * to / rate)
    inner = slice(to // 50, -to // 50)  # the filter sees zeros beyond both ends
    np.testing.assert_allclose(found[inner], sine(to, 440)[: len(found)][inner], atol=2e-3)


def test_resampling_removes_what_the_lower_rate_cannot_hold() -> None:
    found = resampled(sine(16000, 6000)[:, None].astype(np.float32), 16000, 8000, Path("a.wav"))[:, 0]
    assert np.abs(found[200:-200]).max() < 2e-3


def test_resampling_is_near_that_of_scipy() -> None:
    signal = library("scipy.signal")
    noise = signal.lfilter(*signal.butter(6, 0.2), np.random.default_rng(0).normal(size=8000)).astype(np.float32)
    found = resampled(noise[:, None], 44100, 16000, Path("a.wav"))[:, 0]
    expected = signal.resample_poly(noise, 160, 441)
    assert np.abs(found - expected)[100:-100].max() < 0.02 * np.abs(expected).max()


def test_only_as_much_is_decoded_as_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.wav", sine(44100, 440, 2.0), 44100)
    whole = SoundReading(16000, 32000).decode(path)
    monkeypatch.setattr(sound_files, "MAX_SAMPLES", 5000)
    np.testing.assert_allclose(SoundReading(16000, 1000).decode(path), whole[:1000], atol=1e-6)
    with pytest.raises(DataError, match="the limit here is 5,000"):
        SoundReading(16000, 32000).decode(path)


def wave_bytes(declared: int, *, rate: int = 8000, channels: int = 1, kind: int = 1, bits: int = 16) -> bytes:
    """Return a wave file of 100 bytes of samples that declares `declared` bytes of them."""
    size = channels * bits // 8
    form = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, min(rate * size, 2**32 - 1), size & 0xFFFF, bits
    )
    return b"RIFF" + struct.pack("<I", 2**31) + b"WAVE" + form + b"data" + struct.pack("<I", declared) + bytes(100)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "not a sound of a supported format"),
        (wave_bytes(4000), "the file is cut off"),
        (wave_bytes(0), "there are no samples"),
        (wave_bytes(100, rate=15_999_989), "cannot be resampled to 8,000 Hz"),
        (wave_bytes(2**27, channels=60_000, bits=8), "the limit here is"),
    ],
)
def test_a_damaged_or_hostile_file_is_refused(data: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(DataError, match=text):
        SoundReading(8000, 4000).decode(tmp_path / "a.wav")


def test_a_file_written_to_a_pipe_declares_too_much_and_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wave_bytes(2**32 - 1))
    assert SoundReading(8000, 60).decode(tmp_path / "a.wav").shape == (60,)


def test_a_file_that_is_no_pcm_wave_needs_soundfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.wav").write_bytes(wave_bytes(100, kind=3, bits=32))
    with pytest.raises(DataError, match="others need soundfile") as caught:
        SoundReading(8000, 60).decode(tmp_path / "a.wav")
    assert caught.value.faults[0].hint == "pip install 'kerascli[audio]'"


@pytest.mark.parametrize(("form", "tolerance"), [("FLAC", 1e-4), ("OGG", 0.1), ("AIFF", 1e-4), ("WAV", 1e-6)])
def test_soundfile_reads_other_formats(form: str, tolerance: float, tmp_path: Path) -> None:
    soundfile = library("soundfile")
    both = 0.5 * np.stack([sine(8000, 100), sine(8000, 300)], axis=1)
    path = tmp_path / f"a.{form.lower()}"
    soundfile.write(str(path), both, 8000, format=form, subtype="FLOAT" if form == "WAV" else None)
    np.testing.assert_allclose(SoundReading(8000, 4000, 2).decode(path), both, atol=tolerance)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    if form == "FLAC":  # of others the library reads what is there
        with pytest.raises(DamagedFile):
            SoundReading(8000, 4000).decode(path)
    path.write_bytes(data[:4] + bytes(range(200)))
    with pytest.raises(DamagedFile):
        SoundReading(8000, 4000).decode(path)


def test_a_folder_of_sounds_for_each_class(tmp_path: Path) -> None:
    library("soundfile")
    for number in range(4):
        put(tmp_path / "sounds" / "low" / f"{number}.wav", sine(8000, 100 + number))
        put(tmp_path / "sounds" / "high" / f"{number}.wav", sine(8000, 900 + number))
    (tmp_path / "sounds" / "low" / "x.wav").write_bytes(b"RIFF")
    source: dict[str, Any] = {"directory": "sounds", "output_sequence_length": 2000, "sampling_rate": 4000}
    data = {"source": {"audio_folder": source}, "inputs": {"audio": []}, "targets": {"label": []}}
    with pytest.raises(DataError, match=r"1 of 9 sounds cannot be read"):
        load_data(parse_data(data), Context(tmp_path, 0))
    source["on_corrupt"] = "skip"
    prepared = load_data(parse_data(data), Context(tmp_path, 0))
    assert prepared.warnings[0].startswith("sounds: 1 of 9 sounds skipped (on_corrupt: skip): ")
    rows = prepared.splits["train"].read(slice(None))
    assert rows.inputs["audio"].shape == (8, 2000, 1)
    assert rows.targets["label"].tolist() == [0] * 4 + [1] * 4  # high, low
    zero_crossings = (np.diff(np.signbit(rows.inputs["audio"][:, 100:1900, 0]), axis=1)).sum(1)
    np.testing.assert_allclose(zero_crossings / 0.9, [900, 901, 902, 903, 100, 101, 102, 103], atol=2)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "seconds"),
        ({"seconds": 1, "sampling_rate": 3}, "unknown"),
        ({"seconds": -1}, "seconds"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], text: str) -> None:
    source = {"csv": {"path": "t.csv", "files": {"clip": {"audio": settings}}}}
    with pytest.raises(Invalid, match=text):
        parse_data({"source": source, "inputs": {"clip": []}})
