"""Base class and registry of learning rate schedules: functions of the number of parameter updates so far."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

from kerascli.language.component import Component, Registry


class Schedule(Component):
    """Base class of learning rate schedules: functions from the number of an update (from 0) to a learning rate.

    The result is a Python float, computed without torch.
    """

    refused: ClassVar[Mapping[str, str]] = {"name": "a schedule is identified by its class"}

    @abstractmethod
    def __call__(self, step: int) -> float: ...


SCHEDULES: Registry[Schedule] = Registry(
    "schedule", Schedule, ("kerascli.schedules",), ("learning_rate_schedule_", "schedule_")
)

ScheduleField = Annotated[Schedule, SCHEDULES.field()]


schedule = SCHEDULES.named
"""Decorator that registers a class as a learning rate schedule that configs can name."""
