"""Spectrograms, rescaling and normalization: values and gradients equal Keras's."""

from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.layers.base import ShapeMismatch
from tests.parity import ledger
from tests.parity.layers import assert_same, keras_layer
from tests.support import layer_harness as harness

FIRST = {"data_format": "channels_first"}
MEL = {"fft_length": 64, "sequence_stride": 16, "num_mel_bins": 8}


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        *[({"mode": mode, "frame_length": 16}, (2, 40, 3)) for mode in ("log", "magnitude", "psd", "real", "imag")],
        *[({"mode": mode, "frame_length": 16}, (2, 40, 3)) for mode in ("angle", "stft")],
        ({"frame_length": 15, "frame_step": 4, "padding": "same"}, (2, 41, 3)),
        ({"frame_length": 10, "fft_length": 32, "window": "hamming", "periodic": True}, (2, 40, 1)),
        ({"mode": "psd", "frame_length": 10, "window": None, "scaling": "spectrum"}, (2, 40, 3)),
        ({"mode": "stft", "frame_length": 10, "scaling": None, "expand_dims": True}, (2, 40, 3)),
        ({"mode": "magnitude", "frame_length": 10, "expand_dims": True, **FIRST}, (2, 3, 40)),
        ({"frame_length": 10, "padding": "same", **FIRST}, (2, 3, 40)),
    ],
)
def test_stft_spectrogram(config, shape):
    assert_same("STFTSpectrogram", config, shape)


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("window", ["hann", "hamming", "blackman", "bartlett", "cosine", "nuttall", None])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
@pytest.mark.parametrize("periodic", [True, False])
def test_its_kernels_start_as_in_keras(side, window, scaling, periodic):
    config = {"mode": side, "frame_length": 12, "window": window, "scaling": scaling, "periodic": periodic}
    module = harness.make(harness.parse("STFTSpectrogram", config), TensorSpec((40, 1)))
    harness.materialise(module)
    ((owner, spec),) = harness.weights(module)
    theirs = keras_layer("STFTSpectrogram", config)
    theirs.build((None, 40, 1))
    expected = theirs.weights[0].value.detach().numpy()
    np.testing.assert_allclose(spec.to_keras(getattr(owner, spec.name)).detach().numpy(), expected, atol=1e-6)


def test_mel_power_beyond_half_precision_is_that_of_float32():
    module = harness.make(harness.parse("mel_spectrogram", MEL), TensorSpec((200,)))
    x = 3000 * torch.randn(2, 200, generator=torch.Generator().manual_seed(0))
    exact = module(x)
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(module(x), exact)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (MEL, (2, 200)),
        ({**MEL, "power_to_db": False}, (2, 200)),
        ({**MEL, "sequence_length": 40, "window": "hamming"}, (2, 3, 150)),
        ({**MEL, "window": None, "mag_exp": 1.0, "ref_power": 3.0}, (2, 100)),
        ({**MEL, "top_db": 5.0, "min_power": 1e-3}, (2, 3, 100)),
        ({**MEL, "sampling_rate": 8001, "min_freq": 300.0, "max_freq": 3000.0}, (2, 200)),
        ({**MEL, "fft_length": 63, "min_freq": 0.0}, (2, 200)),
    ],
)
def test_mel_spectrogram(config, shape):
    """Tolerance of float32, in which Keras computes the mel bands."""
    x = np.random.default_rng(0).normal(size=shape)
    compared = ledger.Comparison(atol=1e-4, rtol=1e-4)
    xs = [torch.tensor(x, requires_grad=True) for _ in range(2)]
    expected = keras_layer("MelSpectrogram", config)(xs[0])
    got = harness.make(harness.parse("mel_spectrogram", config), TensorSpec(shape[1:], "float64"))(xs[1])
    compared.same(got, expected)
    torch.autograd.backward([got.sum(), expected.sum()])
    assert xs[0].grad is not None
    assert xs[1].grad is not None
    compared.same(xs[1].grad, xs[0].grad)
    ledger.note("layer", "mel_spectrogram", ledger.describe(config, shape), compared.gap, config=config)


@pytest.mark.parametrize(
    ("name", "config", "shape", "words"),
    [
        ("stft_spectrogram", {"frame_length": 4, "frame_step": 5}, (40, 1), "frame_step"),
        ("stft_spectrogram", {"frame_length": 4, "fft_length": 2}, (40, 1), "fft_length"),
        ("stft_spectrogram", {"frame_length": 64}, (40, 1), "leaves nothing"),
        ("mel_spectrogram", {"fft_length": 64, "sequence_length": 65}, (90,), "sequence_length"),
        ("mel_spectrogram", {"min_freq": 9000.0}, (3000,), "max_freq"),
        ("mel_spectrogram", {}, (1024,), "1024"),
        ("mel_spectrogram", {}, (2, 3, 4000), "signals"),
        ("rescaling", {"scale": [1.0, 2.0]}, (4, 3), "2 numbers, one for each channel, for 3 channels"),
        ("normalization", {}, (3,), "mean"),
        ("normalization", {"mean": 1.0, "variance": [1.0]}, (3,), "must have the same shape"),
        ("normalization", {"mean": [1.0, 2.0], "variance": [1.0, 2.0]}, (3,), "expected 3 values"),
    ],
)
def test_impossible_settings_are_reported(name, config, shape, words):
    with pytest.raises((Invalid, ShapeMismatch), match=words):
        harness.make(harness.parse(name, config), TensorSpec(shape))


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"scale": 2.5}, (2, 3, 4)),
        ({"scale": 0.1, "offset": -3.0}, (2, 3)),
        ({"scale": -1.0, "offset": 2.0}, (2, 3, 4, 3)),
        ({"scale": 0.0, "offset": 2.0}, (2, 3)),
        ({"scale": [0.5, -1.0, 2.0], "offset": [1.0, 0.0, -3.0]}, (4, 5, 3)),
        ({"scale": 2.0, "offset": [1.0, -3.0]}, (4, 2)),
    ],
)
def test_rescaling(config, shape):
    assert_same("Rescaling", config, shape)


@pytest.mark.parametrize("invert", [True, False])
@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"mean": [1.0, 2.0, 3.0], "variance": [0.5, 0.0, 3.0]}, (2, 4, 3)),
        ({"mean": 0.5, "variance": 2.0}, (2, 4, 3)),
        ({"axis": None, "mean": 0.5, "variance": 2.0}, (2, 4, 3)),
        ({"axis": 1, "mean": [1.0, 2.0], "variance": [1.0, 4.0]}, (3, 2, 4)),
        ({"axis": [1, 2], "mean": [[1.0, 2.0, 4.0], [3.0, 4.0, 5.0]], "variance": [[1.0, 2.0, 4.0], [3.0, 4.0, 5.0]]},
         (3, 2, 3)),
        ({"axis": [1, 2], "mean": [1.0, 2.0, 4.0], "variance": [1.0, 2.0, 4.0]}, (3, 2, 3)),
    ],
)  # fmt: skip
def test_normalization(config, shape, invert):
    plain: dict[str, Any] = {k: tuple(v) if k == "axis" and isinstance(v, list) else v for k, v in config.items()}
    theirs = keras.layers.Normalization(**plain, invert=invert, dtype="float64")
    assert_same("Normalization", {**config, "invert": invert}, shape, theirs=theirs)
