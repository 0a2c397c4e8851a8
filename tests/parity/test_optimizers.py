"""Optimizers: twenty steps give Keras's weights, for all arguments."""

import inspect
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

from kerascli.optimizers.base import OPTIMIZERS, Optimizer
from kerascli.parts.base import Constraint
from tests.parity import ledger
from tests.support.optimizer_harness import SHAPES, Ours, first_weights, gradients_of

pytestmark = [
    pytest.mark.usefixtures("keras_makes_float64"),
    # Keras's Nadam reads a variable in a way that numpy 2 warns of
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


class UnitColumns(Constraint):
    """Keras's UnitNorm over the first axis, which would be wrong in any other layout."""

    def __call__(self, weight: Tensor) -> Tensor:
        return weight / (1e-7 + weight.square().sum(0, keepdim=True).sqrt())


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
    ("AdamW", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-2}),
    ("Nadam", {}),
    ("Adamax", {}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Lion", {}),
    ("Lamb", {}),
    ("Ftrl", {}),
    ("Ftrl", {"initial_accumulator_value": 0.5}),
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
    ("RMSprop", {"momentum": 0.9}),
    ("Adam", {"loss_scale_factor": 64.0, "clipnorm": 0.4}),
    ("AdamW", {"amsgrad": True, "use_ema": True, "ema_overwrite_frequency": 4}),
    ("AdamW", {"weight_decay": 0.3, "global_clipnorm": 0.5, "gradient_accumulation_steps": 4}),
    ("Adafactor", {}),
    ("Adafactor", {"learning_rate": 0.9, "relative_step": False, "clip_threshold": 0.5}),
    ("Adafactor", {"beta_2_decay": -0.5, "epsilon_1": 1e-3, "epsilon_2": 0.1}),
    ("Adafactor", {"weight_decay": 0.1, "clipnorm": 0.5, "use_ema": True}),
    ("Adafactor", {"gradient_accumulation_steps": 3, "global_clipnorm": 1.0}),
    ("Muon", {}),
    ("Muon", {"exclude_embeddings": False}),
    ("Muon", {"exclude_layers": ["^a/"], "adam_lr_ratio": 0.3, "adam_weight_decay": 0.2}),
    ("Muon", {"nesterov": False, "momentum": 0.8, "ns_steps": 3, "rms_rate": None, "weight_decay": None}),
    ("Muon", {"muon_a": 3.0, "muon_b": -3.0, "muon_c": 1.0, "adam_beta_1": 0.8, "adam_beta_2": 0.9, "epsilon": 1e-3}),
    ("Muon", {"clipvalue": 0.5, "use_ema": True, "ema_momentum": 0.9, "gradient_accumulation_steps": 2}),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3, "warmup_steps": 7}),
    ("ScheduleFreeAdamW", {"weight_decay": 0.1, "clipnorm": 0.5}),
    ("ScheduleFreeAdamW", {"gradient_accumulation_steps": 3, "warmup_steps": 4, "use_ema": True}),
    ("Nadam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("Adamax", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-2, "clipvalue": 0.5}),
    ("Adagrad", {"epsilon": 1e-2, "weight_decay": 0.1, "global_clipnorm": 2.0}),
    ("Adadelta", {"rho": 0.8, "epsilon": 1e-3, "use_ema": True, "ema_momentum": 0.5}),
    ("Lion", {"beta_1": 0.7, "beta_2": 0.9, "weight_decay": 0.1}),
    ("Lamb", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1, "clipnorm": 1.0}),
]

RULES = [cls for cls in OPTIMIZERS if issubclass(cls, Optimizer)]
"""Optimizers with an update rule, all but the wrapper `loss_scale_optimizer`."""

EVERYWHERE: list[dict[str, Any]] = [
    {"weight_decay": 0.1, "clipnorm": 0.7, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    {"clipvalue": 0.4, "gradient_accumulation_steps": 3, "loss_scale_factor": 32.0},
    {"global_clipnorm": 1.5, "use_ema": True, "gradient_accumulation_steps": 2, "weight_decay": 0.05},
]
"""Arguments that every optimizer has."""


class ScheduleFreeAdamW(keras.optimizers.ScheduleFreeAdamW):
    """Keras's optimizer as on JAX and TensorFlow; on torch it changes a momentum in place before its use."""

    def assign_sub(self, variable: Any, value: Any) -> None:
        variable._value = variable.value.detach() - value


def keras_optimizer(name: str, arguments: dict[str, Any]) -> Any:
    return (ScheduleFreeAdamW if name == "ScheduleFreeAdamW" else getattr(keras.optimizers, name))(**arguments)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_twenty_steps_give_keras_s_weights(name: str, arguments: dict[str, Any]) -> None:
    arguments = {"learning_rate": 0.05, **arguments}
    gap = compare(Ours({name: arguments}), keras_optimizer(name, arguments))
    ledger.note("optimizer", OPTIMIZERS.get(name).component_name, ledger.describe(arguments), gap, config=arguments)


@pytest.mark.parametrize("arguments", EVERYWHERE, ids=["each", "accumulated", "together"])
@pytest.mark.parametrize("cls", RULES, ids=lambda cls: cls.component_name)
def test_what_all_optimizers_share_is_keras_s_in_each(cls: type[Optimizer], arguments: dict[str, Any]) -> None:
    arguments = {"learning_rate": 0.05, **arguments}
    gap = compare(Ours({cls.component_name: arguments}), keras_optimizer(cls.__name__, arguments))
    ledger.note("optimizer", cls.component_name, ledger.describe(arguments), gap, config=arguments)


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


def compare(ours: Ours, theirs: Any, *, constraint: Any = None) -> float:
    """Return the largest difference of any weight after each of 20 steps and at the end."""
    compared = ledger.Comparison()
    variables = [
        keras.Variable(value, dtype="float64", name=n.replace("/", "_")) for n, value in first_weights().items()
    ]
    for variable, name in zip(variables, SHAPES, strict=True):
        variable._path = name  # what Muon goes by
    variables[0].constraint = constraint

    def all_are_the_same() -> None:
        for got, want in zip(ours.weights(), variables, strict=True):
            compared.same(torch.from_numpy(got), want.value.detach())

    for step in range(20):
        now = [numbers(v) for v in variables]
        ours.step(gradients_of(ours.weights(), step))
        theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients_of(now, step)], variables)
        all_are_the_same()
    ours.optimizer.finish()
    theirs.finalize_variable_values(variables)
    all_are_the_same()
    return compared.gap


def test_defaults_are_keras_s() -> None:
    for cls in RULES:
        parameters = inspect.signature(getattr(keras.optimizers, cls.__name__)).parameters
        ours = cls.model_validate({}).model_dump()
        assert ours.pop("gradient_scale") is None  # which Keras does not have
        assert ours == {name: parameters[name].default for name in ours}
