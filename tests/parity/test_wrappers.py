"""Wrapper layers: outputs, gradients and updates equal Keras's."""

import numpy as np
import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from tests.parity import ledger
from tests.parity.layers import assert_same, keras_layer, mask_of
from tests.support import layer_harness as harness

MASK = mask_of("11100", "00111", "01011", "00000", "11111")
KERAS = {
    "dense": "Dense", "lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN", "conv_lstm_1d": "ConvLSTM1D",
    "conv_1d": "Conv1D", "conv_2d": "Conv2D", "batch_normalization": "BatchNormalization", "embedding": "Embedding",
    "time_distributed": "TimeDistributed", "bidirectional": "Bidirectional",
}  # fmt: skip


def theirs_of(written):
    """Return Keras's layer for a written layer."""
    if isinstance(written, str):
        return keras_layer(KERAS[written], {})
    ((name, config),) = written.items()
    return keras_layer(KERAS[name], {k: theirs_of(v) if k.endswith("layer") else v for k, v in config.items()})


def assert_wrapped(name, config, *shapes, **given):
    theirs = keras_layer(name, {k: theirs_of(v) if k.endswith("layer") else v for k, v in config.items()})
    assert_same(name, config, *shapes, theirs=theirs, **given)


DISTRIBUTED = [
    ({"dense": {"units": 3, "activation": "tanh"}}, (4, 5, 2)),
    ({"conv_2d": {"filters": 3, "kernel_size": 2, "strides": 2}}, (2, 3, 6, 5, 2)),
    ({"lstm": {"units": 3}}, (2, 3, 4, 2)),
    ({"gru": {"units": 3, "return_sequences": True, "activation": "relu"}}, (2, 3, 4, 2)),
    ({"batch_normalization": {"momentum": 0.8}}, (4, 5, 3)),
    ({"time_distributed": {"layer": "batch_normalization"}}, (4, 3, 2, 3)),
    ({"bidirectional": {"layer": {"gru": {"units": 2}}}}, (2, 3, 4, 2)),
]


@pytest.mark.parametrize(("layer", "shape"), DISTRIBUTED)
@pytest.mark.parametrize("training", [True, False])
def test_time_distributed(layer, shape, training):
    assert_wrapped("TimeDistributed", {"layer": layer}, shape, training=training)


def test_time_distributed_batch_normalization_with_a_mask():
    assert_wrapped("TimeDistributed", {"layer": "batch_normalization"}, (5, 5, 3), mask=MASK)


def test_time_distributed_takes_whole_numbers():
    layer = {"embedding": {"input_dim": 7, "output_dim": 3}}
    ids = np.random.default_rng(0).integers(0, 7, (4, 5, 2))
    assert_wrapped("TimeDistributed", {"layer": layer}, training=False, inputs=[ids])


def test_time_distributed_hands_masks_of_inner_steps_on():
    mask = MASK.unsqueeze(1).expand(5, 3, 5)
    assert_wrapped("TimeDistributed", {"layer": {"lstm": {"units": 2}}}, (5, 3, 5, 2), training=False, mask=mask)


BOTH_WAYS = [
    ({"lstm": {"units": 3}}, {}),
    ({"gru": {"units": 3, "return_sequences": True}}, {"merge_mode": "sum"}),
    ({"simple_rnn": {"units": 3, "return_state": True}}, {"merge_mode": "mul"}),
    ({"lstm": {"units": 3, "return_sequences": True, "return_state": True}}, {"merge_mode": "ave"}),
    ({"gru": {"units": 3, "return_sequences": True, "return_state": True}}, {"merge_mode": None}),
    ({"lstm": {"units": 3, "activation": "relu"}}, {"merge_mode": None}),
    (
        {"lstm": {"units": 3, "return_sequences": True}},
        {"backward_layer": {"gru": {"units": 2, "return_sequences": True, "go_backwards": True}}},
    ),
    (
        {"gru": {"units": 3, "go_backwards": True, "return_sequences": True}},
        {"backward_layer": {"simple_rnn": {"units": 3, "return_sequences": True}}, "merge_mode": "sum"},
    ),
]


@pytest.mark.parametrize(("layer", "config"), BOTH_WAYS)
@pytest.mark.parametrize("masked", [True, False])
def test_bidirectional(layer, config, masked):
    mask = MASK if masked else None
    assert_wrapped("Bidirectional", {"layer": layer, **config}, (5, 5, 2), training=False, mask=mask)


def test_bidirectional_conv_lstm():
    layer = {"conv_lstm_1d": {"filters": 2, "kernel_size": 2, "return_sequences": True}}
    assert_wrapped("Bidirectional", {"layer": layer}, (2, 3, 5, 2), training=False)


@pytest.mark.parametrize(("name", "count"), [("lstm", 4), ("gru", 2)])
def test_bidirectional_from_given_states(name, count):
    states = [torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in range(count)]
    layer = {name: {"units": 3, "return_state": True}}
    assert_wrapped("Bidirectional", {"layer": layer}, (4, 5, 2), training=False, initial_state=states)


SPECTRAL = [
    ({"dense": {"units": 3}}, {}, (4, 5)),
    ({"dense": {"units": 3, "activation": "tanh", "use_bias": False}}, {"power_iterations": 3}, (4, 5)),
    ({"conv_2d": {"filters": 3, "kernel_size": 2}}, {"power_iterations": 2}, (2, 4, 4, 2)),
    ({"conv_1d": {"filters": 3, "kernel_size": 2, "padding": "causal"}}, {}, (2, 4, 2)),
]


@pytest.mark.parametrize(("layer", "config", "shape"), SPECTRAL)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_spectral_normalization(layer, config, shape, training, scale):
    """Weights are matched by name, since Keras orders `vector_u` differently."""
    rng = np.random.default_rng(0)
    theirs = keras_layer("SpectralNormalization", {"layer": theirs_of(layer), **config})
    theirs.build(shape)
    for weight in theirs.weights:
        weight.assign(rng.normal(size=weight.shape) * (scale if weight.name == "kernel" else 1.0))
    ours = harness.parse("spectral_normalization", {"layer": layer, **config})
    module = harness.materialise(harness.make(ours, TensorSpec(shape[1:])), dtype=torch.float64).train(training)
    by_name = {weight.name: weight for weight in theirs.weights}
    for owner, spec in harness.weights(module):
        harness.set_weight(owner, spec, by_name[spec.name].value.detach().clone())
    assert {spec.name for _, spec in harness.weights(module)} == set(by_name)

    x = rng.normal(size=shape)
    xs, ys = (torch.tensor(x, requires_grad=True) for _ in range(2))
    expected, result = theirs(xs, training=training), module(ys)
    got, updates = (result.value, result.updates) if training else (result, {})
    compared = ledger.Comparison()
    compared.same(got, expected)
    cotangent = torch.tensor(rng.normal(size=tuple(got.shape)))
    for value in (got, expected):
        torch.autograd.backward(value, cotangent)
    assert ys.grad is not None
    assert xs.grad is not None
    compared.same(ys.grad, xs.grad)
    for owner, spec in harness.weights(module):
        if spec.trainable:
            compared.same(spec.to_keras(getattr(owner, spec.name).grad), by_name[spec.name].value.grad)
    inner = next(iter(layer))
    if training:
        compared.same(updates["vector_u"], by_name["vector_u"].value.detach())
        kernel_spec = next(spec for _, spec in harness.weights(module) if spec.name == "kernel")
        compared.same(kernel_spec.to_keras(updates[f"{inner}/kernel"]), by_name["kernel"].value.detach())
    case = ledger.describe({"layer": inner, **config, "scale": scale}, shape, training=training)
    ledger.note("layer", "spectral_normalization", case, compared.gap, config={"layer": layer, **config})
