"""Layers defined in keras.applications: outputs, gradients, and arithmetic given the random draws."""

import math
from typing import Any

import pytest
import torch
from keras.src.applications import convnext
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from kerascli.foundation.shapes import TensorSpec
from tests.parity import ledger
from tests.parity.layers import assert_same
from tests.support import layer_harness as harness


class NamedLayerScale(convnext.LayerScale):
    """Keras's LayerScale, whose weight has no name, with one."""

    def build(self, _: Any) -> None:
        super().build(_)
        self.gamma._name = "gamma"


@pytest.mark.parametrize(("shape", "size"), [((2, 5, 4, 3), 3), ((2, 3), 3), ((2, 5, 3), 1)])
def test_layer_scale(shape: tuple[int, ...], size: int) -> None:
    config = {"init_values": 0.3, "projection_dim": size}
    assert_same("layer_scale", config, shape, theirs=NamedLayerScale(**config, dtype="float64"))


def test_the_factors_of_layer_scale_start_from_init_values() -> None:
    theirs = convnext.LayerScale(0.3, 4)
    theirs.build((None, 4))
    module = harness.make(harness.parse("layer_scale", {"init_values": 0.3, "projection_dim": 4}), TensorSpec((4,)))
    ((_, spec),) = harness.weights(module)
    made = spec.initializer(spec.shape, dtype=torch.float32, generator=torch.Generator())
    assert made.tolist() == theirs.gamma.value.tolist()


@pytest.mark.parametrize("shapes", [((2, 5, 3), (2, 5, 3)), ((2, 3), (2, 3)), ((2, 5, 3), (2, 1, 3))])
def test_custom_scale_layer(shapes: tuple[tuple[int, ...], ...]) -> None:
    assert_same("custom_scale_layer", {"scale": 0.17}, *shapes, theirs=CustomScaleLayer(0.17, dtype="float64"))


def test_stochastic_depth_does_nothing_at_inference() -> None:
    theirs = convnext.StochasticDepth(0.4, dtype="float64")
    assert_same("stochastic_depth", {"drop_path_rate": 0.4}, (3, 5, 4), training=False, theirs=theirs)


class TestStochasticDepth:
    def drawn(self, rate: float, x: torch.Tensor) -> torch.Tensor:
        layer = harness.parse("stochastic_depth", {"drop_path_rate": rate})
        return harness.call(harness.make(layer, TensorSpec(tuple(x.shape[1:]))).train(), x, seed=0)

    @pytest.mark.parametrize("shape", [(40, 6), (40, 5, 4, 3)])
    def test_samples_are_dropped_whole_and_scaled_as_in_keras(
        self, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keras gets our random draws, so that only the arithmetic is compared."""
        x = torch.randn(shape, dtype=torch.float64)
        y = self.drawn(0.4, x)
        kept = (y != 0).flatten(1)
        assert (kept == kept[:, :1]).all()
        assert 0 < kept[:, 0].sum() < 40
        above = kept[:, 0].double().reshape(-1, *[1] * (x.ndim - 1)) * 0.99  # a sample stays where 0.6 + u is above 1
        monkeypatch.setattr(convnext.random, "uniform", lambda wanted, low, high: above.reshape(wanted))
        expected = convnext.StochasticDepth(0.4, dtype="float64")(x, training=True)
        torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)
        ledger.note("layer", "stochastic_depth", f"{shape}, given draws", float((y - expected).abs().max()))

    def test_the_rate_is_the_share_of_samples_that_are_dropped(self) -> None:
        count = 4000
        dropped = (self.drawn(0.3, torch.ones(count, 2)) == 0).all(1).double().mean().item()
        assert dropped == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / count))  # five standard deviations
