"""Poolings give Keras's outputs and gradients."""

import pytest

from tests.parity.layers import assert_same

POOLINGS = [
    ({"pool_size": 2}, (2, 6, 8, 3)),
    ({"pool_size": 2}, (2, 7, 9, 3)),
    ({"pool_size": [3, 2]}, (2, 7, 9, 3)),
    ({"pool_size": 3, "strides": 1}, (2, 7, 9, 3)),
    ({"pool_size": 3, "strides": 1, "padding": "same"}, (2, 7, 9, 3)),
    ({"pool_size": 3, "strides": 2, "padding": "same"}, (2, 7, 9, 3)),
    ({"pool_size": 2, "strides": 3, "padding": "same"}, (2, 6, 9, 3)),
    ({"pool_size": 2, "data_format": "channels_first"}, (2, 3, 6, 8)),
]


@pytest.mark.parametrize(("config", "shape"), POOLINGS)
def test_average_pooling_2d(config, shape):
    assert_same("AveragePooling2D", config, shape)


@pytest.mark.parametrize(
    ("config", "shape"), [*POOLINGS, ({"pool_size": [2, 3], "strides": [1, 2], "padding": "same"}, (2, 7, 8, 3))]
)
def test_max_pooling_2d(config, shape):
    assert_same("MaxPooling2D", config, shape)


@pytest.mark.parametrize("name", ["GlobalAveragePooling2D", "GlobalMaxPooling2D"])
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_global_pooling_2d(name, keepdims, data_format):
    assert_same(name, {"keepdims": keepdims, "data_format": data_format}, (2, 3, 4, 5))
