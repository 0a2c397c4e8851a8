"""Base class and registry of learning rate schedules: functions of the number of parameter updates so far."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, TypeVar

from kerascli.component import Component, Registry


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

S = TypeVar("S", bound=type[Schedule])


def schedule(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[S], S]:
    """Return a decorator that registers a class as a learning rate schedule that configs can name."""

    def register(cls: S) -> S:
        SCHEDULES.register(cls, name=name, aliases=aliases)
        return cls

    return register
