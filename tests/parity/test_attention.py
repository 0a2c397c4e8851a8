"""Attention layers: outputs, scores and gradients equal Keras's, for all masks, heads and axes."""

from typing import Any

import keras
import numpy as np
import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import ShapeMismatch
from tests.parity.layers import assert_same, mask_of
from tests.support import layer_harness as harness

QVK = ((2, 3, 6), (2, 5, 4), (2, 5, 6))
OF_QUERY, OF_VALUE = mask_of("110", "001"), mask_of("11010", "00111")


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
@pytest.mark.parametrize("config", [{}, {"use_scale": False}, {"use_scale": True, "dropout": 0.0}])
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"masks": [OF_QUERY, OF_VALUE]},
        {"masks": [None, mask_of("10110", "11011")], "use_causal_mask": True},
        {"masks": [OF_QUERY, None], "return_attention_scores": True},
        {"masks": [OF_QUERY, mask_of("00000", "11111")], "return_attention_scores": True, "use_causal_mask": True},
        {"use_causal_mask": True},
    ],
)
def test_attention_without_projections(name, config, call):
    assert_same(name, config, (2, 3, 6), (2, 5, 6), **call)
    assert_same(name, config, *QVK, **call)


@pytest.mark.parametrize("config", [{"score_mode": "concat"}, {"score_mode": "concat", "use_scale": True}])
@pytest.mark.parametrize("call", [{}, {"masks": [OF_QUERY, OF_VALUE], "return_attention_scores": True}])
def test_attention_by_concatenation(config, call):
    assert_same("Attention", config, *QVK, **call)


def test_where_all_values_are_masked_the_fused_kernel_does_what_the_explicit_sum_does():
    """Up to precision: a score next to -1e9 keeps seven digits."""
    module = harness.make(harness.parse("attention"), *[TensorSpec(shape[1:]) for shape in QVK])
    xs = [torch.randn(shape, dtype=torch.float64) for shape in QVK]
    masks = [None, mask_of("00000", "11111"), None]
    explicit, _ = module(*xs, masks=masks, return_attention_scores=True)
    torch.testing.assert_close(module(*xs, masks=masks), explicit, rtol=1e-6, atol=1e-6)


HEADS: list[dict[str, Any]] = [
    {"num_heads": 2, "key_dim": 3},
    {"num_heads": 3, "key_dim": 2, "value_dim": 5, "use_bias": False},
    {"num_heads": 2, "key_dim": 3, "output_shape": [2, 4], "use_gate": True, "value_dim": 4},
    {"num_heads": 2, "key_dim": 3, "sliding_window": 2, "output_shape": 7},
    {"num_heads": 1, "key_dim": 4, "dropout": 0.5},
]
PLAIN = {"num_heads": 2, "key_dim": 3}
GIVEN = torch.from_numpy(np.random.default_rng(3).integers(0, 2, (2, 3, 5)))
CALLS: list[dict[str, Any]] = [
    {},
    {"use_causal_mask": True},
    {"masks": [OF_QUERY, OF_VALUE, None]},
    {"masks": [None, OF_VALUE, mask_of("01111", "11110")], "use_causal_mask": True},
    {"masks": [OF_QUERY, None, None], "return_attention_scores": True},
    {"attention_mask": GIVEN, "return_attention_scores": True, "use_causal_mask": True},
    {"attention_mask": GIVEN[:, None]},
    {"value_mask": OF_VALUE, "key_mask": OF_VALUE},
]


@pytest.mark.parametrize("config", HEADS)
@pytest.mark.parametrize("call", CALLS)
def test_multi_head_attention(config, call):
    assert_same("MultiHeadAttention", config, *QVK, training=not config.get("dropout"), **call)


@pytest.mark.parametrize("config", HEADS[:1])
@pytest.mark.parametrize("call", [{}, {"masks": [OF_QUERY, OF_VALUE]}, {"use_causal_mask": True}])
def test_multi_head_attention_whose_value_is_the_key(config, call):
    assert_same("MultiHeadAttention", config, (2, 3, 6), (2, 5, 4), **call)


@pytest.mark.parametrize(
    ("axes", "shapes"),
    [
        (None, ((2, 3, 2, 4), (2, 5, 2, 4))),
        ([1, 2], ((2, 3, 2, 4), (2, 5, 3, 4))),
        (1, ((2, 3, 2, 4), (2, 5, 2, 4))),
        ([2], ((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 3))),
        (-2, ((2, 2, 3, 4), (2, 2, 5, 4))),
    ],
)
@pytest.mark.parametrize("scores", [False, True])
def test_multi_head_attention_along_axes(axes, shapes, scores):
    config = {"num_heads": 2, "key_dim": 3, "attention_axes": axes}
    assert_same("MultiHeadAttention", config, *shapes, return_attention_scores=scores)


GROUPS = [
    {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
    {"head_dim": 2, "num_query_heads": 3, "num_key_value_heads": 1, "use_gate": True, "use_bias": False},
    {"head_dim": 3, "num_query_heads": 2, "num_key_value_heads": 2, "sliding_window": 2},
    {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2, "dropout": 0.3},
]


@pytest.mark.filterwarnings("ignore:.*was passed an input with a mask:UserWarning")  # of Keras's own inner layers
@pytest.mark.parametrize("config", GROUPS)
@pytest.mark.parametrize("call", [*CALLS, {"query_mask": OF_QUERY}])
def test_group_query_attention(config, call):
    assert_same("GroupQueryAttention", config, *QVK, training=not config.get("dropout"), **call)


@pytest.mark.parametrize(("name", "config"), [("MultiHeadAttention", HEADS[2]), ("GroupQueryAttention", GROUPS[1])])
def test_penalties_of_projections(name, config):
    """Keras's group_query_attention penalizes its result a second time: the graph does, as for any layer."""
    theirs = getattr(keras.layers, name)(**{**config, "activity_regularizer": "l2"}, dtype="float64")
    if name == "GroupQueryAttention":
        theirs.activity_regularizer = None
    assert_same(name, {**config, "activity_regularizer": "l2"}, *QVK, theirs=theirs)


@pytest.mark.parametrize(
    ("name", "config", "steps"),
    [("attention", {}, 6), ("multi_head_attention", {"num_heads": 2, "key_dim": 8}, 6)],
)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_fused_kernel_agrees_with_the_explicit_sum_in_float32(name, config, steps, is_causal, masked):
    x = 0.3 * torch.randn(3, steps, 16, generator=torch.Generator().manual_seed(0))
    masks = [None, mask_of("111111", "110100", "100000") if masked else None]
    results = []
    for scores in (False, True):
        module = harness.make(harness.parse(name, config), TensorSpec((steps, 16)), TensorSpec((steps, 16)))
        inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        y = harness.materialise(module)(*inputs, masks=masks, use_causal_mask=is_causal, return_attention_scores=scores)
        y = y[0] if scores else y
        y.square().sum().backward()
        results.append([y, *[z.grad for z in inputs], *harness.gradients(module).values()])
    for fused, explicit in zip(*results, strict=True):
        torch.testing.assert_close(fused, explicit, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("attention", {"dropout": 0.4}),
        ("additive_attention", {"dropout": 0.4}),
        ("multi_head_attention", {"num_heads": 2, "key_dim": 3, "dropout": 0.4}),
        ("group_query_attention", {"head_dim": 3, "num_query_heads": 2, "num_key_value_heads": 1, "dropout": 0.4}),
    ],
)
def test_dropout_keeps_the_mean_of_the_result_and_evaluation_has_none(name, config):
    q, v = torch.randn(1, 3, 6, dtype=torch.float64), torch.randn(1, 5, 6, dtype=torch.float64)
    module = harness.make(harness.parse(name, config), TensorSpec((3, 6)), TensorSpec((5, 6)))
    harness.materialise(module, dtype=torch.float64).eval()
    expected = harness.call(module, q, v)
    assert torch.equal(expected, harness.call(module, q, v, seed=1))
    many = harness.call(module.train(), q.expand(20_000, -1, -1), v.expand(20_000, -1, -1))
    assert ((many.mean(0) - expected[0]).abs() < 5 * many.std(0) / 20_000**0.5).all()
    assert (many.std(0) > 0).all()


@pytest.mark.parametrize("flash", [True, False, None])
def test_flash_attention_is_a_choice_of_kernels_not_of_numbers(flash):
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    results = []
    for config in (PLAIN, {**PLAIN, "flash_attention": flash}):
        module = harness.make(harness.parse("multi_head_attention", config), TensorSpec((3, 6)), TensorSpec((3, 6)))
        results.append(harness.materialise(module, dtype=torch.float64)(x, x, use_causal_mask=True))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("config", "shape", "call", "text"),
    [
        (
            {},
            (3, 6),
            {"attention_mask": torch.ones(2, 3, 4)},
            "needs an attention_mask of (None, 3, 3), got (None, 3, 4)",
        ),
        ({}, (3, 6), {"attention_mask": torch.ones(2, 3)}, "needs an attention_mask of (None, 3, 3), got (None, 3)"),
        ({}, (3, 2, 6), {"use_causal_mask": True}, "needs one attention axis for use_causal_mask"),
        (
            {"flash_attention": True},
            (3, 6),
            {"return_attention_scores": True},
            "cannot return scores with flash_attention: true",
        ),
    ],
)
def test_calls_that_cannot_be_say_why(config, shape, call, text):
    layer = harness.parse("multi_head_attention", {**PLAIN, **config})
    module = harness.materialise(harness.make(layer, TensorSpec(shape), TensorSpec(shape)))
    x = torch.randn(2, *shape)
    with pytest.raises(ShapeMismatch) as caught:
        module(x, x, **call)
    assert caught.value.fault.text == text
