"""Random layers: range, moments and independence of draws, and Keras's arithmetic given the draws."""

import math

import keras
import pytest
import torch
from keras.src import ops
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from tests.parity import ledger
from tests.parity.layers import assert_same
from tests.support import layer_harness as harness

RANDOM = {
    "dropout": {"rate": 0.4},
    "alpha_dropout": {"rate": 0.4},
    "gaussian_dropout": {"rate": 0.4},
    "gaussian_noise": {"stddev": 0.4},
    "spatial_dropout_1d": {"rate": 0.4},
    "spatial_dropout_2d": {"rate": 0.4},
    "spatial_dropout_3d": {"rate": 0.4},
}
CLASSES = {
    "dropout": "Dropout", "alpha_dropout": "AlphaDropout", "gaussian_dropout": "GaussianDropout",
    "gaussian_noise": "GaussianNoise", "spatial_dropout_1d": "SpatialDropout1D",
    "spatial_dropout_2d": "SpatialDropout2D", "spatial_dropout_3d": "SpatialDropout3D",
}  # fmt: skip
SHAPES = {
    "spatial_dropout_1d": (20, 30, 40),
    "spatial_dropout_2d": (20, 6, 5, 40),
    "spatial_dropout_3d": (20, 3, 2, 5, 40),
}
each_random = pytest.mark.parametrize("name", RANDOM)


def drawn(name: str, config: dict, x: Tensor, *, seed: int = 0) -> Tensor:
    module = harness.make(harness.parse(name, config), TensorSpec(tuple(x.shape[1:]))).train()
    return harness.call(module, x, seed=seed)


@each_random
def test_evaluation_is_that_of_keras(name):
    assert_same(CLASSES[name], RANDOM[name], SHAPES.get(name, (20, 40)), training=False)


@each_random
def test_samples_steps_and_seeds_draw_their_own_numbers(name):
    x = torch.ones(SHAPES.get(name, (20, 40)))
    y = drawn(name, RANDOM[name], x)
    assert torch.equal(y, drawn(name, RANDOM[name], x))
    assert not torch.equal(y, drawn(name, RANDOM[name], x, seed=1))
    assert not torch.equal(y, drawn(name, {**RANDOM[name], "seed": 3}, x))
    assert len({tuple(sample.flatten().tolist()) for sample in y}) == len(y)


@each_random
def test_a_rate_of_0_changes_nothing(name):
    x = torch.randn(SHAPES.get(name, (20, 40)))
    assert torch.equal(drawn(name, dict.fromkeys(RANDOM[name], 0.0), x), x)


@pytest.mark.parametrize(
    ("name", "config", "shape", "channel"),
    [
        ("spatial_dropout_1d", {}, (50, 30, 40), -1),
        ("spatial_dropout_2d", {}, (50, 6, 5, 40), -1),
        ("spatial_dropout_2d", {"data_format": "channels_first"}, (50, 40, 6, 5), 1),
        ("spatial_dropout_3d", {}, (50, 3, 2, 5, 40), -1),
        ("spatial_dropout_3d", {"data_format": "channels_first"}, (50, 40, 3, 2, 5), 1),
    ],
)
def test_whole_channels_are_dropped(name, config, shape, channel):
    y = drawn(name, {"rate": 0.3, **config}, torch.ones(shape)).movedim(channel, 1).flatten(2)
    assert (y == y[:, :, :1]).all()
    assert sorted(y.unique().tolist()) == pytest.approx([0.0, 1 / 0.7])
    dropped = (y[:, :, 0] == 0).double().mean().item()
    assert dropped == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 2000))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("spatial_dropout_1d", {}),
        *[(f"spatial_dropout_{n}d", {"data_format": f"channels_{at}"}) for n in (2, 3) for at in ("first", "last")],
    ],
)
def test_the_dropout_of_keras_has_the_same_noise_shape(name, more):
    x = torch.ones(SHAPES[name])
    theirs = getattr(keras.layers, CLASSES[name])(0.4, **more)
    ours = harness.make(harness.parse(name, {**RANDOM[name], **more}), TensorSpec(tuple(x.shape[1:])))
    noise = theirs._get_noise_shape(x)
    assert tuple(a or b for a, b in zip(ours.arguments[1], x.shape, strict=True)) == tuple(noise)  # pyright: ignore
    ledger.note("layer", name, "shape of the draws", config={**RANDOM[name], **more})


class TestAlphaDropout:
    @pytest.mark.parametrize("rate", [0.1, 0.4, 0.9])
    def test_kept_and_dropped_values_are_those_of_keras(self, rate, monkeypatch):
        """Keras gets our random draws, so that only the arithmetic is compared."""
        x = torch.randn(30, 40, dtype=torch.float64)
        y = drawn("alpha_dropout", {"rate": rate}, x)
        dropped_value = y.flatten().mode().values
        kept = y != dropped_value
        monkeypatch.setattr(ops.random, "uniform", lambda shape, seed=None: kept.double())  # 1 is above any rate
        expected = keras.layers.AlphaDropout(rate, dtype="float64")(x, training=True)
        torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)
        gap = float((y - expected).abs().max())
        ledger.note("layer", "alpha_dropout", f"rate={rate}, given draws", gap, config={"rate": rate})

    @pytest.mark.parametrize("rate", [0.1, 0.5])
    def test_mean_and_variance_of_normal_values_stay(self, rate):
        y = drawn("alpha_dropout", {"rate": rate}, torch.randn(1000, 1000, dtype=torch.float64))
        assert y.mean().item() == pytest.approx(0, abs=0.01)
        assert y.var().item() == pytest.approx(1, abs=0.02)

    def test_values_along_an_axis_of_1_in_the_noise_shape_are_dropped_together(self):
        x = torch.randn(50, 7, 40)
        y = drawn("alpha_dropout", {"rate": 0.5, "noise_shape": [None, 1, None]}, x)
        dropped = y == y.flatten().mode().values
        assert (dropped == dropped[:, :1]).all()
        assert 0.4 < dropped.double().mean() < 0.6
