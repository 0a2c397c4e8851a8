"""Convolutions: outputs and gradients equal Keras's, for all strides, paddings, dilations and groups."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from itertools import product
from typing import Any

import keras
import pytest
import torch
from site_pages.layer_examples import examples_of

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import LAYERS, Layer, ShapeMismatch
from tests.parity.layers import assert_same, keras_layer
from tests.support import layer_harness as harness

FAMILY = [cls for cls in LAYERS if cls.__module__.startswith("kerascli.layers.convolutional.")]


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"filters": 4, "kernel_size": 3}, (2, 7, 6, 3)),
        ({"filters": 4, "kernel_size": [2, 3], "padding": "same"}, (2, 7, 6, 3)),
        ({"filters": 4, "kernel_size": 4, "padding": "same", "activation": "relu"}, (2, 7, 6, 3)),
        ({"filters": 4, "kernel_size": 3, "padding": "same", "strides": 2}, (2, 8, 8, 3)),
        ({"filters": 4, "kernel_size": [4, 5], "padding": "same", "strides": [3, 2]}, (2, 7, 9, 3)),
        ({"filters": 4, "kernel_size": 2, "padding": "same", "strides": 3}, (2, 7, 9, 3)),
        ({"filters": 4, "kernel_size": 3, "strides": [2, 1], "use_bias": False}, (2, 7, 6, 3)),
        ({"filters": 4, "kernel_size": 3, "dilation_rate": 2}, (2, 7, 6, 3)),
        ({"filters": 4, "kernel_size": 2, "dilation_rate": [3, 1], "padding": "same"}, (2, 7, 6, 3)),
        ({"filters": 6, "kernel_size": 3, "groups": 2}, (2, 7, 6, 4)),
        ({"filters": 4, "kernel_size": 3, "data_format": "channels_first"}, (2, 3, 7, 6)),
        ({"filters": 4, "kernel_size": 1}, (1, 7, 6, 3)),
    ],
)
def test_conv_2d(config, shape):
    assert_same("Conv2D", config, shape)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"filters": 4, "kernel_size": 3}, (2, 7, 3)),
        ({"filters": 4, "kernel_size": 4, "padding": "same", "strides": 2}, (2, 7, 3)),
        ({"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}, (2, 7, 3)),
        ({"filters": 4, "kernel_size": 3, "padding": "causal", "strides": 2}, (2, 7, 3)),
        ({"filters": 4, "kernel_size": 2, "data_format": "channels_first", "groups": 2}, (2, 4, 7)),
        ({"filters": 4, "kernel_size": 3, "padding": "causal", "data_format": "channels_first"}, (2, 3, 7)),
        ({"filters": 4, "kernel_size": 3, "activation": "tanh", "use_bias": False}, (2, 7, 3)),
    ],
)
def test_conv_1d(config, shape):
    assert_same("Conv1D", config, shape)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"filters": 3, "kernel_size": 2}, (2, 3, 4, 5, 2)),
        ({"filters": 3, "kernel_size": 3, "padding": "same", "activation": "tanh"}, (2, 3, 4, 5, 2)),
        ({"filters": 3, "kernel_size": [2, 3, 4], "padding": "same", "strides": [1, 2, 3]}, (2, 3, 4, 5, 2)),
        ({"filters": 4, "kernel_size": 2, "groups": 2, "use_bias": False}, (2, 3, 4, 5, 2)),
        ({"filters": 3, "kernel_size": 2, "dilation_rate": [1, 2, 3]}, (2, 3, 4, 5, 2)),
        ({"filters": 3, "kernel_size": 2, "strides": 2, "data_format": "channels_first"}, (2, 2, 3, 4, 5)),
    ],
)
def test_conv_3d(config, shape):
    assert_same("Conv3D", config, shape)


# Every relation of kernel, stride and added places: the kernel wider, as wide and narrower than the stride.
LARGER = [
    {"kernel_size": k, "strides": s, "padding": padding, "output_padding": extra}
    for k, s, padding in product((1, 2, 3, 5), (1, 2, 4), ("valid", "same"))
    for extra in (None, 0, s - 1)
]


@pytest.mark.parametrize("config", LARGER, ids=str)
def test_conv_1d_transpose(config):
    assert_same("Conv1DTranspose", {"filters": 3, **config}, (2, 4, 2))


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"dilation_rate": 2}, (2, 5, 3)),
        ({"dilation_rate": 2, "padding": "same"}, (2, 5, 3)),
        ({"dilation_rate": 3, "padding": "same", "kernel_size": 2}, (2, 5, 3)),
        ({"strides": 2, "use_bias": False, "activation": "relu"}, (2, 5, 3)),
        ({"strides": 2, "padding": "same", "data_format": "channels_first"}, (2, 3, 5)),
    ],
)
def test_conv_1d_transpose_with_other_arguments(config, shape):
    assert_same("Conv1DTranspose", {"filters": 4, "kernel_size": 3, **config}, shape)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"filters": 4, "kernel_size": 3}, (2, 3, 4, 2)),
        ({"filters": 4, "kernel_size": 5, "strides": 2, "padding": "same"}, (2, 3, 4, 2)),
        ({"filters": 4, "kernel_size": [4, 3], "strides": [2, 3], "padding": "same"}, (2, 3, 4, 2)),
        ({"filters": 4, "kernel_size": 3, "strides": [3, 2], "output_padding": [2, 0]}, (2, 3, 4, 2)),
        ({"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}, (2, 3, 4, 2)),  # a padded kernel
        ({"filters": 80, "kernel_size": 3, "strides": 2, "padding": "same"}, (2, 3, 4, 60)),  # a cropped output
        ({"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1}, (2, 3, 4, 2)),
        ({"filters": 4, "kernel_size": [2, 3], "dilation_rate": [3, 2], "padding": "same"}, (2, 3, 4, 2)),
        ({"filters": 4, "kernel_size": 2, "strides": 3, "use_bias": False, "activation": "elu"}, (2, 3, 4, 2)),
        ({"filters": 4, "kernel_size": 3, "strides": 2, "data_format": "channels_first"}, (2, 2, 3, 4)),
    ],
)
def test_conv_2d_transpose(config, shape):
    assert_same("Conv2DTranspose", config, shape)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"filters": 3, "kernel_size": 2}, (2, 2, 3, 4, 2)),
        ({"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, (2, 2, 3, 4, 2)),
        ({"filters": 3, "kernel_size": [3, 2, 4], "strides": [2, 3, 1], "padding": "same"}, (2, 2, 3, 4, 2)),
        ({"filters": 3, "kernel_size": 2, "strides": 3, "output_padding": [0, 1, 2]}, (2, 2, 3, 4, 2)),
        ({"filters": 3, "kernel_size": 2, "dilation_rate": [1, 2, 3], "use_bias": False}, (2, 2, 3, 4, 2)),
        ({"filters": 3, "kernel_size": 3, "strides": 2, "data_format": "channels_first"}, (2, 2, 2, 3, 4)),
        ({"filters": 3, "kernel_size": 2, "activation": "tanh"}, (2, 2, 3, 4, 2)),
    ],
)
def test_conv_3d_transpose(config, shape):
    assert_same("Conv3DTranspose", config, shape)


SEQUENCES: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({"kernel_size": 3}, (2, 7, 3)),
    ({"kernel_size": 4, "padding": "same", "strides": 2}, (2, 7, 3)),
    ({"kernel_size": 2, "dilation_rate": 3, "activation": "relu", "use_bias": False}, (2, 7, 3)),
    ({"kernel_size": 3, "depth_multiplier": 2, "padding": "same"}, (2, 7, 3)),
    ({"kernel_size": 3, "depth_multiplier": 3, "data_format": "channels_first"}, (2, 3, 7)),
    ({"kernel_size": 2, "dilation_rate": 2, "strides": 2, "padding": "same"}, (2, 7, 3)),
]
IMAGES: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({"kernel_size": 3}, (2, 7, 6, 3)),
    ({"kernel_size": [4, 3], "padding": "same", "strides": 2}, (2, 7, 6, 3)),
    ({"kernel_size": 2, "dilation_rate": [3, 1], "activation": "relu", "use_bias": False}, (2, 7, 6, 3)),
    ({"kernel_size": 3, "depth_multiplier": 2, "padding": "same"}, (2, 7, 6, 3)),
    ({"kernel_size": [2, 3], "strides": [2, 3], "depth_multiplier": 2}, (2, 7, 6, 3)),
    ({"kernel_size": 3, "depth_multiplier": 3, "data_format": "channels_first"}, (2, 3, 7, 6)),
]


@pytest.mark.parametrize(("config", "shape"), SEQUENCES)
def test_depthwise_conv_1d(config, shape):
    assert_same("DepthwiseConv1D", config, shape)


@pytest.mark.parametrize(("config", "shape"), IMAGES)
def test_depthwise_conv_2d(config, shape):
    assert_same("DepthwiseConv2D", config, shape)


@pytest.mark.parametrize(("config", "shape"), SEQUENCES)
def test_separable_conv_1d(config, shape):
    assert_same("SeparableConv1D", {"filters": 5, **config}, shape)


@pytest.mark.parametrize(("config", "shape"), IMAGES)
def test_separable_conv_2d(config, shape):
    assert_same("SeparableConv2D", {"filters": 5, **config}, shape)


@pytest.mark.parametrize("name", ["DepthwiseConv1D", "SeparableConv1D"])
@pytest.mark.parametrize("more", [{"strides": 2}, {"dilation_rate": 2}])
def test_causal_padding_is_padding_in_front(name, more):
    """Causal padding exists in Keras 2 for separable_conv_1d, in Keras 3 only for conv_1d."""
    config = {"kernel_size": 3, **more, **({"filters": 4} if name == "SeparableConv1D" else {})}
    front = 2 * more.get("dilation_rate", 1)
    theirs = keras.Sequential(
        [
            keras_layer("ZeroPadding1D", {"padding": [front, 0]}),
            keras_layer(name, config),
        ]
    )
    assert_same(name, {**config, "padding": "causal"}, (2, 7, 3), theirs=theirs)


@pytest.mark.parametrize("cls", FAMILY, ids=lambda cls: cls.component_name)
def test_the_kernels_for_float32_agree_with_those_for_float64(cls):
    """On a CPU, float32 uses other kernels: oneDNN's."""
    for example in examples_of(cls):
        layer = harness.parse(cls.component_name, example.config)
        module = harness.materialise(harness.make(layer, *harness.specs_of(example)))
        (x,) = harness.inputs_of(example, 3)
        got = module(x)
        torch.testing.assert_close(got, module.double()(x.double()).float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("conv_1d", {"filters": 8, "kernel_size": 3, "padding": "same"}),
        ("conv_2d", {"filters": 8, "kernel_size": 3, "padding": "same"}),
        ("conv_2d_transpose", {"filters": 8, "kernel_size": 4, "strides": 2, "padding": "same"}),
        ("depthwise_conv_2d", {"kernel_size": 3, "strides": 2}),
        ("separable_conv_1d", {"filters": 8, "kernel_size": 3}),
    ],
)
def test_images_and_sequences_stay_in_channels_last_format(name, config):
    shape = (9, 4) if name.endswith("1d") else (9, 8, 4)
    module = harness.materialise(harness.make(harness.parse(name, config), TensorSpec(shape)))
    assert module(torch.randn(2, *shape)).is_contiguous()


@pytest.mark.parametrize(
    ("name", "config", "shape", "text"),
    [
        (
            "conv_2d_transpose",
            {"filters": 2, "kernel_size": 2, "strides": 2, "padding": "same", "output_padding": 0},
            (1, 4, 3),
            "leaves nothing of (None, 1, 4, 3)",
        ),
        (
            "conv_1d_transpose",
            {"filters": 2, "kernel_size": 2},
            (4,),
            "needs sequences (steps, channels), got (None, 4)",
        ),
        ("conv_3d", {"filters": 2, "kernel_size": 2}, (4, 4, 4, None), "needs a known number of channels, got "),
        (
            "locally_connected_1d",
            {"filters": 2, "kernel_size": 2},
            (None, 4),
            "needs known sizes, since it has weights",
        ),
        ("separable_conv_1d", {"filters": 2, "kernel_size": 5}, (4, 3), "input is 4, a 5 window with padding valid"),
    ],
)
def test_what_does_not_fit_is_reported(name, config, shape, text):
    layer = harness.parse(name, config)
    assert isinstance(layer, Layer)
    with pytest.raises(ShapeMismatch) as caught:
        harness.make(layer, TensorSpec(shape))
    assert caught.value.fault.text.startswith(text)
