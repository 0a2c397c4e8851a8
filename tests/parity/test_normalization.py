"""Normalizations give Keras's outputs, gradients and moving averages, with masks, too."""

import pytest

from tests.parity.layers import assert_same, mask_of


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({}, (3, 5)),
        ({"epsilon": 0.1}, (3, 4, 5)),
        ({"axis": [1, 3], "scale": False}, (3, 4, 5, 6)),
        ({"axis": [2, 1]}, (3, 4, 5)),
        ({"center": False}, (3, 4, 5)),
    ],
)
def test_layer_normalization(config, shape):
    assert_same("LayerNormalization", config, shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({}, (6, 4)),
        ({}, (3, 5, 4)),
        ({}, (3, 5, 6, 4)),
        ({}, (1, 3)),
        ({"axis": 1}, (3, 4, 5, 6)),
        ({"axis": 2}, (3, 4, 5)),
        ({"momentum": 0.5, "epsilon": 0.1}, (6, 4)),
        ({"center": False}, (6, 4)),
        ({"scale": False}, (6, 5, 4)),
        ({"center": False, "scale": False}, (1, 4)),
        ({"trainable": False}, (6, 4)),
    ],
)
def test_batch_normalization(config, shape, training):
    assert_same("BatchNormalization", config, shape, training=training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("config", [{}, {"scale": False}])
def test_batch_normalization_with_a_mask(config, training):
    mask = mask_of("1110", "0111", "0000")
    assert_same("BatchNormalization", config, (3, 4, 5), training=training, mask=mask)
