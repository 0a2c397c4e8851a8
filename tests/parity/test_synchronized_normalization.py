"""A synchronized batch normalization, computed for two parts of a batch: Keras's numbers of the whole batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

from kerascli.foundation import local_batch
from kerascli.foundation.local_batch import LocalBatch
from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Outcome
from tests.parity.layers import mask_of
from tests.support import layer_harness as harness

ROWS = 2
"""Rows of the first part; the second has the rest."""


def in_two_parts(module: torch.nn.Module, x: Tensor, mask: Tensor | None) -> list[Outcome]:
    """Return the module's outcomes for the two parts of a batch, each with the sums over both."""
    parts = [(x[:ROWS], mask if mask is None else mask[:ROWS]), (x[ROWS:], mask if mask is None else mask[ROWS:])]

    def run(part: int, add: Callable[[Tensor], Tensor]) -> Outcome:
        values, seen = parts[part]
        with local_batch.using(LocalBatch(len(values) / len(x), add)):
            return module(values, mask=seen)

    sums: list[Tensor] = []
    for part in (0, 1):
        run(part, lambda total: sums.append(total) or total)
    return [run(part, lambda total, other=sums[1 - part]: total + other) for part in (0, 1)]


@pytest.mark.parametrize(
    ("config", "shape", "mask"),
    [
        ({}, (5, 4), None),
        ({"axis": 1, "scale": False}, (3, 4, 5, 6), None),
        ({"momentum": 0.5, "center": False}, (3, 4, 5), mask_of("1110", "0111", "0010")),
        ({"axis": 1}, (3, 4, 5), mask_of("1110", "0111", "0010")),
        ({"renorm": True, "renorm_clipping": {"rmax": 1.25, "dmax": 0.25}}, (5, 3), None),
    ],
)
def test_two_parts_have_the_numbers_of_the_whole_batch(
    config: dict[str, Any], shape: tuple[int, ...], mask: Tensor | None
) -> None:
    rng = np.random.default_rng(0)
    values, cotangent = rng.normal(size=shape) * 3 + 50, torch.tensor(rng.normal(size=shape))
    theirs = keras.layers.BatchNormalization(**config, dtype="float64")
    x = torch.tensor(values, requires_grad=True)
    theirs.build(x.shape)
    for weight in theirs.weights:
        weight.assign(np.abs(rng.normal(size=weight.shape)) + 0.5)
    layer = harness.parse("batch_normalization", {**config, "synchronized": True})
    module = harness.materialise(harness.make(layer, TensorSpec(shape[1:])), dtype=torch.float64).train()
    harness.set_weights(module, [weight.value.detach().numpy() for weight in theirs.weights])
    expected = theirs(x, mask=mask, training=True)
    expected.backward(cotangent)

    y = torch.tensor(values, requires_grad=True)
    outcomes = in_two_parts(module, y, mask)
    got = torch.cat([outcome.value for outcome in outcomes])
    got.backward(cotangent)
    close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)
    close(got, expected)
    close(y.grad, x.grad)
    for weight in theirs.trainable_weights:
        close(getattr(module, weight.name).grad, weight.value.grad)
    for outcome in outcomes:
        for weight in theirs.non_trainable_weights:
            close(outcome.updates[weight.name], weight.value.detach())


def test_digits_survive_a_mean_far_above_the_deviation() -> None:
    """In float32, sums of squares around zero would leave no digit of this variance."""
    x = torch.tensor(np.random.default_rng(1).normal(size=(64, 2)) * 0.01 + 100, dtype=torch.float32)
    layer = harness.parse("batch_normalization", {"synchronized": True, "momentum": 0.0})
    module = harness.materialise(harness.make(layer, TensorSpec((2,)))).train()
    for outcome in in_two_parts(module, x, None):
        torch.testing.assert_close(outcome.updates["moving_variance"], x.double().var(0, correction=0).float())


def test_a_layer_alone_and_in_evaluation_adds_nothing() -> None:
    layer = harness.parse("batch_normalization", {"synchronized": True})
    module = harness.materialise(harness.make(layer, TensorSpec((2,))))
    plain = harness.materialise(harness.make(harness.parse("batch_normalization"), TensorSpec((2,))))
    x = torch.randn(6, 2)
    assert torch.equal(module.train()(x).value, plain.train()(x).value)

    def fail(total: Tensor) -> Tensor:
        raise AssertionError("communication in evaluation")

    with local_batch.using(LocalBatch(0.5, fail)):
        module.eval()(x)
