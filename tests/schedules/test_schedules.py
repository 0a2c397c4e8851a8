"""Schedules refuse invalid arguments, and read back as written; their values are tested in tests/parity."""

from typing import Any

import pytest

from kerascli.language.component import Invalid
from kerascli.schedules.base import SCHEDULES
from tests.parity.test_schedules import CASES


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
