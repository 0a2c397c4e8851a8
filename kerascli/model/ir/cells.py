"""Custom cells of `rnn`: a small model of one time step."""

from dataclasses import dataclass, field

from kerascli.foundation.errors import Path
from kerascli.model.ir.nodes import Entry, Node, flat
from kerascli.parts.base import Initializer
from kerascli.parts.initializers import Zeros


@dataclass(frozen=True, slots=True)
class CellState:
    """A state that a custom cell carries from step to step; its initial value is the same for every sample."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer = field(default_factory=Zeros)
    trainable: bool = False
    path: Path = field(default=(), compare=False)

    @property
    def is_weight(self) -> bool:
        """True if the state's initial value is stored as a weight; false only for zeros that are not trained."""
        return self.trainable or not isinstance(self.initializer, Zeros)


@dataclass(frozen=True, slots=True)
class Cell:
    """One time step of a custom cell: maps inputs, states and constants to outputs and next states.

    Names of nodes are local to the cell.
    """

    inputs: tuple[str, ...]
    states: tuple[CellState, ...]
    constants: tuple[str, ...]
    entries: tuple[Entry, ...]
    next: tuple[str, ...]
    """Names of the nodes that give the next values of the states, in the order of the states."""
    outputs: tuple[str, ...]
    path: Path = field(default=(), compare=False)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return flat(self.entries)
