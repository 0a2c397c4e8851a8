"""Recurrent layers: outputs, states and gradients equal Keras's, also with masks."""

import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import ShapeMismatch
from tests.parity.layers import assert_same, keras_layer, mask_of
from tests.support import layer_harness as harness

MASK = mask_of("11100", "00111", "01011", "00000", "11111")

SEQUENCES = [
    {},
    {"return_sequences": True},
    {"return_state": True},
    {"return_sequences": True, "return_state": True},
    {"go_backwards": True, "return_sequences": True, "return_state": True},
    {"use_bias": False, "return_sequences": True},
    {"activation": "relu", "return_sequences": True},
    {"activation": None},
    {"unroll": True},
]
GATED = [
    *SEQUENCES,
    {"recurrent_activation": "hard_sigmoid", "return_state": True},
    {"activation": None, "recurrent_activation": None},
    {"use_cudnn": False, "return_sequences": True, "return_state": True},
    {"zero_output_for_mask": True, "return_sequences": True},
]
RESET_BEFORE = [{"reset_after": False, **config} for config in SEQUENCES]
LAYERS = [
    *(("LSTM", config) for config in GATED),
    *(("GRU", config) for config in [*GATED, *RESET_BEFORE]),
    *(("SimpleRNN", config) for config in [*SEQUENCES, {"activation": "elu"}, {"zero_output_for_mask": True}]),
]


def state_of(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "config"), LAYERS)
def test_recurrent_layer(name, config):
    assert_same(name, {"units": 3, **config}, (4, 5, 2), training=False)


@pytest.mark.parametrize(("name", "config"), [case for case in LAYERS if "unroll" not in case[1]])
def test_recurrent_layer_with_masks_at_the_end_in_front_and_between(name, config):
    assert_same(name, {"units": 3, **config}, (5, 5, 2), training=False, mask=MASK)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("config", [{}, {"activation": "relu"}, {"activation": "elu"}])
@pytest.mark.parametrize("masked", [True, False])
def test_recurrent_layer_from_a_given_state(name, config, masked):
    state = [state_of(3, 4, seed=i) for i in range(2 if name == "LSTM" else 1)]
    mask = mask_of("11100", "00111", "00000") if masked else None
    config = {"units": 4, "return_sequences": True, "return_state": True, **config}
    assert_same(name, config, (3, 5, 2), training=False, initial_state=state, mask=mask)


CELLS = [
    ("SimpleRNNCell", {}),
    ("SimpleRNNCell", {"activation": "relu"}),
    ("SimpleRNNCell", {"use_bias": False}),
    ("SimpleRNNCell", {"activation": None}),
    ("GRUCell", {}),
    ("GRUCell", {"reset_after": False}),
    ("GRUCell", {"use_bias": False}),
    ("GRUCell", {"activation": "relu", "recurrent_activation": "hard_sigmoid"}),
    ("LSTMCell", {}),
    ("LSTMCell", {"use_bias": False}),
    ("LSTMCell", {"unit_forget_bias": False}),
    ("LSTMCell", {"activation": "relu", "recurrent_activation": "hard_sigmoid"}),
]


@pytest.mark.parametrize(("name", "config"), CELLS)
def test_cell(name, config):
    states = [state_of(4, 3, seed=i) for i in range(2 if name == "LSTMCell" else 1)]
    assert_same(name, {"units": 3, **config}, (4, 2), training=False, states=states)


RNNS = [
    {},
    {"return_sequences": True, "return_state": True},
    {"return_sequences": True, "zero_output_for_mask": True},
    {"zero_output_for_mask": True, "return_state": True},
    {"go_backwards": True, "return_sequences": True},
    {"unroll": True},
]
ALONG = [
    {"gru_cell": {"units": 3}},
    {"lstm_cell": {"units": 3, "activation": "relu"}},
    [{"simple_rnn_cell": {"units": 4}}, {"gru_cell": {"units": 3, "reset_after": False}}],
    [{"lstm_cell": {"units": 4}}, {"lstm_cell": {"units": 2}}, {"simple_rnn_cell": {"units": 3}}],
]


def keras_cell(written):
    import keras

    if isinstance(written, list):
        return keras_layer("StackedRNNCells", {"cells": [keras_cell(one) for one in written]})
    ((name, config),) = written.items()
    names = {"gru_cell": "GRUCell", "lstm_cell": "LSTMCell", "simple_rnn_cell": "SimpleRNNCell"}
    return getattr(keras.layers, names[name])(**config, dtype="float64")


@pytest.mark.parametrize("cell", ALONG)
@pytest.mark.parametrize("config", RNNS)
@pytest.mark.parametrize("masked", [True, False])
def test_rnn_takes_cells_and_stacks_of_them_along(cell, config, masked):
    theirs = keras_layer("RNN", {"cell": keras_cell(cell), **config})
    mask = MASK if masked else None
    assert_same("RNN", {"cell": cell, **config}, (5, 5, 2), training=False, theirs=theirs, mask=mask)


@pytest.mark.parametrize("cells", [stack for stack in ALONG if isinstance(stack, list)])
def test_stack_of_cells(cells):
    theirs = Stack(keras_cell(cells))
    sizes = [size for cell in cells for name, c in cell.items() for size in [c["units"]] * (1 + (name == "lstm_cell"))]
    states = [state_of(4, size, seed=i) for i, size in enumerate(sizes)]
    assert_same("stacked_rnn_cells", {"cells": cells}, (4, 2), training=False, theirs=theirs, states=states)


class Stack:
    """Keras's stack of cells, which takes the states of each cell as a list."""

    def __init__(self, layer):
        self._layer = layer

    def __getattr__(self, name):
        return getattr(self._layer, name)

    def __call__(self, x, *, states, training):
        counts = [2 if type(cell).__name__ == "LSTMCell" else 1 for cell in self._layer.cells]
        remaining = iter(states)
        return self._layer(x, [[next(remaining) for _ in range(count)] for count in counts], training=training)


CONV_LSTMS = [
    ("ConvLSTM1D", (5, 5, 6, 2), {}),
    ("ConvLSTM1D", (5, 5, 6, 2), {"padding": "same", "return_sequences": True, "use_bias": False}),
    ("ConvLSTM1D", (5, 5, 7, 2), {"strides": 2, "return_state": True}),
    ("ConvLSTM1D", (5, 5, 7, 2), {"dilation_rate": 2, "go_backwards": True, "return_sequences": True}),
    ("ConvLSTM2D", (5, 5, 5, 6, 2), {"return_sequences": True, "return_state": True}),
    ("ConvLSTM2D", (5, 5, 5, 6, 2), {"padding": "same", "strides": 2, "recurrent_activation": "hard_sigmoid"}),
    ("ConvLSTM2D", (5, 5, 2, 5, 6), {"data_format": "channels_first", "return_state": True}),
    ("ConvLSTM2D", (5, 5, 7, 6, 2), {"dilation_rate": (2, 1), "activation": "relu"}),
    ("ConvLSTM3D", (5, 5, 4, 4, 4, 2), {}),
    ("ConvLSTM3D", (5, 5, 4, 4, 4, 2), {"padding": "same", "return_sequences": True}),
    ("ConvLSTM3D", (5, 5, 4, 5, 4, 2), {"strides": (2, 1, 1), "return_state": True}),
    ("ConvLSTM3D", (5, 5, 2, 4, 4, 4), {"data_format": "channels_first", "go_backwards": True}),
    ("ConvLSTM1D", (5, 5, 2, 6), {"data_format": "channels_first", "activation": "relu"}),
    ("ConvLSTM1D", (5, 5, 6, 2), {"recurrent_activation": "hard_sigmoid", "unroll": True}),
    ("ConvLSTM2D", (5, 5, 5, 6, 2), {"use_bias": False, "go_backwards": True}),
    ("ConvLSTM2D", (5, 5, 4, 4, 2), {"unroll": True}),
    ("ConvLSTM3D", (5, 5, 5, 4, 4, 2), {"dilation_rate": (2, 1, 1), "activation": "relu", "unroll": True}),
    ("ConvLSTM3D", (5, 5, 4, 4, 4, 2), {"use_bias": False, "recurrent_activation": "hard_sigmoid"}),
    *[
        (f"ConvLSTM{n}D", (5, 5, *[4] * n, 2), {"zero_output_for_mask": True, "return_sequences": True})
        for n in (1, 2, 3)
    ],
]


@pytest.mark.parametrize(("name", "shape", "config"), CONV_LSTMS)
@pytest.mark.parametrize("masked", [True, False])
def test_conv_lstm(name, shape, config, masked):
    mask = MASK if masked else None
    assert_same(name, {"filters": 2, "kernel_size": 2, **config}, shape, training=False, mask=mask)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("config", [{}, {"return_sequences": True}, {"go_backwards": True}, {"data_format": True}])
def test_conv_lstm_with_a_mask_of_positions(rank, config):
    """As from `masking`, which compares along the last axis only: masked positions keep their state."""
    if config.get("data_format"):
        config = {"data_format": "channels_first", "return_sequences": True}
    mask = torch.rand(3, 4, *[5] * rank, generator=torch.Generator().manual_seed(4)) > 0.4
    if "data_format" in config:
        mask = mask[:, :, :2]  # channels, and the axes of space but the last
    shape = (3, 4, 2, *[5] * rank) if "data_format" in config else (3, 4, *[5] * rank, 2)
    config = {"filters": 2, "kernel_size": 2, "padding": "same", **config}
    assert_same(f"ConvLSTM{rank}D", config, shape, training=False, mask=mask)


def test_a_mask_of_positions_that_the_output_has_not_is_refused():
    module = harness.make(harness.parse("conv_lstm_1d", {"filters": 2, "kernel_size": 2}), TensorSpec((3, 6, 2)))
    with pytest.raises(ShapeMismatch, match=r"fits its output \(None, 5, 2\) at each step, got one \(None, 6\)"):
        module(torch.zeros(2, 3, 6, 2), mask=torch.ones(2, 3, 6, dtype=torch.bool))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_lstm_from_a_given_state(rank):
    state = [state_of(3, *[4] * rank, 2, seed=i) for i in range(2)]
    config = {"filters": 2, "kernel_size": 3, "return_state": True}
    assert_same(f"ConvLSTM{rank}D", config, (3, 5, *[6] * rank, 2), training=False, initial_state=state)


def test_rnn_from_a_given_state():
    cell = {"lstm_cell": {"units": 3}}
    theirs = keras_layer("RNN", {"cell": keras_cell(cell)})
    state = [state_of(5, 3, seed=i) for i in range(2)]
    assert_same("RNN", {"cell": cell}, (5, 5, 2), training=False, theirs=theirs, initial_state=state)
