"""Layers give Keras's outputs, gradients and updates, in float64."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.common import dtypes

from kerascli.layers.base import LAYERS, MergeLayer, Outcome
from kerascli.shapes import TensorSpec
from tests import layer_harness as harness


@pytest.fixture
def _keras_in_float64(monkeypatch):
    """On torch Keras computes 64-bit types in 32 bits; with TensorFlow it does not, and here it does not either."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")


def keras_layer(name: str, config: dict[str, Any]) -> Any:
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    return getattr(keras.layers, name)(**plain, dtype="float64")


def assert_same(
    name: str, config: dict[str, Any], *shapes: tuple[int, ...], training: bool = True, **given: Any
) -> None:
    """Outputs and gradients, of weights and inputs, equal Keras's in float64."""
    rng = np.random.default_rng(0)
    arrays = given.pop("inputs", None) or [rng.normal(size=shape) for shape in shapes]
    theirs = keras_layer(name, config)
    xs = [torch.tensor(a, requires_grad=a.dtype == np.float64) for a in arrays]
    argument = xs if len(xs) > 1 else xs[0]
    theirs.build([x.shape for x in xs] if len(xs) > 1 else xs[0].shape)
    for weight in theirs.weights:
        weight.assign(
            np.abs(rng.normal(size=weight.shape)) + 0.1 if "variance" in weight.name else rng.normal(size=weight.shape)
        )

    layer = LAYERS.parse({name: config} if config else name)
    kind = {np.dtype("float64"): "float64", np.dtype("int64"): "int64"}
    module = harness.make(layer, *[TensorSpec(a.shape[1:], kind[a.dtype]) for a in arrays])
    harness.materialise(module, dtype=torch.float64).train(training)
    declared = [(spec.name, spec.shape) for _, spec in harness.weights(module)]
    assert declared == [(weight.name, tuple(weight.shape)) for weight in theirs.weights]
    harness.set_weights(module, [weight.value.detach().numpy() for weight in theirs.weights])

    ys = [torch.tensor(a, requires_grad=a.dtype == np.float64) for a in arrays]
    keras_arguments = {k: v for k, v in given.items() if v is not None}
    if theirs._call_has_training_arg:
        keras_arguments["training"] = training
    expected = theirs(argument, **keras_arguments)
    got = module(*ys, **given)
    outcome = got if isinstance(got, Outcome) else Outcome(got)
    expected_list, got_list = ([v] if isinstance(v, torch.Tensor) else list(v) for v in (expected, outcome.value))
    for a, b in zip(expected_list, got_list, strict=True):
        torch.testing.assert_close(b, a, atol=1e-9, rtol=1e-9)
    cotangents = [torch.tensor(rng.normal(size=tuple(a.shape))) for a in expected_list]
    if any(a.requires_grad for a in expected_list):
        torch.autograd.backward(expected_list, cotangents)
        torch.autograd.backward(got_list, cotangents)
    for x, y in zip(xs, ys, strict=True):
        if x.grad is not None:
            torch.testing.assert_close(y.grad, x.grad, atol=1e-9, rtol=1e-9)
    mine = harness.gradients(module)
    for weight in theirs.trainable_weights:
        torch.testing.assert_close(mine[weight.name], weight.value.grad, atol=1e-9, rtol=1e-9)
    for update, value in outcome.updates.items():
        after = next(w for w in theirs.weights if w.name == update)
        torch.testing.assert_close(value, after.value.detach(), atol=1e-9, rtol=1e-9)


def mask_of(*rows: str) -> torch.Tensor:
    """'1101': which steps count."""
    return torch.tensor([[c == "1" for c in row] for row in rows])


@pytest.mark.usefixtures("_keras_in_float64")
class TestParityWithKeras:
    @pytest.mark.parametrize(
        ("config", "shape"),
        [
            ({"units": 4}, (3, 5)),
            ({"units": 4, "activation": "tanh"}, (3, 2, 5)),
            ({"units": 4, "use_bias": False, "activation": "softmax"}, (3, 5)),
        ],
    )
    def test_dense(self, config, shape):
        assert_same("Dense", config, shape)

    @pytest.mark.parametrize("mask_zero", [True, False])
    def test_embedding(self, mask_zero):
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
    def test_layers_without_weights(self, name, config, shape):
        assert_same(name, config, shape)

    def test_softmax_with_a_mask(self):
        assert_same("Softmax", {}, (3, 4), mask=mask_of("1101", "0111", "0000"))

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
    def test_conv_2d(self, config, shape):
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
    def test_conv_1d(self, config, shape):
        assert_same("Conv1D", config, shape)

    POOLINGS = [  # noqa: RUF012
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
    def test_average_pooling_2d(self, config, shape):
        assert_same("AveragePooling2D", config, shape)

    @pytest.mark.parametrize(
        ("config", "shape"), [*POOLINGS, ({"pool_size": [2, 3], "strides": [1, 2], "padding": "same"}, (2, 7, 8, 3))]
    )
    def test_max_pooling_2d(self, config, shape):
        assert_same("MaxPooling2D", config, shape)

    @pytest.mark.parametrize("name", ["GlobalAveragePooling2D", "GlobalMaxPooling2D"])
    @pytest.mark.parametrize("keepdims", [True, False])
    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_global_pooling_2d(self, name, keepdims, data_format):
        assert_same(name, {"keepdims": keepdims, "data_format": data_format}, (2, 3, 4, 5))

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
    def test_layer_normalization(self, config, shape):
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
    def test_batch_normalization(self, config, shape, training):
        assert_same("BatchNormalization", config, shape, training=training)

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("config", [{}, {"scale": False}])
    def test_batch_normalization_with_a_mask(self, config, training):
        mask = mask_of("1110", "0111", "0000")
        assert_same("BatchNormalization", config, (3, 4, 5), training=training, mask=mask)

    LSTMS = [  # noqa: RUF012
        {},
        {"return_sequences": True},
        {"return_state": True},
        {"return_sequences": True, "return_state": True},
        {"go_backwards": True, "return_sequences": True, "return_state": True},
        {"use_bias": False, "return_sequences": True},
        {"activation": "relu", "return_sequences": True},
        {"recurrent_activation": "hard_sigmoid", "return_state": True},
        {"activation": None, "recurrent_activation": None},
        {"use_cudnn": False, "return_sequences": True, "return_state": True},
        {"unroll": True},
    ]

    @pytest.mark.parametrize("config", LSTMS)
    def test_lstm(self, config):
        assert_same("LSTM", {"units": 3, **config}, (4, 5, 2), training=False)

    @pytest.mark.parametrize("config", LSTMS[:-1])
    def test_lstm_with_masks_at_the_end_in_front_and_between(self, config):
        mask = mask_of("11100", "00111", "01011", "00000", "11111")
        assert_same("LSTM", {"units": 3, **config}, (5, 5, 2), training=False, mask=mask)

    @pytest.mark.parametrize("config", [{}, {"activation": "relu"}])
    @pytest.mark.parametrize("masked", [True, False])
    def test_lstm_from_a_given_state(self, config, masked):
        state = [torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
        mask = mask_of("11100", "00111", "00000") if masked else None
        config = {"units": 4, "return_sequences": True, "return_state": True, **config}
        assert_same("LSTM", config, (3, 5, 2), training=False, initial_state=state, mask=mask)

    @pytest.mark.parametrize("name", ["Add", "Multiply", "Average", "Maximum", "Minimum"])
    @pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((2, 4, 3), (2, 3), (2, 1, 3))])
    def test_merges_value_by_value(self, name, shapes):
        assert_same(name, {}, *shapes)

    def test_subtract(self):
        assert_same("Subtract", {}, (2, 4, 3), (2, 3))

    @pytest.mark.parametrize("normalize", [False, True])
    @pytest.mark.parametrize(
        ("axes", "shapes"),
        [
            (1, ((2, 3), (2, 3))),
            (-1, ((2, 4, 3), (2, 3))),
            ([1, 2], ((2, 3, 4), (2, 5, 3))),
            ([2, 1], ((2, 3, 4), (2, 4))),
            ([1, 3], ((2, 4), (2, 3, 5, 4))),
            ([3, 1], ((2, 3, 5, 4), (2, 4, 6))),
        ],
    )
    def test_dot(self, axes, normalize, shapes):
        assert_same("Dot", {"axes": axes, "normalize": normalize}, *shapes)

    @pytest.mark.parametrize(
        ("config", "shapes"), [({}, ((2, 3), (2, 4))), ({"axis": 1}, ((2, 3, 4), (2, 1, 4), (2, 2, 4)))]
    )
    def test_concatenate(self, config, shapes):
        assert_same("Concatenate", config, *shapes)

    @pytest.mark.parametrize(
        ("name", "config", "shapes"),
        [
            ("Add", {}, ((2, 3, 4), (2, 3, 4))),
            ("Concatenate", {}, ((2, 3, 4), (2, 3, 4))),
            ("Concatenate", {"axis": 1}, ((2, 3, 4), (2, 3, 4))),
        ],
    )
    @pytest.mark.parametrize("rows", [(["110", "011"], ["100", "001"]), (["110", "011"], None), (None, None)])
    def test_masks_of_merged_inputs(self, name, config, shapes, rows):
        xs = [torch.zeros(shape) for shape in shapes]
        masks = [None if row is None else mask_of(*row) for row in rows]
        layer = LAYERS.parse({name: config} if config else name)
        assert isinstance(layer, MergeLayer)
        expected = keras_layer(name, config).compute_mask(xs, masks)
        got = layer.merge_masks(masks, xs)
        if expected is None or got is None:
            assert got is expected
        else:
            assert got.tolist() == expected.tolist()

    def test_masking_makes_the_mask_of_keras(self):
        x = torch.tensor([[[1.0, 0.5], [0.5, 0.5], [0.0, 0.0]]])
        module = harness.make(harness.parse("masking", {"mask_value": 0.5}), TensorSpec((3, 2)))
        expected: Any = keras.layers.Masking(mask_value=0.5).compute_mask(x)
        assert torch.equal(module.make_mask(x), expected)  # pyright: ignore[reportCallIssue]
