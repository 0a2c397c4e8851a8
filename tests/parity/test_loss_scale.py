"""Twenty steps with overflows give Keras's weights and loss scales."""

from copy import deepcopy
from typing import Any

import keras
import numpy as np
import pytest
import torch

from tests.parity import ledger
from tests.support.optimizer_harness import SHAPES, Ours, first_weights, gradients_of

pytestmark = pytest.mark.usefixtures("keras_makes_float64")

CASES: list[tuple[str, dict[str, Any], float, int, dict[int, float]]] = [
    ("SGD", {"momentum": 0.9}, 2.0**15, 2000, {}),
    ("SGD", {"momentum": 0.9}, 1024.0, 3, {0: np.inf, 7: np.nan}),
    ("Adam", {"clipnorm": 0.5, "weight_decay": 0.1}, 8.0, 4, {4: np.inf, 5: -np.inf, 13: np.inf}),
    ("RMSprop", {"use_ema": True, "ema_momentum": 0.9}, 3.0, 1, {10: np.nan}),
    ("Adam", {"gradient_accumulation_steps": 3}, 64.0, 5, {6: np.inf, 7: np.inf}),
]
"""Optimizer, arguments, initial scale, growth steps, and factor that spoils the gradients of a step."""


@pytest.mark.parametrize(("name", "arguments", "scale", "growth", "overflows"), CASES)
def test_twenty_steps_with_overflows_give_keras_s_weights_and_scales(
    name: str, arguments: dict[str, Any], scale: float, growth: int, overflows: dict[int, float]
) -> None:
    compared = ledger.Comparison()
    inner = {"learning_rate": 0.05, **arguments}
    own = {"initial_scale": scale, "dynamic_growth_steps": growth}
    ours = Ours({"loss_scale_optimizer": {"inner_optimizer": {name: inner}, **own}})
    theirs: Any = keras.optimizers.LossScaleOptimizer(getattr(keras.optimizers, name)(**inner), **own)
    variables = [
        keras.Variable(value, dtype="float64", name=key.replace("/", "_")) for key, value in first_weights().items()
    ]
    theirs.build(variables)
    assert ours.optimizer.loss_scale is not None
    for step in range(20):
        now = float(ours.optimizer.loss_scale.factor)
        assert now == float(theirs.dynamic_scale)
        gradients = [np.asarray(gradient * now) for gradient in gradients_of(ours.weights(), step)]
        if step in overflows:
            gradients[2].flat[5] = overflows[step]
        ours.step(gradients)
        theirs.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)
        for got, want in zip(ours.weights(), variables, strict=True):
            compared.same(torch.from_numpy(got), want.value.detach())
        assert len(ours.weights()) == len(SHAPES)
    state = deepcopy(ours.optimizer.state())
    assert state["loss_scale_optimizer/step_counter"].item() == int(theirs.step_counter)
    assert state["loss_scale_optimizer/skipped_steps"].item() == len(overflows)
    assert ours.optimizer.iterations == int(theirs.inner_optimizer._iterations)
    config = {"inner_optimizer": {name: inner}, **own}
    ledger.note("optimizer", "loss_scale_optimizer", ledger.describe({**inner, **own}), compared.gap, config=config)
