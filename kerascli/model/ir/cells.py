"""A described cell: a small model of one step."""

from dataclasses import dataclass, field

from kerascli.errors import Path
from kerascli.model.ir.nodes import Entry, Node, flat
from kerascli.parts.base import Initializer
from kerascli.parts.initializers import Zeros


@dataclass(frozen=True, slots=True)
class CellState:
    """A tensor that goes from step to step, and what it is before the first one: the same for every sample."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer = field(default_factory=Zeros)
    trainable: bool = False
    path: Path = field(default=(), compare=False)

    @property
    def is_weight(self) -> bool:
        """Whether what it starts from is kept with the model's weights; zeros need not be."""
        return self.trainable or not isinstance(self.initializer, Zeros)


@dataclass(frozen=True, slots=True)
class Cell:
    """One step: from frames, states and constants to outputs and new states; names are the cell's own."""

    inputs: tuple[str, ...]
    states: tuple[CellState, ...]
    constants: tuple[str, ...]
    entries: tuple[Entry, ...]
    next: tuple[str, ...]
    """The new value of each state."""
    outputs: tuple[str, ...]
    path: Path = field(default=(), compare=False)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return flat(self.entries)
