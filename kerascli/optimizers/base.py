"""Base classes and registry of optimizers: update rules over flat vectors, and the arguments that all share."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from kerascli.foundation.errors import show
from kerascli.foundation.shapes import NonNegativeFloat, OpenFraction, PositiveFloat, PositiveInt
from kerascli.language.component import Component, Registry
from kerascli.schedules.base import SCHEDULES, Schedule


def _rate(value: Any) -> Any:
    """Parse a learning rate of a config, a number or a schedule; error messages mention only the form that the config
    uses."""
    if isinstance(value, (str, dict, Schedule)):
        if isinstance(value, str) and re.fullmatch(r"[-+.\deE]+", value):
            raise ValueError(f"expected a number or a schedule, got the text '{value}'; remove the quotes")
        return SCHEDULES.parse(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number or a schedule, got {show(value)}")
    if value <= 0:
        raise ValueError(f"must be greater than 0, got {value}")
    return float(value)


LearningRate = Annotated[
    float | Annotated[Schedule, SCHEDULES.field()],
    BeforeValidator(_rate),
    Field(description="Learning rate: a number above 0, or a schedule over the training steps."),
]
Epsilon = Annotated[
    NonNegativeFloat, Field(description="Small constant added to a denominator for numerical stability.")
]


_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


class UpdateContext(NamedTuple):
    """Number of a parameter update (`step`, from 1) and its learning rate, as passed to the optimizer's update rule.

    While a rule is compiled, both are scalar tensors.
    """

    step: int
    learning_rate: float


State = Mapping[str, Tensor]
"""Type of an optimizer's states of a weight, by name (`momentum` ...)."""


class BaseOptimizer(Component):
    """Base class of optimizers: those with an update rule of their own, and wrappers around such an optimizer."""

    refused: ClassVar[Mapping[str, str]] = {
        "name": "an optimizer is identified by its class, one of several by its update"
    }

    @property
    @abstractmethod
    def rule(self) -> "Optimizer":
        """Optimizer that has the update rule: the optimizer inside a wrapper, or else this optimizer itself."""


class Optimizer(BaseOptimizer):
    """Base class of optimizers with an update rule; each subclass declares its own default of `learning_rate`."""

    learning_rate: LearningRate
    weight_decay: NonNegativeFloat | None = None
    """Decoupled weight decay: each update first multiplies the weights by 1 - weight_decay * learning_rate."""
    clipnorm: PositiveFloat | None = None
    """Maximum L2 norm of each weight's gradient, scaled down to it; excludes clipvalue and global_clipnorm."""
    clipvalue: PositiveFloat | None = None
    """Maximum absolute value of gradient elements, clipped to it; excludes clipnorm and global_clipnorm."""
    global_clipnorm: PositiveFloat | None = None
    """Maximum joint L2 norm of all gradients, scaled down to it; excludes clipnorm and clipvalue."""
    gradient_scale: Literal["mean_abs", "rms"] | None = None
    """Division of each weight's gradient, before clipping: by its mean absolute value, or root mean square (`rms`)."""
    use_ema: bool = False
    """Maintain an exponential moving average (EMA) of the weights, which replaces them at the end of training."""
    ema_momentum: OpenFraction = 0.99
    """Momentum of the EMA: average = ema_momentum * average + (1 - ema_momentum) * weight."""
    ema_overwrite_frequency: PositiveInt | None = None
    """Interval, in updates, at which the weights are replaced by their EMA; null: only at the end of training."""
    loss_scale_factor: PositiveFloat | None = None
    """Constant that the loss is multiplied by and the gradients are divided by, against underflow of gradients."""
    gradient_accumulation_steps: Annotated[int, Field(ge=2)] | None = None
    """Number of batches whose gradients are averaged for one update; null: an update after every batch."""

    elementwise: ClassVar[bool] = True
    """True: `update` can be applied to all weights as one flat vector; False: it needs weights in Keras's layout."""
    one_pass: ClassVar[bool] = False
    """True: `update` is already a single fused torch operation, which compiling would not speed up."""

    @model_validator(mode="after")
    def _one_way_to_clip(self) -> Self:
        settings = [name for name in _CLIPPING if getattr(self, name) is not None]
        if len(settings) > 1:
            raise ValueError(f"gradients are clipped in one way: give '{settings[0]}' or '{settings[1]}', not both")
        return self

    @property
    def rule(self) -> "Optimizer":
        return self

    @property
    def changes_gradients(self) -> bool:
        """True if gradients are changed (clipped, unscaled, accumulated) before the update rule gets them."""
        own = (*_CLIPPING, "gradient_scale", "loss_scale_factor", "gradient_accumulation_steps")
        return any(getattr(self, name) is not None for name in own)

    @classmethod
    def first_argument(cls) -> str | None:
        return "learning_rate"

    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Return the names of the state vectors that the optimizer keeps for each weight (`momentum`, `velocity`)."""

    def slot_start(self, slot: str) -> float | None:
        """Return the number that fills the state vector `slot` at first; None: it starts as a copy of the weights."""
        return 0.0

    def slot_shape(self, slot: str, name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the shape of the state `slot` of the weight `name` (`dense/kernel`); None: it lacks that state.

        `shape` is the weight's shape. Only a rule that is not `elementwise` may return another one.
        """
        return shape

    def decay(self, state: State) -> float | None:
        """Return the decoupled weight decay of a weight, which may depend on its state vectors; None: no decay."""
        return self.weight_decay

    @abstractmethod
    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        """Apply one update to `weight` and `state` in place, but leave `gradient`, which weights can share, unchanged.

        The caller does clipping, weight decay and averaging. `state` may contain more than the optimizer's slots.
        """


class AdamLike(Optimizer):
    """Base class of optimizers that estimate first and second moments of gradients, by default in two state vectors."""

    learning_rate: LearningRate = 0.001
    beta_1: OpenFraction = 0.9
    """Exponential decay rate of the first-moment (mean gradient) estimate."""
    beta_2: OpenFraction = 0.999
    """Exponential decay rate of the second-moment (mean squared gradient) estimate."""
    epsilon: Epsilon = 1e-7

    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity")


OPTIMIZERS: Registry[BaseOptimizer] = Registry("optimizer", BaseOptimizer, ("kerascli.optimizers",), ("optimizer_",))


optimizer = OPTIMIZERS.named
"""Decorator that registers an optimizer class; one with an update rule declares `learning_rate` first."""
