"""Dense, embedding, activation and reshaping layers: outputs and gradients equal Keras's."""

from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from tests.parity.layers import assert_same, mask_of
from tests.support import layer_harness as harness


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
        ("LeakyReLU", {"negative_slope": 0.1}, (2, 3, 10)),
        ("ELU", {}, (2, 30)),
        ("ELU", {"alpha": 0.4}, (2, 30)),
        ("ELU", {"alpha": 2.0}, (2, 3, 10)),
        ("ELU", {"alpha": 0.0}, (2, 30)),
        ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (2, 3)),
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


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({}, (3, 5)),
        ({"shared_axes": [1, 2]}, (2, 4, 5, 3)),
        ({"shared_axes": 1, "alpha_initializer": "ones"}, (2, 4, 3)),
        ({"shared_axes": [2]}, (2, 4, 3)),
        ({"shared_axes": [-1]}, (2, 4, 5, 3)),
        ({"shared_axes": [1, -1]}, (2, 4, 5, 3)),
    ],
)
def test_prelu(config, shape):
    assert_same("PReLU", config, shape)


@pytest.mark.parametrize(("theta", "shape"), [(1.0, (2, 30)), (0.0, (2, 30)), (0.3, (2, 3, 10)), (2.0, (40,))])
def test_thresholded_relu_is_the_relu_of_keras_with_a_threshold(theta, shape):
    theirs = keras.layers.ReLU(threshold=theta, dtype="float64")
    assert_same("ThresholdedReLU", {"theta": theta}, shape, theirs=theirs)


@pytest.mark.parametrize("shape", [(2, 30), (2, 3, 10), (5,), (1, 1)])
def test_selu_is_the_activation_of_keras(shape):
    assert_same("SELU", {}, shape, theirs=keras.layers.Activation("selu", dtype="float64"))


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"equation": "ab,bc->ac", "output_shape": 4, "bias_axes": "c"}, (3, 5)),
        ({"equation": "abc,cd->abd", "output_shape": [None, 4], "bias_axes": "d", "activation": "relu"}, (3, 2, 5)),
        ({"equation": "abc,cde->abde", "output_shape": [2, 4, 6], "bias_axes": "de"}, (3, 2, 5)),
        ({"equation": "abc,cde->abed", "output_shape": [None, 4, 6], "bias_axes": "d"}, (3, 2, 5)),
        ({"equation": "abc,bcd->ad", "output_shape": 4}, (3, 2, 5)),
        ({"equation": "abc,bd->acd", "output_shape": [5, 4], "bias_axes": "cd"}, (3, 2, 5)),
        ({"equation": "abc,bd->adc", "output_shape": [4, None], "bias_axes": "d"}, (3, 2, 5)),
        ({"equation": "ab,b->ab", "output_shape": 5, "bias_axes": "b"}, (3, 5)),
        ({"equation": "...x,xy->...y", "output_shape": 4, "bias_axes": "y"}, (3, 5)),
        ({"equation": "...x,xy->...y", "output_shape": 4, "bias_axes": "y"}, (3, 2, 6, 5)),
        ({"equation": "...ab,bcd->...acd", "output_shape": [6, 4, 2], "bias_axes": "ac"}, (3, 2, 6, 5)),
        ({"equation": "ab...,bc->ac...", "output_shape": 4, "bias_axes": "c"}, (3, 5, 2, 6)),
        ({"equation": "ab...,bcd->adc...", "output_shape": [4, 2], "bias_axes": "dc"}, (3, 5, 2)),
    ],
)
def test_einsum_dense(config, shape):
    assert_same("EinsumDense", config, shape)


def test_kernels_with_several_axes_start_in_the_range_of_keras():
    """Keras counts the fans of these kernels by what their axes are, not by where they stand."""
    for equation, output, shape, fans in (
        ("abc,cde->abde", [None, 40, 50], (2, 30), (30, 2000)),
        ("abcd,cde->abe", [None, 50], (2, 30, 40), (1200, 50)),
    ):
        config = {"equation": equation, "output_shape": output}
        module = harness.materialise(harness.make(harness.parse("einsum_dense", config), TensorSpec(shape)))
        limit = (6 / sum(fans)) ** 0.5
        theirs: Any = keras.layers.EinsumDense(equation, output)
        theirs.build((None, *shape))
        for kernel in (module.get_parameter("kernel"), theirs.kernel.value):
            assert 0.99 * limit < kernel.abs().max().item() <= limit
    heads = {"num_heads": 40, "key_dim": 50}
    module = harness.make(harness.parse("multi_head_attention", heads), TensorSpec((2, 30)), TensorSpec((2, 30)))
    kernel = harness.materialise(module).get_parameter("query.kernel")
    limit = (6 / 2030) ** 0.5
    assert 0.99 * limit < kernel.abs().max().item() <= limit


def test_an_embedding_can_start_from_given_vectors():
    vectors = [[0.5, -1.0], [2.0, 0.25], [1.0, 3.0]]
    config = {"input_dim": 3, "output_dim": 2, "weights": vectors}
    module = harness.materialise(harness.make(harness.parse("embedding", config), TensorSpec((2,), "int64")))
    theirs = keras.layers.Embedding(3, 2, weights=np.array(vectors))
    theirs.build()
    ids = torch.tensor([[0, 2], [1, 1]])
    assert torch.equal(module(ids), theirs(ids))


@pytest.mark.parametrize("tie_weights", [True, False])
@pytest.mark.parametrize("config", [{}, {"logit_soft_cap": 0.5}, {"mask_zero": True, "reverse_dtype": "float64"}])
def test_reversible_embedding(config, tie_weights):
    config = {"input_dim": 7, "output_dim": 3, "tie_weights": tie_weights, **config}
    assert_same("ReversibleEmbedding", config, inputs=[np.array([[1, 2, 0], [6, 2, 2]])])
    assert_same("ReversibleEmbedding", config, (2, 4, 3), reverse=True)


def test_softmax_with_a_mask():
    assert_same("Softmax", {}, (3, 4), mask=mask_of("1101", "0111", "0000"))


def test_masking_makes_the_mask_of_keras():
    x = torch.tensor([[[1.0, 0.5], [0.5, 0.5], [0.0, 0.0]]])
    module = harness.make(harness.parse("masking", {"mask_value": 0.5}), TensorSpec((3, 2)))
    expected: Any = keras.layers.Masking(mask_value=0.5).compute_mask(x)
    assert torch.equal(module.make_mask(x), expected)  # pyright: ignore[reportCallIssue]
