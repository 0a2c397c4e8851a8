"""Models inside layers: custom cells of `rnn`, and shared layers and models in wrappers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from pydantic import InstanceOf

from kerascli.foundation.errors import Path, show
from kerascli.language.component import Invalid
from kerascli.layers.base import BaseLayer, CallForm
from kerascli.layers.nesting import HoldsLayers
from kerascli.layers.recurrent.base import SequenceSettings
from kerascli.layers.wrappers.time_distributed import TimeDistributed
from kerascli.model.ir.nodes import Entry, Node, Shared, flat
from kerascli.parts.base import Initializer, Regularizer
from kerascli.parts.initializers import Zeros


@dataclass(frozen=True, slots=True)
class CellState:
    """State that a custom cell of an `rnn` carries from step to step, with an initial value common to all samples."""

    name: str
    shape: tuple[int, ...]
    """Shape of the state, without the batch axis."""
    initializer: Initializer = field(default_factory=Zeros)
    trainable: bool = False
    """True if the initial value is trained."""
    path: Path = field(default=(), compare=False)
    """Config path of the state."""

    @property
    def is_weight(self) -> bool:
        """True if the initial value is stored as a weight, to be trained or saved; False only for untrained zeros."""
        return self.trainable or not isinstance(self.initializer, Zeros)


@dataclass(frozen=True, slots=True)
class Cell:
    """Custom cell of an `rnn`: one time step, from inputs, states and constants to outputs and next states.

    Names of nodes are local to the cell.
    """

    inputs: tuple[str, ...]
    """Names of the inputs of a time step, which are slices of the `rnn`'s input sequences."""
    states: tuple[CellState, ...]
    constants: tuple[str, ...]
    """Names of the tensors that are the same at every time step."""
    entries: tuple[Entry, ...]
    """Nodes and calls of shared layers and models that are computed at each time step, in order."""
    next: tuple[str, ...]
    """Names of the nodes that give the next values of the states, in the order of the states."""
    outputs: tuple[str, ...]
    """Names of the nodes that give the outputs of a time step."""
    path: Path = field(default=(), compare=False)
    """Config path of the cell."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        return flat(self.entries)


T = TypeVar("T")


class _CustomCellFields(HoldsLayers):
    """Fields of `CustomCellRNN` (an `rnn` with a custom cell) that a config does not set; a base class has them, so
    that they come first."""

    cell: InstanceOf[Cell]
    layers: tuple[InstanceOf[BaseLayer], ...]
    """All layers of the cell."""
    initial_states: tuple[str, ...] = ()
    """Names of the cell's states whose initial values `initial_state` gives; these values are the node's last inputs,
    in this order."""


class CustomCellRNN(SequenceSettings, _CustomCellFields):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Recurrent layer with a custom cell; its node's inputs are sequences, constants and initial states, in order."""

    component_name = "rnn"
    call_form = "several"
    takes_integers = True
    uses_masks = True

    zero_output_for_mask: bool = False
    """Output zeros at masked time steps; false: repeat the previous output."""

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """Return the names of the fields that a config sets; the others are derived from the cell and the node."""
        return tuple(name for name in cls.model_fields if name not in {"cell", "layers", "initial_states"})

    def result_count(self) -> int:
        return len(self.cell.outputs) + (len(self.cell.states) if self.return_state else 0)

    def masked_results(self) -> int:
        return len(self.cell.outputs)

    def may_lack_batch(self, index: int) -> bool:
        return index in self.split_inputs(range(len(self.cell.inputs) + len(self.cell.constants)))[1]

    def of(self, cell: Cell) -> Self:
        """Return a copy of the layer with `cell` in place of its cell."""
        return self.model_copy(update={"cell": cell, "layers": tuple(node.layer for node in cell.nodes)})

    def split_inputs(self, values: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
        """Split `values`, one for each input of the node, into (those of sequences, constants, initial states)."""
        first, second = len(self.cell.inputs), len(self.cell.inputs) + len(self.cell.constants)
        return values[:first], values[first:second], values[second:]


class SharedPart(HoldsLayers):
    """Layer inside a wrapper (`time_distributed: tower`) that stands for a shared layer or model (`tower`)."""

    shared: InstanceOf[Shared]
    """Shared layer or model that the layer stands for."""
    layers: tuple[InstanceOf[BaseLayer], ...]
    """All layers of the shared model, or the shared layer itself."""

    @property
    def component_name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shared.name

    def dump(self) -> str:
        return self.shared.name

    @property
    def call_form(self) -> CallForm:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "one" if self.shared.layer is None else self.shared.layer.call_form

    @property
    def takes_integers(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shared.layer is None or self.shared.layer.takes_integers

    @property
    def uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shared.layer is not None and self.shared.layer.uses_mask

    def activity_penalty(self) -> Regularizer | None:
        return None if self.shared.layer is None else self.shared.layer.activity_penalty()

    def result_count(self) -> int | None:
        return len(self.shared.outputs) if self.shared.layer is None else self.shared.layer.result_count()


def wrapped(node: Node) -> Shared | None:
    """Return the shared layer or model that a `time_distributed` node wraps; None for any other node."""
    part = node.layer.layer if isinstance(node.layer, TimeDistributed) else None
    return part.shared if isinstance(part, SharedPart) else None


def with_shared(cls: type[BaseLayer], settings: Any, shared_by_name: Mapping[str, Shared | None]) -> Any:
    """Return a wrapper's arguments (`settings`), with a SharedPart in place of a shared layer's or model's name.

    `cls` is the wrapper's class. Without such a name, the arguments are returned unchanged. Raises Invalid if the
    wrapper cannot wrap the shared layer or model.
    """
    named, at = (settings.get("layer"), ("layer",)) if isinstance(settings, dict) else (settings, ())
    if not issubclass(cls, TimeDistributed):
        if "layer" in cls.model_fields and isinstance(named, str) and named in shared_by_name:
            text = f"'{named}' is shared: {cls.component_name} cannot wrap a shared layer or model"
            raise Invalid(text, at, hint="only time_distributed can wrap it")
        return settings
    if isinstance(named, dict) and len(named) == 1:
        name = next(iter(named))
        if name in shared_by_name:
            text = f"'{name}' is shared: a call takes no arguments of the layer, got {show(named[name])}"
            raise Invalid(text, at, hint=f"write layer: {name}")
    if not isinstance(named, str) or (shared := shared_by_name.get(named)) is None:
        return settings
    _check(shared, at)
    return {**settings, "layer": part_of(shared)} if isinstance(settings, dict) else part_of(shared)


def part_of(shared: Shared) -> SharedPart:
    """Return a layer that stands for a shared layer or model inside a wrapper such as `time_distributed`."""
    layers = [node.layer for node in flat(shared.entries)] if shared.layer is None else [shared.layer]
    return SharedPart(shared=shared, layers=tuple(layers))


def _check(shared: Shared, path: Path) -> None:
    """Raise Invalid, at `path`, if a shared layer or model cannot be called on single time steps."""
    if shared.layer is None and len(shared.inputs) != 1:
        text = f"'{shared.name}' takes {len(shared.inputs)} inputs; time_distributed can wrap models of one input"
        raise Invalid(text, path)
    logging = next((node for node in flat(shared.entries) if node.layer.logs), None)
    if logging is not None:
        text = f"'{shared.name}' logs '{logging.name}', which is not defined for single time steps"
        raise Invalid(text, path, hint="move it outside the shared model, over all steps")
