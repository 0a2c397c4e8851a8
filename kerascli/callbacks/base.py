"""What a callback is: it sees an epoch's figures and decides; the recorder carries decisions out."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from kerascli.component import Component, Registry
from kerascli.errors import suggestion, there_are
from kerascli.events import AppendRow, Post, WriteHistograms, WriteSample, WriteScalars
from kerascli.shapes import NonNegativeInt

Verbose = Annotated[NonNegativeInt, Field(description="1: say so when it acts.")]

State = Mapping[str, Any]
"""A callback's memory between epochs: JSON, part of every checkpoint."""


@dataclass(frozen=True, slots=True)
class EpochFacts:
    """What is known when an epoch ends, or so far within it. Epochs count from 1."""

    epoch: int
    epochs: int
    logs: Mapping[str, float]
    learning_rates: Mapping[str, float]
    """By update; an ordinary fit has one, under no name."""
    steps: int
    directions: Mapping[str, Literal["min", "max"]]
    """Which way each logged figure is better; what `mode: auto` goes by."""
    step: int = 0
    """Steps done so far, over all epochs."""
    seconds: float = 0.0
    """What the epoch has taken so far."""

    @property
    def learning_rate(self) -> float:
        """The rate, of several the first one's."""
        return next(iter(self.learning_rates.values()))

    def rates(self, update: str | None) -> dict[str, float]:
        """The rates of one update, or of all."""
        return {name: rate for name, rate in self.learning_rates.items() if update in (None, name)}


@dataclass(frozen=True, slots=True)
class SetLearningRate:
    """The rate from the next update on."""

    value: float
    update: str = ""
    """Which of several; one alone has no name."""


@dataclass(frozen=True, slots=True)
class Stop:
    reason: str


@dataclass(frozen=True, slots=True)
class SaveSlot:
    """Keep the present weights under a name (`best`)."""

    slot: str
    to_disk: bool = False


@dataclass(frozen=True, slots=True)
class RestoreSlot:
    """Put the weights kept under a name back."""

    slot: str


@dataclass(frozen=True, slots=True)
class Say:
    """A line for the person at the terminal."""

    text: str


def rate_columns(rates: Mapping[str, float]) -> dict[str, float]:
    """Learning rates by the names that history has for them."""
    return {f"{name}_learning_rate" if name else "learning_rate": rate for name, rate in rates.items()}


def rates_text(rates: Mapping[str, float], verb: str = "") -> str:
    """`learning rate reduced to 0.001`; of several with their names."""
    return ", ".join(f"{name + ' ' if name else ''}learning rate {verb}{rate:g}" for name, rate in rates.items())


UpdateName = str | None
"""Which update of a `train_step` a callback is for; none: all."""

Decision = (
    SetLearningRate
    | Stop
    | SaveSlot
    | RestoreSlot
    | Say
    | AppendRow
    | WriteScalars
    | WriteHistograms
    | Post
    | WriteSample
)


class Callback(Component):
    """Facts in, decisions out; nothing else is touched."""

    sets_learning_rate: ClassVar[bool] = False
    """Its decisions change the rate: not with an optimizer that follows a schedule."""
    judges_averages: ClassVar[bool] = False
    """Validations see the moving averages of the weights: needs an optimizer with `use_ema`."""

    def begin(self, facts: EpochFacts) -> list[Decision]:
        """Before an epoch (`logs` is the epoch before's)."""
        return []

    def claims(self) -> tuple[str, ...]:
        """What it alone may write, in words: a slot, a file of logs/."""
        return ()

    def watched(self) -> tuple[str, ...]:
        """The figures that must exist (`val_loss`); `validate` checks them."""
        return ()

    def names_figure_in(self, figure: str) -> str:
        """The setting that names a figure that it watches."""
        return "monitor"

    def check(self, names: Collection[str]) -> str | None:
        """Whether all that is watched is among the figures that training logs; if not, what to do about it."""
        for figure in self.watched():
            if figure in names:
                continue
            if figure.removeprefix("val_") in names:
                return f"there is no '{figure}' without validation; add validation_data or validation_split to fit"
            close = suggestion(figure, names) or f"; {there_are(sorted(names))}"
            return f"there is no figure '{figure}' to watch{close}"
        return None

    def start(self) -> State:
        """The state before the first epoch."""
        return {}

    @abstractmethod
    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        """After an epoch and its validation."""

    def batch_period(self) -> int | None:
        """Every how many steps `batch_end` is asked; None: never. Each time waits for the device."""
        return None

    def batch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        """Within an epoch, with its figures so far: what to save, to write or to say; nothing stops or changes here."""
        return [], state

    def train_end(self, state: State) -> list[Decision]:
        """After the last epoch, or after a stop."""
        return []


CALLBACKS: Registry[Callback] = Registry("callback", Callback, ("kerascli.callbacks",), ("callback_",))

T = TypeVar("T", bound=type[Callback])


def callback(*, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[T], T]:
    """Register a callback."""

    def register(cls: T) -> T:
        CALLBACKS.register(cls, name=name, aliases=aliases)
        return cls

    return register
