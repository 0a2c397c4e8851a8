"""Invalid layers are refused with a reason and a hint."""

import pytest

from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.layers.base import LAYERS, ShapeMismatch
from tests.support import layer_harness as harness

SMALLER = "use padding: same, a smaller window, or fewer poolings and strides before it"
STEPS = "needs at least one axis of steps before the features for query, value and key"
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
    (
        "lstm",
        {"units": 2},
        [(7,)],
        "needs sequences (steps, features), got (None, 7)",
        "dense takes a row of numbers; reshape: [7, 1] makes steps of it; token ids: an embedding",
    ),
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
    ("attention", {}, [(4,), (4, 5)], f"{STEPS}, got (None, 4) and (None, 4, 5)", None),
    (
        "attention",
        {},
        [(3, 4, 5), (2, 4, 5)],
        "needs a query and a value with equal axes before the steps, got (None, 3, 4, 5) and (None, 2, 4, 5)",
        None,
    ),
    (
        "attention",
        {},
        [(4, 5), (4, 6)],
        "needs a query and a key with equal features, got (None, 4, 5) and (None, 4, 6)",
        None,
    ),
    (
        "multi_head_attention",
        {"num_heads": 1, "key_dim": 2},
        [(4, 5), (4, 6), (3, 6)],
        "needs value and key with the same steps, got (None, 4, 6) and (None, 3, 6)",
        None,
    ),
    (
        "multi_head_attention",
        {"num_heads": 1, "key_dim": 2, "attention_axes": 2},
        [(4, 5), (4, 6)],
        "cannot attend along the features axis",
        None,
    ),
    (
        "multi_head_attention",
        {"num_heads": 1, "key_dim": 2},
        [(4, 5)] * 4,
        "needs 2 or 3 inputs, got 4",
        "write inputs: [query, value, key]",
    ),
    ("group_normalization", {}, [(4, 6)], "has 32 groups, which do not divide the 6 channels of (None, 4, 6)", None),
    (
        "layer_scale",
        {"init_values": 0.1, "projection_dim": 4},
        [(5, 3)],
        "projection_dim 4 does not fit an input of (None, 5, 3)",
        "it is the size of the last axis, or 1",
    ),
    ("custom_scale_layer", {"scale": 0.1}, [(3,)] * 3, "needs 2 inputs, got 3", "write inputs: [a, b]"),
    (
        "custom_scale_layer",
        {"scale": 0.1},
        [(4, 3), (3,)],
        "needs inputs with equal numbers of axes, got (None, 4, 3) and (None, 3)",
        None,
    ),
    ("rms_normalization", {}, [(None,)], "needs a known size of axis 1, got (None, None)", None),
    (
        "prelu",
        {},
        [(None, 3)],
        "needs a known size for each axis along which slopes are not shared, got (None, None, 3)",
        "share it: shared_axes: [1]",
    ),
    (
        "spatial_dropout_1d",
        {"rate": 0.5},
        [(4,)],
        "needs sequences (steps, channels), got (None, 4)",
        "put reshape: [4, 1] before it",
    ),
    (
        "embedding",
        {"input_dim": 2, "output_dim": 2, "weights": [[1, 2]]},
        [(3,)],
        "needs 2 lists of 2 numbers as weights",
        None,
    ),
    (
        "einsum_dense",
        {"equation": "abc,cd->abd", "output_shape": [5, 2]},
        [(4, 3)],
        "has 5 in output_shape for axis 'b', which is 4 in the input (None, 4, 3)",
        None,
    ),
    (
        "einsum_dense",
        {"equation": "abc,cd->abd", "output_shape": 2},
        [(4, 3)],
        "has an output_shape of 1 sizes for the axes 'bd' of its equation",
        None,
    ),
    (
        "einsum_dense",
        {"equation": "ab,bc->ac", "output_shape": 2},
        [(4, 3)],
        "has 2 axes for its input in 'ab,bc', got (None, 4, 3)",
        "the first letter is the batch",
    ),
    (
        "einsum_dense",
        {"equation": "ab,bc->ac", "output_shape": 2, "bias_axes": "b"},
        [(4,)],
        "has no axis 'b' in the output 'ac' of its equation",
        None,
    ),
    (
        "einsum_dense",
        {"equation": "ab,bc->ac", "output_shape": 2},
        [(None,)],
        "needs a known size of axis 'b' for its weights, got (None, None)",
        None,
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
    (
        "masking",
        {},
        [(4,)],
        "needs sequences (steps, features), got (None, 4)",
        "dense takes a row of numbers; reshape: [4, 1] makes steps of it; token ids: an embedding",
    ),
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
def test_what_does_not_fit_is_reported(name, config, shapes, text, hint):
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
            {"einsum_dense": {"equation": "ab,bc", "output_shape": 2}},
            "equation: expected ab,bc->ac, ...ab,bc->...ac or ab...,bc->ac..., got 'ab,bc'",
        ),
        (
            {"einsum_dense": {"equation": "ab,bc->acd", "output_shape": 2}},
            "equation: 'd' of the output is in neither the input nor the kernel",
        ),
        (
            {"einsum_dense": {"equation": "ab,bcd->ac", "output_shape": 2}},
            "equation: 'd' of the kernel is in neither the input nor the output",
        ),
        (
            {"einsum_dense": {"equation": "ab,bc->ca", "output_shape": 2}},
            "equation: the first axis is the batch: it must stay first and not be in the kernel, got 'a'",
        ),
        ({"group_normalization": 0}, "groups: must be at least 1, or -1 for one group per channel, got 0"),
        (
            {"batch_normalization": {"renorm_clipping": {"rmin": 2.0, "rmax": 1.0}}},
            "renorm_clipping: rmin 2.0 is above rmax 1.0",
        ),
        (
            {"multi_head_attention": {"num_heads": 2, "key_dim": 3, "dropout": 0.1, "flash_attention": True}},
            "flash_attention: true needs dropout 0: its kernel has no dropout",
        ),
        (
            {"group_query_attention": {"head_dim": 2, "num_query_heads": 3, "num_key_value_heads": 2}},
            "num_query_heads (3) must be a multiple of num_key_value_heads (2)",
        ),
        (
            {"time_distributed": {"lstm": {"units": 3, "stateful": True}}},
            "layer: lstm cannot be stateful inside another layer",
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


@pytest.mark.parametrize(
    ("written", "shapes", "setting"),
    [
        ({"dense": {"units": 3, "kernel_constraint": {"max_norm": {"axis": 7}}}}, [(8,)], "kernel_constraint"),
        (
            {"depthwise_conv_2d": {"kernel_size": 3, "depthwise_constraint": {"max_norm": {"axis": 7}}}},
            [(9, 9, 3)],
            "depthwise_constraint",
        ),
        ({"gru": {"units": 3, "recurrent_constraint": {"max_norm": {"axis": 7}}}}, [(5, 3)], "recurrent_constraint"),
        ({"weight": {"shape": [3], "initializer": "identity"}}, [], "initializer"),
    ],
)
def test_a_fault_of_a_weight_names_the_setting(written, shapes, setting):
    with pytest.raises(ShapeMismatch) as caught:
        harness.make(LAYERS.parse(written), *map(TensorSpec, shapes))
    assert caught.value.fault.path == (setting,)
