"""Optimizers bound to weights: contracts; their updates are compared with Keras's in tests/parity."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kerascli.compiler.tracing import trace
from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.language.component import Invalid
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.base import OPTIMIZERS, Optimizer
from kerascli.optimizers.rule import Written
from tests.support.optimizer_harness import FINE, SHAPES, Layout, Ours, first_weights_list, gradients_of

EVERYTHING = {
    "learning_rate": 0.05, "amsgrad": True, "use_ema": True, "gradient_accumulation_steps": 3, "global_clipnorm": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_goes_on_from_a_saved_state_to_the_last_bit(dtype: torch.dtype) -> None:
    whole, first, second = (Ours({"adam": EVERYTHING}, dtype=dtype) for _ in range(3))
    for step in range(10):
        whole.step(gradients_of(first_weights_list(), step))
    for step in range(4):
        first.step(gradients_of(first_weights_list(), step))
    saved = deepcopy(first.optimizer.state())
    second.optimizer.load_state_dict(saved)
    for parameter, value in zip(second.parameters, first.parameters, strict=True):
        parameter.data.copy_(value.data)
    for step in range(4, 10):
        second.step(gradients_of(first_weights_list(), step))
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights(), second.weights(), strict=True))
    want, got = deepcopy(whole.optimizer.state()), deepcopy(second.optimizer.state())
    assert want.keys() == got.keys()
    assert all(torch.equal(want[name], got[name]) for name in want)


def test_state_is_named_by_weight_and_laid_out_as_in_keras() -> None:
    ours = Ours("adam")
    ours.step(gradients_of(ours.weights(), 0))
    state = deepcopy(ours.optimizer.state())
    assert state.keys() == {f"adam/{n}/{s}" for n in SHAPES for s in ("momentum", "velocity")} | {
        "iterations",
        "learning_rate",
    }
    gradient = gradients_of(first_weights_list(), 0)[2]
    np.testing.assert_allclose(state["adam/b/kernel/momentum"].numpy(), 0.1 * gradient, rtol=1e-12)


def test_a_state_of_another_optimizer_or_model_is_refused() -> None:
    ours = Ours("adam")
    with pytest.raises(FileRefused, match="does not match"):
        ours.optimizer.load_state_dict(deepcopy(Ours("sgd").optimizer.state()))
    state = deepcopy(ours.optimizer.state())
    state["adam/a/bias/momentum"] = torch.zeros(5, dtype=torch.float64)
    with pytest.raises(FileRefused, match=r"'adam/a/bias/momentum' is torch.float64 \(5,\), expected"):
        ours.optimizer.load_state_dict(state)


@pytest.mark.parametrize("waits", [True, False])  # as on the CPU, as elsewhere
@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_nothing_nor_do_those_after_it(where: str, value: float, waits: bool) -> None:
    ours = Ours({"adam": {"use_ema": True}})
    ours.optimizer.guard.waits = waits
    for step in range(3):
        ours.step(gradients_of(ours.weights(), step))
    weights, state = ours.weights(), deepcopy(ours.optimizer.state())
    assert ours.optimizer.guard.bad_step() is None
    bad = gradients_of(weights, 3)
    if where == "gradient":
        bad[2][0, 1, 2, 3] = value
    ours.step(bad, loss=torch.tensor(value if where == "loss" else 0.0))
    ours.step(gradients_of(weights, 4))
    assert ours.optimizer.guard.bad_step() == 4
    assert ours.optimizer.guard.choose(torch.ones(2), torch.zeros(2)).tolist() == [0, 0]
    assert ours.optimizer.iterations == 3
    assert all(np.array_equal(a, b) for a, b in zip(weights, ours.weights(), strict=True))
    after = deepcopy(ours.optimizer.state())
    assert all(torch.equal(state[name], after[name]) for name in state)


@pytest.mark.parametrize("arguments", [{}, {"clipnorm": 0.5}])
def test_a_weight_without_a_gradient_is_left_alone(arguments: dict[str, Any]) -> None:
    ours = Ours({"adam_w": arguments})
    alone = ours.weights()[1]
    ours.step(gradients_of(ours.weights(), 0))
    after = ours.weights()
    gradients = [torch.ones_like(p) for p in ours.parameters]
    ours.optimizer.apply([gradients[0], None, *gradients[2:]], loss=FINE)
    assert not np.array_equal(alone, after[1])
    assert np.array_equal(after[1], ours.weights()[1])
    assert not np.array_equal(after[2], ours.weights()[2])


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS.names() if name != "loss_scale_optimizer"])
def test_gradients_are_read_and_not_written(name: str) -> None:
    ours = Ours({name: {"weight_decay": 0.1}})
    gradients = [torch.ones_like(p) for p in ours.parameters]
    gradients[1] = torch.ones(1, dtype=torch.float64).expand(4)  # as autograd gives for a sum: one number, four times
    ours.optimizer.apply(gradients, loss=FINE)
    assert all(bool((gradient == 1).all()) for gradient in gradients)


def test_long_vectors_are_updated_in_parts_of_equal_numbers() -> None:
    size = 3 * 2**16 * torch.get_num_threads() + 5
    whole = nn.Parameter(torch.linspace(-1, 1, size))
    few = nn.Parameter(whole.detach()[-40:].clone())
    for parameter in (whole, few):
        optimizer = FlatOptimizer(OPTIMIZERS.parse("rmsprop"), [("w", parameter, Layout())])
        optimizer.apply([parameter.detach() ** 2], loss=FINE)
    torch.testing.assert_close(whole.detach()[-40:], few.detach(), rtol=1e-6, atol=0)
    assert not torch.equal(whole.detach()[:40], torch.linspace(-1, 1, size)[:40])


def test_weights_of_two_dtypes_share_one_clipped_norm() -> None:
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))]
    settings = OPTIMIZERS.parse({"sgd": {"learning_rate": 1.0, "global_clipnorm": 1.0}})
    optimizer = FlatOptimizer(settings, [("a", parameters[0], Layout()), ("b", parameters[1], Layout())])
    optimizer.apply([torch.full((2,), 3.0), torch.full((2,), 4.0, dtype=torch.float64)], loss=FINE)
    norm = (2 * 9 + 2 * 16) ** 0.5
    np.testing.assert_allclose(parameters[0].detach().numpy(), -3 / norm, rtol=1e-6)
    np.testing.assert_allclose(parameters[1].detach().numpy(), -4 / norm, rtol=1e-6)


def test_a_model_of_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="the model has no trainable weight"):
        FlatOptimizer(OPTIMIZERS.parse("sgd"), [])


def test_the_rate_can_be_set_but_not_over_a_schedule() -> None:
    free = Ours({"sgd": 0.5}).optimizer
    free.set_learning_rate(0.25)
    assert free.learning_rate == 0.25
    assert deepcopy(free.state())["learning_rate"].item() == 0.25
    decay = {"inverse_time_decay": {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.7}}
    ruled = Ours({"sgd": {"learning_rate": decay}}).optimizer
    with pytest.raises(ValueError, match=r"follows the schedule 'inverse_time_decay' and cannot be set to 0.2"):
        ruled.set_learning_rate(0.2)


@pytest.mark.parametrize("cls", [cls for cls in OPTIMIZERS if issubclass(cls, Optimizer)])
def test_an_update_at_a_rate_of_0_changes_no_weight_and_later_ones_go_on(cls: type[Optimizer]) -> None:
    rate = {"cosine_decay": {"initial_learning_rate": 0, "decay_steps": 9, "warmup_target": 0.1, "warmup_steps": 2}}
    ours = Ours({cls.component_name: {"learning_rate": rate}})
    before = ours.weights()
    ours.step(gradients_of(first_weights_list(), 0))
    assert all(np.array_equal(a, b) for a, b in zip(before, ours.weights(), strict=True))
    ours.step(gradients_of(first_weights_list(), 1))
    assert all(np.isfinite(each).all() for each in ours.weights())


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"adam": {"clipnorm": 1.0, "clipvalue": 0.5}}, "give 'clipnorm' or 'clipvalue', not both"),
        ({"adam": 0}, "must be greater than 0, got 0"),
        ({"adam_w": {"weight_decay": None}}, "'adam' is adam_w without decay"),
        ({"sgd": {"momentum": 1.5}}, "momentum: must be at most 1, got 1.5"),
        ({"adam": {"learning_rate": {"cosine_decoy": {}}}}, "there is no schedule 'cosine_decoy'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(written: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        OPTIMIZERS.parse(written)


def traced(rule: Written) -> Callable[..., object]:
    """Stand-in for a compiler: the traced operations, without the rule's Python code."""
    return trace(rule.function, [tensor.clone() for tensor in rule.examples])


RULES = [
    "sgd", {"sgd": {"momentum": 0.9, "nesterov": True}}, "rmsprop", {"rmsprop": {"momentum": 0.9, "centered": True}},
    "adagrad", "adadelta", "adamax", "lion",
]  # fmt: skip


@pytest.mark.parametrize("config", RULES, ids=str)
def test_a_compiled_rule_follows_step_and_rate(config: Any) -> None:
    """The learning rate changes between steps, and must not be a constant of the compiled code."""
    ours, plain = Ours(config), Ours(config)
    ours.optimizer.compile(traced)
    (group,) = ours.optimizer._groups
    assert group.rule is not None
    for step in range(5):
        for each in (ours, plain):
            each.optimizer.set_learning_rate(0.1 / (1 + step))
            each.step(gradients_of(each.weights(), step))
    for found, wanted in zip(ours.weights(), plain.weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["adam", "lamb"])
def test_a_rule_of_one_operation_or_of_whole_weights_is_not_compiled(name: str) -> None:
    ours = Ours(name)
    ours.optimizer.compile(traced)
    assert all(group.rule is None for group in ours.optimizer._groups)


def test_a_rule_that_was_compiled_wrongly_is_refused() -> None:
    ours = Ours("rmsprop")

    def wrong(_: Written) -> Callable[..., object]:
        return lambda *flat: flat[0].add_(1e-3)

    with pytest.raises(ValueError, match="other numbers"):
        ours.optimizer.compile(wrong)
    assert all(group.rule is None for group in ours.optimizer._groups)


def test_a_compiled_rule_leaves_a_weight_without_a_gradient_alone() -> None:
    ours, plain = Ours("rmsprop"), Ours("rmsprop")
    ours.optimizer.compile(traced)
    for each in (ours, plain):
        gradients = [torch.ones_like(p) for p in each.parameters]
        each.optimizer.apply([gradients[0], None, *gradients[2:]], loss=FINE)
    for found, wanted in zip(ours.weights(), plain.weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
