"""Schedules give Keras's rates."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from collections.abc import Iterator
from typing import Any

import keras
import pytest
from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

from kerascli.component import Invalid
from kerascli.schedules.base import SCHEDULES

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
    ("CosineDecayRestarts", {"first_decay_steps": 5}),
    ("CosineDecayRestarts", {"first_decay_steps": 5, "t_mul": 1.0, "m_mul": 0.9, "alpha": 0.05}),
    ("CosineDecayRestarts", {"first_decay_steps": 4, "t_mul": 1.5, "m_mul": 0.8}),
]


@pytest.fixture(autouse=True)
def _float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in float64 all through: by itself it promotes 64-bit results to 32 bits, as JAX does."""
    monkeypatch.setitem(BIT64_TO_BIT32_DTYPE, "float64", "float64")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_rate_of_each_step_is_keras_s(name: str, arguments: dict[str, Any]) -> None:
    arguments = {"initial_learning_rate": 0.1, **arguments}
    ours = SCHEDULES.parse({name: arguments})
    theirs = getattr(keras.optimizers.schedules, name)(**arguments)
    for step in range(64):
        assert ours(step) == pytest.approx(float(theirs(step)), abs=1e-12), step


def test_a_piecewise_rate_changes_after_its_boundaries() -> None:
    arguments = {"boundaries": [3, 8], "values": [1.0, 0.5, 0.1]}
    ours = SCHEDULES.parse({"piecewise_constant_decay": arguments})
    theirs = keras.optimizers.schedules.PiecewiseConstantDecay(**arguments)
    assert [ours(step) for step in range(12)] == [float(theirs(step)) for step in range(12)]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"piecewise_constant_decay": {"boundaries": [3], "values": [1.0]}}, "1 boundaries and 1 values"),
        ({"piecewise_constant_decay": {"boundaries": [3, 2], "values": [1.0, 2.0, 3.0]}}, "in rising order"),
        ({"piecewise_constant_decay": {"boundaries": [3], "values": [1.0, 0.0]}}, "greater than 0, got 0.0"),
        ({"cosine_decay": {"initial_learning_rate": 0.1, "decay_steps": 5, "warmup_steps": 3}}, "'warmup_target'"),
        ({"cosine_decay": {"initial_learning_rate": 0.0, "decay_steps": 5}}, "greater than 0 without"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(written: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        SCHEDULES.parse(written)


def test_a_schedule_survives_being_written_and_read() -> None:
    for name, arguments in CASES:
        ours = SCHEDULES.parse({name: {"initial_learning_rate": 0.1, **arguments}})
        assert SCHEDULES.parse(ours.dump()) == ours
