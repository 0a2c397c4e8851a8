"""What an optimizer is: a rule that updates flat vectors, the settings that all of them share."""

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from kerascli.component import Component, Registry
from kerascli.errors import show
from kerascli.schedules.base import SCHEDULES, Schedule
from kerascli.shapes import NonNegativeFloat, OpenFraction, PositiveFloat, PositiveInt


def _rate(value: Any) -> Any:
    """A number stays, a name or a mapping is a schedule: settled here, so that errors speak of one of them."""
    if isinstance(value, (str, dict, Schedule)):
        if isinstance(value, str) and re.fullmatch(r"[-+.\deE]+", value):
            raise ValueError(f"expected a number or a schedule, got the text '{value}'; remove the quotes")
        return SCHEDULES.validate(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number or a schedule, got {show(value)}")
    if value <= 0:
        raise ValueError(f"must be greater than 0, got {value}")
    return float(value)


LearningRate = Annotated[
    float | Annotated[Schedule, SCHEDULES.field()],
    BeforeValidator(_rate),
    Field(description="How far an update goes: a number, or a schedule over the updates."),
]
Epsilon = Annotated[NonNegativeFloat, Field(description="A small number that keeps a division from going wrong.")]
Beta1 = Annotated[OpenFraction, Field(description="How slowly the mean of the gradients forgets.")]
Beta2 = Annotated[OpenFraction, Field(description="How slowly the mean of their squares forgets.")]


@dataclass(frozen=True, slots=True)
class Moment:
    """Where an update stands: `step` counts updates from 1, `learning_rate` is this update's.

    While a rule is compiled, tensors of one number stand for both.
    """

    step: int
    learning_rate: float


class BaseOptimizer(Component):
    """An update rule, or what goes around one."""

    refused: ClassVar[Mapping[str, str]] = {"name": "an optimizer goes by its class, one of several by its update"}

    @property
    @abstractmethod
    def rule(self) -> "Optimizer":
        """What makes the updates."""


class Optimizer(BaseOptimizer):
    """An update rule; each declares its own default of `learning_rate`."""

    learning_rate: LearningRate
    weight_decay: NonNegativeFloat | None = None
    """The part of each weight that every update takes away."""
    clipnorm: PositiveFloat | None = None
    """Scale down each weight's gradient that is longer than this."""
    clipvalue: PositiveFloat | None = None
    """Cut each number of a gradient to this, up and down."""
    global_clipnorm: PositiveFloat | None = None
    """Scale all gradients down together when together they are longer than this."""
    use_ema: bool = False
    """Keep a moving average of the weights."""
    ema_momentum: OpenFraction = 0.99
    """How slowly the averaged weights forget."""
    ema_overwrite_frequency: PositiveInt | None = None
    """Every how many updates the averages replace the weights; null: at the end."""
    loss_scale_factor: PositiveFloat | None = None
    """What the loss is multiplied by, and the gradients divided by."""
    gradient_accumulation_steps: Annotated[int, Field(ge=2)] | None = None
    """Add up the gradients of this many batches for one update."""

    elementwise: ClassVar[bool] = True
    """`update` may be given all weights as one flat vector; otherwise it gets each weight in Keras's layout."""
    one_pass: ClassVar[bool] = False
    """`update` is one operation of torch's already, which compiling would not make quicker."""

    @model_validator(mode="after")
    def _one_way_to_clip(self) -> Self:
        given = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"gradients are clipped in one way: give '{given[0]}' or '{given[1]}', not both")
        return self

    @property
    def rule(self) -> "Optimizer":
        return self

    @classmethod
    def first_argument(cls) -> str | None:
        return "learning_rate"

    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the state vectors that go with each weight (`momentum`, `velocity`)."""

    def slot_start(self, slot: str) -> float | None:
        """What a state vector is filled with; None: the weights."""
        return 0.0

    def slot_shape(self, slot: str, name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape of a state of the weight `name` (`dense/kernel`), whose own is `shape`; None: it has no such state.

        Only a rule that is not `elementwise` may say another than `shape`.
        """
        return shape

    def decay(self, state: Mapping[str, Tensor]) -> float | None:
        """`weight_decay` of the weight that has this state."""
        return self.weight_decay

    @abstractmethod
    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        """Change `weight` and `state` in place, not `gradient`: it may be shared.

        Clipping, decay and averaging are done around this. `state` may hold more than the optimizer's slots.
        """


class AdamLike(Optimizer):
    """A rule by running means of the gradients and of their squares; by default these are its states."""

    learning_rate: LearningRate = 0.001
    beta_1: Beta1 = 0.9
    beta_2: Beta2 = 0.999
    epsilon: Epsilon = 1e-7

    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity")


OPTIMIZERS: Registry[BaseOptimizer] = Registry("optimizer", BaseOptimizer, ("kerascli.optimizers",), ("optimizer_",))

O = TypeVar("O", bound=type[BaseOptimizer])


def optimizer(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[O], O]:
    """Register an optimizer; a rule declares `learning_rate` first."""

    def register(cls: O) -> O:
        OPTIMIZERS.register(cls, name=name, aliases=aliases)
        return cls

    return register
