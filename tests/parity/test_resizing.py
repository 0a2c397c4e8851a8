"""Resizing and cropping: images equal Keras's."""

from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from kerascli.preprocessing.images.sizes import Resizing
from tests.parity import ledger
from tests.parity.images import FIRST, ours
from tests.parity.layers import assert_same, keras_layer
from tests.support import layer_harness as harness

RESIZINGS = [
    {"height": 5, "width": 4},
    {"height": 15, "width": 14, "interpolation": "nearest"},
    {"height": 5, "width": 14, "interpolation": "bicubic"},
    {"height": 4, "width": 4, "antialias": True},
    {"height": 4, "width": 4, "interpolation": "bicubic", "antialias": True},
    {"height": 4, "width": 4, "interpolation": "nearest", "antialias": True},
    {"height": 8, "width": 3, "crop_to_aspect_ratio": True},
    {"height": 3, "width": 8, "crop_to_aspect_ratio": True, "interpolation": "nearest"},
    {"height": 8, "width": 3, "pad_to_aspect_ratio": True, "fill_value": 4.0},
    {"height": 3, "width": 8, "pad_to_aspect_ratio": True, "antialias": True},
    {"height": 5, "width": 4, **FIRST},
]


@pytest.mark.parametrize("config", RESIZINGS)
def test_resizing(config):
    shape = (2, 3, 7, 9) if "data_format" in config else (2, 7, 9, 3)
    assert_same("Resizing", config, shape)


@pytest.mark.parametrize("config", RESIZINGS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_resizing_keeps_whole_numbers(config, dtype):
    """Integers equal Keras's but at exact ties, which the order of a sum decides, and that order is the processor's."""
    shape = (2, 3, 7, 9) if "data_format" in config else (2, 7, 9, 3)
    x = torch.tensor(np.random.default_rng(0).integers(0, 256, shape)).to(dtype)
    expected: Any = keras_layer("Resizing", config)(x)
    got = ours("Resizing", config, x)
    assert got.dtype == expected.dtype == dtype
    exact = ours("Resizing", config, x.double())
    is_decided = ((exact - exact.floor()) - 0.5).abs() > 1e-3
    assert torch.equal(got[is_decided], expected[is_decided])
    assert is_decided.double().mean() > 0.9


@pytest.mark.parametrize("interpolation", ["lanczos3", "lanczos5"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(5, 4), (12, 17), (7, 9)])
def test_resizing_by_lanczos_is_keras_scale_and_translate(interpolation, antialias, size):
    """Keras's resizing has no lanczos on torch; its scale_and_translate has."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 7, 9, 3)))
    scale = torch.tensor([size[0] / 7, size[1] / 9], dtype=torch.float64)
    expected = keras.ops.image.scale_and_translate(
        x, (2, *size, 3), scale, torch.zeros(2, dtype=torch.float64), (1, 2), interpolation, antialias=antialias
    )
    config = {"height": size[0], "width": size[1], "interpolation": interpolation, "antialias": antialias}
    torch.testing.assert_close(ours("Resizing", config, x), expected, atol=1e-9, rtol=1e-9)


def test_resizing_cannot_crop_and_pad():
    with pytest.raises(ValueError, match="exclude each other"):
        Resizing(height=2, width=2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"height": 4, "width": 5}, (2, 7, 9, 3)),
        ({"height": 7, "width": 9}, (2, 7, 9, 3)),
        ({"height": 3, "width": 4, **FIRST}, (2, 3, 8, 9)),
        ({"height": 8, "width": 5}, (2, 7, 9, 3)),
        ({"height": 12, "width": 20}, (2, 7, 9, 3)),
        ({"height": 4, "width": 20, **FIRST}, (2, 3, 7, 9)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_center_crop(config, shape, training):
    assert_same("CenterCrop", config, shape, training=training)


@pytest.mark.parametrize("config", [{"height": 4, "width": 5}, {"height": 8, "width": 20}, {"height": 4, "width": 12}])
def test_random_crop_rests_as_keras_documents_it(config):
    """At inference, and of what is too small, the largest window of the right aspect ratio, resized."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 7, 9, 3)))
    size = (config["height"], config["width"])
    expected = keras.preprocessing.image.smart_resize(x, size)
    module = harness.make(harness.parse("random_crop", config), TensorSpec((7, 9, 3)))
    for training in (False, True):
        if training and size < (7, 9) and size[1] < 9:
            continue
        torch.testing.assert_close(harness.call(module.train(training), x), expected, atol=1e-9, rtol=1e-9)
    ledger.note("layer", "random_crop", ledger.describe(config), config=config)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_random_crop_cuts_each_image_elsewhere(data_format):
    """Every crop is a window of its own image; all windows come up."""
    config = {"height": 4, "width": 5, "data_format": data_format}
    x = torch.arange(6 * 7 * 3, dtype=torch.float64).view(1, 6, 7, 3).expand(400, -1, -1, -1)
    windows = [x[0, i : i + 4, j : j + 5].tolist() for i in range(3) for j in range(3)]
    images = x if data_format == "channels_last" else x.movedim(-1, 1)
    got = ours("RandomCrop", config, images)
    got = got if data_format == "channels_last" else got.movedim(1, -1)
    found = [windows.index(crop.tolist()) for crop in got]
    assert np.bincount(found, minlength=9).min() > 400 / 9 - 5 * (400 / 9) ** 0.5
