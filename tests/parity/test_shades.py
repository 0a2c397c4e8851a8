"""Equalization and contrast operations: images equal Keras's."""

import numpy as np
import pytest
import torch
from keras.src.backend.torch import nn, numpy

from tests.parity import ledger
from tests.parity.images import FIRST, UNIT, images_for, ours
from tests.parity.layers import keras_layer
from tests.support import layer_harness as harness

pytestmark = pytest.mark.filterwarnings("ignore:Tensor.T is deprecated")  # in Keras's count of shades


@pytest.mark.parametrize(
    "config", [{}, {"value_range": [0.0, 1.0]}, {"bins": 16}, {"value_range": [-1.0, 1.0], "bins": 7}, FIRST]
)
def test_equalization_is_that_of_keras_image_by_image(config):
    images = images_for(config)
    images[0] = images[0] * 0 + 0.25  # one shade stays
    if config.get("value_range") == [-1.0, 1.0]:
        images = images / 127.5 - 1
    theirs = keras_layer("Equalization", config)
    expected = [theirs.transform_images(image, None, training=True) for image in images]
    compared = ledger.Comparison()
    compared.same(ours("Equalization", config, images), torch.stack(expected))
    ledger.note("layer", "equalization", ledger.describe(config), compared.gap, config=config)


@pytest.mark.parametrize("config", [{}, UNIT, {"value_range": [0.0, 300.0]}, {"value_range": [-1.0, 4.0]}])
@pytest.mark.parametrize("training", [True, False])
def test_auto_contrast(config, training):
    images = images_for(config)
    images[0, ..., 1] = 0.5
    expected = keras_layer("AutoContrast", config)(images, training=training)
    compared = ledger.Comparison()
    compared.same(ours("AutoContrast", config, images, training), expected)
    ledger.note("layer", "auto_contrast", ledger.describe(config, training=training), compared.gap, config=config)


@pytest.mark.parametrize(
    "config",
    [
        {"tile_grid_size": [2, 3]},
        {"tile_grid_size": [8, 8]},
        {"tile_grid_size": 2, "clip_limit": 0.0},
        {"tile_grid_size": [3, 2], "clip_limit": 1.5, **UNIT},
        {"tile_grid_size": [2, 2], **FIRST},
    ],
)
@pytest.mark.parametrize("size", [(16, 18), (13, 11)])
def test_adaptive_equalization(config, size, monkeypatch):
    """Keras computes in float32. Where its torch differs from its TensorFlow we are with the latter: a limit on counts
    may have a fraction, and images are reflected beyond their border."""
    one_hot = nn.one_hot
    monkeypatch.setattr(nn, "one_hot", lambda x, count: one_hot(x, count, dtype="float32"))
    monkeypatch.setattr(numpy, "pad", lambda x, width, mode: torch.tensor(np.pad(x.numpy(), width, mode)))
    name = "ContrastLimitedAdaptiveHistogramEqualization"
    images = images_for(config, 2, *size).float()
    written = {
        key: (value, value) if key == "tile_grid_size" and value == 2 else value for key, value in config.items()
    }
    expected = keras_layer(name, written).transform_images(images)
    compared = ledger.Comparison(atol=1e-3, rtol=1e-5)
    compared.same(ours(name, config, images), expected)
    ledger.note("layer", harness.parse(name).component_name, ledger.describe(config), compared.gap, config=config)
