"""Convolutions give Keras's outputs and gradients, whatever the strides, paddings, dilations and groups."""

import pytest

from tests.parity.layers import assert_same


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
    ],
)
def test_conv_1d(config, shape):
    assert_same("Conv1D", config, shape)
