"""Schedules: learning rates equal Keras's."""

from typing import Any

import keras
import pytest

from kerascli.schedules.base import SCHEDULES
from tests.parity import ledger

pytestmark = pytest.mark.usefixtures("keras_makes_float64")

CASES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"decay_steps": 7, "decay_rate": 0.9}),
    ("ExponentialDecay", {"decay_steps": 7, "decay_rate": 0.9, "staircase": True}),
    ("InverseTimeDecay", {"decay_steps": 3, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"decay_steps": 3, "decay_rate": 0.5, "staircase": True}),
    ("PolynomialDecay", {"decay_steps": 9}),
    ("PolynomialDecay", {"decay_steps": 9, "end_learning_rate": 0.02, "power": 2.5, "cycle": True}),
    ("CosineDecay", {"decay_steps": 11}),
    ("CosineDecay", {"decay_steps": 11, "alpha": 0.1, "warmup_target": 0.5, "warmup_steps": 6}),
    ("CosineDecay", {"decay_steps": 11, "warmup_target": 0.5}),
    ("CosineDecay", {"decay_steps": 200, "alpha": 0.5}),
    ("CosineDecay", {"decay_steps": 7, "warmup_target": 0.3, "warmup_steps": 1, "initial_learning_rate": 0.0}),
    ("ExponentialDecay", {"decay_steps": 3, "decay_rate": 1.1}),
    ("ExponentialDecay", {"decay_steps": 1, "decay_rate": 0.5, "initial_learning_rate": 2.0}),
    ("InverseTimeDecay", {"decay_steps": 1, "decay_rate": 0.1}),
    ("InverseTimeDecay", {"decay_steps": 20, "decay_rate": 3.0, "staircase": True}),
    ("PolynomialDecay", {"decay_steps": 30, "power": 0.5, "end_learning_rate": 0.0}),
    ("PolynomialDecay", {"decay_steps": 5, "cycle": True}),
    ("CosineDecayRestarts", {"first_decay_steps": 5}),
    ("CosineDecayRestarts", {"first_decay_steps": 3, "t_mul": 3.0, "alpha": 0.2, "m_mul": 1.5}),
    ("CosineDecayRestarts", {"first_decay_steps": 5, "t_mul": 1.0, "m_mul": 0.9, "alpha": 0.05}),
    ("CosineDecayRestarts", {"first_decay_steps": 4, "t_mul": 1.5, "m_mul": 0.8}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_rate_of_each_step_is_keras_s(name: str, arguments: dict[str, Any]) -> None:
    arguments = {"initial_learning_rate": 0.1, **arguments}
    ours = SCHEDULES.parse({name: arguments})
    theirs = getattr(keras.optimizers.schedules, name)(**arguments)
    gaps = [abs(ours(step) - float(theirs(step))) for step in range(64)]
    assert max(gaps) < 1e-12
    ledger.note("schedule", ours.component_name, ledger.describe(arguments), max(gaps), config=arguments)


@pytest.mark.parametrize(
    ("boundaries", "values"),
    [([3, 8], [1.0, 0.5, 0.1]), ([0], [1.0, 0.5]), ([1, 2, 3], [0.1, 0.2, 0.3, 0.4]), ([5, 11], [1.0, 1e-3, 2.0])],
)
def test_a_piecewise_rate_changes_after_its_boundaries(boundaries: list[int], values: list[float]) -> None:
    written = {"boundaries": boundaries, "values": values}
    ours = SCHEDULES.parse({"piecewise_constant_decay": written})
    theirs = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
    assert [ours(step) for step in range(14)] == [float(theirs(step)) for step in range(14)]
    ledger.note("schedule", "piecewise_constant_decay", f"boundaries={boundaries}", 0.0, config=written)
