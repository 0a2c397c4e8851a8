"""Locally connected layers, which Keras 3 lacks: equal weights give a convolution, others an explicit sum."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from tests.parity import ledger
from tests.parity.layers import keras_layer
from tests.support import layer_harness as harness

CASES = (
    ("locally_connected_1d", {"filters": 4, "kernel_size": 3}, (7, 3)),
    ("locally_connected_1d", {"filters": 4, "kernel_size": 2, "strides": 3, "activation": "tanh"}, (7, 3)),
    ("locally_connected_1d", {"filters": 4, "kernel_size": 2, "data_format": "channels_first"}, (3, 7)),
    ("locally_connected_1d", {"filters": 4, "kernel_size": 1, "use_bias": False}, (7, 3)),
    ("locally_connected_2d", {"filters": 4, "kernel_size": 3}, (6, 5, 3)),
    ("locally_connected_2d", {"filters": 4, "kernel_size": [3, 2], "strides": [1, 2]}, (6, 5, 3)),
    ("locally_connected_2d", {"filters": 4, "kernel_size": [2, 3], "data_format": "channels_first"}, (3, 6, 5)),
    ("locally_connected_2d", {"filters": 4, "kernel_size": 2, "activation": "relu", "use_bias": False}, (6, 5, 3)),
)


def made(name: str, config: dict[str, Any], shape: tuple[int, ...]) -> tuple[torch.nn.Module, Tensor]:
    module = harness.make(harness.parse(name, config), TensorSpec(shape))
    harness.materialise(module, dtype=torch.float64)
    rng = np.random.default_rng(1)
    harness.set_weights(module, [rng.normal(size=spec.shape) for _, spec in harness.weights(module)])
    return module, torch.tensor(rng.normal(size=(2, *shape)), requires_grad=True)


@pytest.mark.parametrize(("name", "config", "shape"), CASES)
def test_equal_weights_everywhere_are_a_convolution(name, config, shape):
    case = ledger.describe(config, shape)
    module, x = made(name, config, shape)
    theirs = keras_layer("Conv1D" if name.endswith("1d") else "Conv2D", config)
    theirs.build((None, *shape))
    rng = np.random.default_rng(2)
    kernel, *bias = [rng.normal(size=weight.shape) for weight in theirs.weights]
    theirs.set_weights([kernel, *bias])
    ours = list(harness.weights(module))
    first = config.get("data_format") == "channels_first"
    flat = (np.moveaxis(kernel, -2, 0) if first else kernel).reshape(-1, config["filters"])
    arrays = [flat, *bias]
    harness.set_weights(module, [np.broadcast_to(a, s.shape).copy() for a, (_, s) in zip(arrays, ours, strict=True)])

    compared = ledger.Comparison()
    y, expected = module(x), theirs(x)
    compared.same(y, expected)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    compared.same(gradient, wanted)
    ledger.note("layer", name, case, compared.gap, config=config)


@pytest.mark.parametrize(("name", "config", "shape"), CASES)
def test_each_place_has_weights_of_its_own(name, config, shape):
    module, x = made(name, config, shape)
    weights = {spec.name: getattr(owner, spec.name) for owner, spec in harness.weights(module)}
    y = module(x)
    first = config.get("data_format") == "channels_first"
    places = y.shape[2:] if first else y.shape[1:-1]
    rank = len(places)
    sizes, strides = (np.broadcast_to(config.get(key, 1), rank) for key in ("kernel_size", "strides"))
    rows = []
    for number, place in enumerate(product(*map(range, places))):
        window = [slice(p * s, p * s + k) for p, s, k in zip(place, strides, sizes, strict=True)]
        seen = x[(slice(None), slice(None), *window)] if first else x[(slice(None), *window)]
        bias = weights["bias"][place] if "bias" in weights else 0
        rows.append(seen.reshape(2, -1) @ weights["kernel"][number] + bias)
    expected = torch.stack(rows, 1).reshape(2, *places, -1)
    expected = expected.movedim(-1, 1) if first else expected
    activation = {"tanh": torch.tanh, "relu": torch.relu}.get(config.get("activation", ""))
    expected = activation(expected) if activation else expected
    torch.testing.assert_close(y, expected, atol=1e-12, rtol=1e-12)
    inputs = [x, *weights.values()]
    gradients = (torch.autograd.grad(value.square().sum(), inputs) for value in (y, expected))
    for got, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-11, rtol=1e-11)
