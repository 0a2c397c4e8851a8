"""Dense, embedding, activations and layers that only move numbers give Keras's outputs and gradients."""

from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.shapes import TensorSpec
from tests import layer_harness as harness
from tests.parity.layers import assert_same, mask_of


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"units": 4}, (3, 5)),
        ({"units": 4, "activation": "tanh"}, (3, 2, 5)),
        ({"units": 4, "use_bias": False, "activation": "softmax"}, (3, 5)),
    ],
)
def test_dense(config, shape):
    assert_same("Dense", config, shape)


@pytest.mark.parametrize("mask_zero", [True, False])
def test_embedding(mask_zero):
    ids = np.array([[1, 2, 0], [6, 2, 2]])
    assert_same("Embedding", {"input_dim": 7, "output_dim": 3, "mask_zero": mask_zero}, inputs=[ids])


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("Flatten", {}, (2, 3, 4)),
        ("Flatten", {"data_format": "channels_first"}, (2, 3, 4, 5)),
        ("Flatten", {}, (2,)),
        ("Reshape", {"target_shape": [4, 3]}, (2, 12)),
        ("Reshape", {"target_shape": [-1, 2]}, (2, 4, 3)),
        ("Activation", {"activation": "gelu"}, (2, 3)),
        ("ReLU", {}, (2, 30)),
        ("ReLU", {"max_value": 1.0}, (2, 30)),
        ("ReLU", {"max_value": 6.0}, (2, 30)),
        ("ReLU", {"negative_slope": 0.3}, (2, 30)),
        ("ReLU", {"threshold": 0.4}, (2, 30)),
        ("ReLU", {"max_value": 1.0, "negative_slope": 0.3, "threshold": 0.4}, (2, 30)),
        ("LeakyReLU", {}, (2, 30)),
        ("Identity", {}, (2, 3)),
        ("Masking", {"mask_value": 0.5}, (2, 3, 4)),
        ("Permute", {"dims": [3, 1, 2]}, (2, 3, 4, 5)),
        ("RepeatVector", {"n": 3}, (2, 4)),
        ("Softmax", {}, (2, 3, 4)),
        ("Softmax", {"axis": 1}, (2, 3, 4)),
        ("Softmax", {"axis": [1, 2]}, (2, 3, 4)),
    ],
)
def test_layers_without_weights(name, config, shape):
    assert_same(name, config, shape)


def test_softmax_with_a_mask():
    assert_same("Softmax", {}, (3, 4), mask=mask_of("1101", "0111", "0000"))


def test_masking_makes_the_mask_of_keras():
    x = torch.tensor([[[1.0, 0.5], [0.5, 0.5], [0.0, 0.0]]])
    module = harness.make(harness.parse("masking", {"mask_value": 0.5}), TensorSpec((3, 2)))
    expected: Any = keras.layers.Masking(mask_value=0.5).compute_mask(x)
    assert torch.equal(module.make_mask(x), expected)  # pyright: ignore[reportCallIssue]
