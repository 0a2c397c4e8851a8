"""Layers that cannot be say why, and what to do."""

import pytest

from kerascli.component import Invalid
from kerascli.layers.base import LAYERS, ShapeMismatch
from kerascli.shapes import TensorSpec
from tests import layer_harness as harness

SMALLER = "use padding: same, a smaller window, or fewer poolings and strides before it"
AXES = "axis 0 is the batch; negative axes count from the end"

SHAPE_FAULTS = [
    (
        "conv_2d",
        {"filters": 4, "kernel_size": 3},
        [(784,)],
        "needs images (height, width, channels), got (None, 784)",
        "put reshape: [28, 28, 1] before it",
    ),
    (
        "conv_2d",
        {"filters": 4, "kernel_size": 3},
        [(28, 28)],
        "needs images (height, width, channels), got (None, 28, 28)",
        "put reshape: [28, 28, 1] before it",
    ),
    (
        "conv_2d",
        {"filters": 4, "kernel_size": 3, "data_format": "channels_first"},
        [(5,)],
        "needs images (channels, height, width), got (None, 5)",
        None,
    ),
    (
        "conv_2d",
        {"filters": 4, "kernel_size": 4},
        [(3, 3, 1)],
        "input is 3 x 3, a 4 x 4 window with padding valid leaves nothing",
        SMALLER,
    ),
    (
        "conv_2d",
        {"filters": 4, "kernel_size": 2, "dilation_rate": 3},
        [(3, 9, 1)],
        "input is 3 x 9, a 4 x 4 window with padding valid leaves nothing",
        SMALLER,
    ),
    (
        "conv_2d",
        {"filters": 4, "kernel_size": 3, "groups": 2},
        [(9, 9, 3)],
        "has 2 groups, which do not divide the 3 channels of (None, 9, 9, 3)",
        None,
    ),
    (
        "conv_2d",
        {"filters": 4, "kernel_size": 3, "kernel_initializer": "identity"},
        [(9, 9, 3)],
        "the initializer does not fit kernel (3, 3, 3, 4): identity fills matrices, got (3, 3, 3, 4)",
        None,
    ),
    ("max_pooling_2d", {}, [(1, None, 3)], "input is 1 x ?, a 2 x 2 window with padding valid leaves nothing", SMALLER),
    (
        "global_average_pooling_2d",
        {},
        [(4,)],
        "needs images (height, width, channels), got (None, 4)",
        "put reshape: [2, 2, 1] before it",
    ),
    ("dense", {"units": 2}, [(None,)], "needs an input with a known last axis, got (None, None)", None),
    ("lstm", {"units": 2}, [(7,)], "needs sequences (steps, features), got (None, 7)", "put an embedding before it"),
    (
        "lstm",
        {"units": 2, "recurrent_regularizer": "orthogonal", "kernel_constraint": {"max_norm": {"axis": 2}}},
        [(7, 3)],
        "the constraint does not fit kernel (3, 8): it has no such axis",
        None,
    ),
    (
        "reshape",
        {"target_shape": [5, 2]},
        [(12,)],
        "cannot reshape (None, 12) (12 values a sample) to (None, 5, 2)",
        "write -1 for one size to have it computed",
    ),
    ("softmax", {"axis": 3}, [(4, 5)], "axis 3 does not fit an input of (None, 4, 5)", AXES),
    ("batch_normalization", {"axis": 0}, [(4, 5)], "axis 0 does not fit an input of (None, 4, 5)", AXES),
    (
        "dropout",
        {"rate": 0.5, "noise_shape": [None, 3]},
        [(4,)],
        "noise_shape (None, 3) does not fit an input of (None, 4)",
        "one entry an axis, batch first: null (as the input) or 1 (dropped together)",
    ),
    ("subtract", {}, [(4,), (4,), (4,)], "needs 2 inputs, got 3", "write inputs: [a, b]"),
    (
        "dot",
        {"axes": [1, 2]},
        [(4,), (5, 6)],
        "axis 1 of (None, 4) and axis 2 of (None, 5, 6) differ: 4 and 6",
        None,
    ),
    ("permute", {"dims": [2, 1]}, [(4,)], "has dims for 2 axes after the batch, got (None, 4)", None),
    ("repeat_vector", {"n": 2}, [(4, 5)], "needs vectors (features), got (None, 4, 5)", None),
    ("masking", {}, [(4,)], "needs sequences (steps, features), got (None, 4)", None),
    ("add", {}, [(4,), (5,)], "needs inputs of one shape, got (None, 4) and (None, 5)", None),
    ("add", {}, [(4,)], "needs at least 2 inputs, got 1", "write inputs: [a, b]"),
    (
        "concatenate",
        {},
        [(4, 5), (3, 5)],
        "needs inputs that differ in axis -1 alone, got (None, 4, 5) and (None, 3, 5)",
        None,
    ),
]


@pytest.mark.parametrize(("name", "config", "shapes", "text", "hint"), SHAPE_FAULTS)
def test_what_does_not_fit_is_said(name, config, shapes, text, hint):
    with pytest.raises(ShapeMismatch) as caught:
        harness.make(harness.parse(name, config), *[TensorSpec(shape) for shape in shapes])
    assert (caught.value.fault.text, caught.value.fault.hint) == (text, hint)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"reshape": [0, 2]}, "target_shape: expected positive sizes and at most one -1, got [0, 2]"),
        ({"reshape": [-1, -1]}, "target_shape: expected positive sizes and at most one -1, got [-1, -1]"),
        ({"permute": [2, 3]}, "dims: expected each axis from 1 to 2 once, got [2, 3]"),
        ({"dropout": 1.5}, "rate: must be at most 1, got 1.5"),
        ({"conv_2d": {"filters": 3, "kernel_size": 3, "groups": 2}}, "filters (3) must be a multiple of groups (2)"),
        (
            {"conv_2d": {"filters": 3, "kernel_size": 3, "padding": "causal"}},
            "padding: expected valid or same, got the text 'causal'",
        ),
        (
            {"conv_1d": {"filters": 3, "kernel_size": 3, "strides": 2, "dilation_rate": 2}},
            "strides and dilation_rate cannot both be above 1",
        ),
        (
            {"lstm": {"units": 3, "stateful": True}},
            "stateful: true is not supported yet; pass states with return_state and initial_state",
        ),
        (
            {"lstm": {"units": 3, "use_cudnn": True, "activation": "relu"}},
            "use_cudnn: true needs activation tanh, recurrent_activation sigmoid, recurrent_dropout 0",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(written, text):
    with pytest.raises(Invalid) as caught:
        LAYERS.parse(written)
    assert [fault.text for fault in caught.value.faults] == [text]
