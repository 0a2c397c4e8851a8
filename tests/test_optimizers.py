"""Optimizers give Keras's numbers, and a bound optimizer keeps its promises."""

import inspect
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from kerascli.component import Invalid
from kerascli.errors import ConfigError, FileRefused
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.base import OPTIMIZERS
from kerascli.parts.base import Constraint

# Keras's Nadam reads a variable in a way that numpy 2 warns of
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FINE = torch.zeros(())
SHAPES = {"a/kernel": (3, 4), "a/bias": (4,), "b/kernel": (2, 2, 3, 5), "b/scale": ()}
AXES: dict[str, tuple[int, ...]] = {"a/kernel": (1, 0), "b/kernel": (3, 2, 0, 1)}


@dataclass(frozen=True)
class Layout:
    """What layers' WeightSpec is to an optimizer."""

    axes: tuple[int, ...] | None = None
    constraint: Constraint | None = None

    def to_torch(self, weight: Tensor) -> Tensor:
        return weight if self.axes is None else weight.permute(self.axes)

    def to_keras(self, tensor: Tensor) -> Tensor:
        return tensor if self.axes is None else tensor.permute(list(np.argsort(self.axes)))


class UnitColumns(Constraint):
    """Keras's UnitNorm over the first axis: wrong in any other layout."""

    def __call__(self, weight: Tensor) -> Tensor:
        return weight / (1e-7 + weight.square().sum(0, keepdim=True).sqrt())


class Ours:
    """Weights of SHAPES with their optimizer, seen in Keras's layout."""

    def __init__(self, written: Any, *, dtype: torch.dtype = torch.float64, constraint: Constraint | None = None):
        self.layouts = {name: Layout(AXES.get(name), constraint if name == "a/kernel" else None) for name in SHAPES}
        self.parameters = [
            nn.Parameter(self.layouts[n].to_torch(torch.from_numpy(value)).to(dtype).contiguous())
            for n, value in first_weights().items()
        ]
        named = list(zip(SHAPES, self.parameters, self.layouts.values(), strict=True))
        self.optimizer = FlatOptimizer(OPTIMIZERS.parse(written), named)

    def step(self, gradients: list[np.ndarray], loss: Tensor = FINE) -> None:
        layouts = self.layouts.values()
        self.optimizer.apply(
            [
                layout.to_torch(torch.from_numpy(g)).to(p)
                for layout, g, p in zip(layouts, gradients, self.parameters, strict=True)
            ],
            loss=loss,
        )

    def weights(self) -> list[np.ndarray]:
        pairs = zip(self.layouts.values(), self.parameters, strict=True)
        return [layout.to_keras(p.detach()).numpy().copy() for layout, p in pairs]


def first_weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {name: np.asarray(random.normal(size=shape)) for name, shape in SHAPES.items()}


def gradients_of(weights: list[np.ndarray], step: int) -> list[np.ndarray]:
    """Those of a noisy bowl: they depend on the weights, so that errors add up."""
    random = np.random.default_rng(100 + step)
    return [np.asarray(0.5 * w + random.normal(size=w.shape)) for w in weights]


@pytest.fixture(autouse=True)
def _float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in float64 all through: by itself it promotes 64-bit results to 32 bits, as JAX does."""
    monkeypatch.setitem(BIT64_TO_BIT32_DTYPE, "float64", "float64")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"rho": 0.8, "momentum": 0.5, "centered": True, "epsilon": 1e-3}),
    ("Adam", {}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-2, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1}),
    ("Nadam", {}),
    ("Adamax", {}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Lion", {}),
    ("Lamb", {}),
    ("Ftrl", {}),
    (
        "Ftrl",
        {"l1_regularization_strength": 0.1, "l2_regularization_strength": 0.01, "learning_rate_power": -0.7}
        | {"l2_shrinkage_regularization_strength": 0.1, "beta": 0.2},
    ),
    ("SGD", {"clipnorm": 0.7}),
    ("Adam", {"clipvalue": 0.3}),
    ("RMSprop", {"global_clipnorm": 1.5}),
    ("SGD", {"weight_decay": 0.2, "momentum": 0.9}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.9}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3}),
    ("Adam", {"gradient_accumulation_steps": 3, "clipnorm": 0.5, "weight_decay": 0.1}),
    ("Nadam", {"gradient_accumulation_steps": 2}),
    ("SGD", {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2}),
    ("SGD", {"loss_scale_factor": 128.0}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_twenty_steps_give_keras_s_weights(name: str, arguments: dict[str, Any]) -> None:
    arguments = {"learning_rate": 0.05, **arguments}
    compare(Ours({name: arguments}), getattr(keras.optimizers, name)(**arguments))


def test_a_schedule_is_asked_before_the_step_counts() -> None:
    decay = {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.7}
    schedule: Any = keras.optimizers.schedules.ExponentialDecay(**decay)
    theirs = keras.optimizers.Adam(schedule, gradient_accumulation_steps=2)
    ours = Ours({"adam": {"learning_rate": {"exponential_decay": decay}, "gradient_accumulation_steps": 2}})
    compare(ours, theirs)
    assert ours.optimizer.learning_rate == pytest.approx(float(theirs.learning_rate), abs=1e-12)


def test_a_constraint_acts_in_keras_s_layout() -> None:
    ours = Ours({"adam": {"learning_rate": 0.05}}, constraint=UnitColumns())
    compare(ours, keras.optimizers.Adam(0.05), constraint=keras.constraints.UnitNorm(axis=0))


def numbers(variable: Any) -> np.ndarray:
    return variable.value.detach().numpy().copy()


def compare(ours: Ours, theirs: Any, *, constraint: Any = None) -> None:
    variables = [
        keras.Variable(value, dtype="float64", name=n.replace("/", "_")) for n, value in first_weights().items()
    ]
    variables[0].constraint = constraint
    for step in range(20):
        now = [numbers(v) for v in variables]
        ours.step(gradients_of(ours.weights(), step))
        theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients_of(now, step)], variables)
        for name, got, want in zip(SHAPES, ours.weights(), variables, strict=True):
            np.testing.assert_allclose(got, numbers(want), rtol=1e-9, atol=1e-9, err_msg=f"{name} {step}")
    ours.optimizer.finish()
    theirs.finalize_variable_values(variables)
    for got, want in zip(ours.weights(), variables, strict=True):
        np.testing.assert_allclose(got, numbers(want), rtol=1e-9, atol=1e-9)


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
    saved = first.optimizer.state_dict()
    second.optimizer.load_state_dict(saved)
    for parameter, value in zip(second.parameters, first.parameters, strict=True):
        parameter.data.copy_(value.data)
    for step in range(4, 10):
        second.step(gradients_of(first_weights_list(), step))
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights(), second.weights(), strict=True))
    want, got = whole.optimizer.state_dict(), second.optimizer.state_dict()
    assert want.keys() == got.keys()
    assert all(torch.equal(want[name], got[name]) for name in want)


def first_weights_list() -> list[np.ndarray]:
    return list(first_weights().values())


def test_state_is_named_by_weight_and_laid_out_as_in_keras() -> None:
    ours = Ours("adam")
    ours.step(gradients_of(ours.weights(), 0))
    state = ours.optimizer.state_dict()
    assert state.keys() == {f"adam/{n}/{s}" for n in SHAPES for s in ("momentum", "velocity")} | {
        "iterations",
        "learning_rate",
    }
    gradient = gradients_of(first_weights_list(), 0)[2]
    np.testing.assert_allclose(state["adam/b/kernel/momentum"].numpy(), 0.1 * gradient, rtol=1e-12)
    assert state["adam/b/kernel/momentum"].is_contiguous()


def test_a_state_of_another_optimizer_or_model_is_refused() -> None:
    ours = Ours("adam")
    with pytest.raises(FileRefused, match="does not match"):
        ours.optimizer.load_state_dict(Ours("sgd").optimizer.state_dict())
    state = ours.optimizer.state_dict()
    state["adam/a/bias/momentum"] = torch.zeros(5, dtype=torch.float64)
    with pytest.raises(FileRefused, match=r"'adam/a/bias/momentum' is torch.float64 \(5,\), expected"):
        ours.optimizer.load_state_dict(state)


@pytest.mark.parametrize("waits", [True, False])  # as on the CPU, as elsewhere
@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_nothing_nor_do_those_after_it(where: str, value: float, waits: bool) -> None:
    ours = Ours({"adam": {"use_ema": True}})
    ours.optimizer._guard.waits = waits
    for step in range(3):
        ours.step(gradients_of(ours.weights(), step))
    weights, state = ours.weights(), ours.optimizer.state_dict()
    assert ours.optimizer.bad_step() is None
    bad = gradients_of(weights, 3)
    if where == "gradient":
        bad[2][0, 1, 2, 3] = value
    ours.step(bad, loss=torch.tensor(value if where == "loss" else 0.0))
    ours.step(gradients_of(weights, 4))
    assert ours.optimizer.bad_step() == 4
    assert ours.optimizer.keep_if_good(torch.ones(2), torch.zeros(2)).tolist() == [0, 0]
    assert ours.optimizer.iterations == 3
    assert all(np.array_equal(a, b) for a, b in zip(weights, ours.weights(), strict=True))
    after = ours.optimizer.state_dict()
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


@pytest.mark.parametrize("name", OPTIMIZERS.names())
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
    assert free.state_dict()["learning_rate"].item() == 0.25
    decay = {"inverse_time_decay": {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.7}}
    ruled = Ours({"sgd": {"learning_rate": decay}}).optimizer
    with pytest.raises(ValueError, match=r"follows the schedule 'inverse_time_decay' and cannot be set to 0.2"):
        ruled.set_learning_rate(0.2)


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


def test_defaults_are_keras_s() -> None:
    for cls in OPTIMIZERS:
        parameters = inspect.signature(getattr(keras.optimizers, cls.__name__)).parameters
        assert cls.model_validate({}).model_dump() == {f: parameters[f].default for f in cls.model_fields}


def traced(function: Callable[..., None], examples: Sequence[Tensor]) -> Callable[..., object]:
    """Stands for a compiler: the operations alone, without the rule's Python."""
    return make_fx(function)(*(tensor.clone() for tensor in examples))


RULES = [
    "sgd", {"sgd": {"momentum": 0.9, "nesterov": True}}, "rmsprop", {"rmsprop": {"momentum": 0.9, "centered": True}},
    "adagrad", "adadelta", "adamax", "lion",
]  # fmt: skip


@pytest.mark.parametrize("config", RULES, ids=str)
def test_a_compiled_rule_follows_step_and_rate(config: Any) -> None:
    """The rate changes from step to step, and is nevertheless no constant of what was compiled."""
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

    def wrong(function: Callable[..., None], _: Sequence[Tensor]) -> Callable[..., object]:
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
