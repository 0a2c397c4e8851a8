"""Models inside layers: custom cells of `rnn`, and shared models in `time_distributed`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from pydantic import InstanceOf

from kerascli.foundation.errors import Path
from kerascli.language.component import Invalid
from kerascli.layers.base import BaseLayer
from kerascli.layers.nesting import HoldsLayers
from kerascli.layers.recurrent.base import SequenceSettings
from kerascli.layers.wrappers.time_distributed import TimeDistributed
from kerascli.model.ir.nodes import Entry, Node, Shared, flat
from kerascli.parts.base import Initializer
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


class SharedModelLayer(HoldsLayers):
    """Layer inside a wrapper (`time_distributed: tower`) that stands for a shared model (`tower`)."""

    takes_integers = True

    shared: InstanceOf[Shared]
    """Shared model that the layer stands for."""
    layers: tuple[InstanceOf[BaseLayer], ...]
    """All layers of the shared model."""

    @property
    def component_name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shared.name

    def dump(self) -> str:
        return self.shared.name

    def result_count(self) -> int:
        return len(self.shared.outputs)


def wrapped(node: Node) -> Shared | None:
    """Return the shared model that a `time_distributed` node wraps; None for any other node."""
    inner = node.layer.layer if isinstance(node.layer, TimeDistributed) else None
    return inner.shared if isinstance(inner, SharedModelLayer) else None


def with_shared(cls: type[BaseLayer], settings: Any, shared_by_name: Mapping[str, Shared | None]) -> Any:
    """Return a layer's arguments (`settings`), those of `time_distributed` with a SharedModelLayer in place of a shared
    model's name.

    `cls` is the layer's class. Without such a name, the arguments are returned unchanged. Raises Invalid if
    `time_distributed` cannot wrap what is shared.
    """
    named, at = (settings.get("layer"), ("layer",)) if isinstance(settings, dict) else (settings, ())
    if not issubclass(cls, TimeDistributed) or not isinstance(named, str):
        return settings
    if (shared := shared_by_name.get(named)) is None:
        return settings
    _check(shared, at)
    return {**settings, "layer": layer_of(shared)} if isinstance(settings, dict) else layer_of(shared)


def layer_of(shared: Shared) -> SharedModelLayer:
    """Return a layer that stands for a shared model inside a wrapper such as `time_distributed`."""
    return SharedModelLayer(shared=shared, layers=tuple(node.layer for node in flat(shared.entries)))


def _check(shared: Shared, path: Path) -> None:
    """Raise Invalid, at `path`, if a shared layer or model cannot be called on single time steps."""
    if shared.layer is not None:
        hint = f"make it a model: shared: {{{shared.name}: {{layers: [...]}}}}"
        raise Invalid(f"'{shared.name}' is a shared layer; time_distributed takes shared models", path, hint=hint)
    if len(shared.inputs) != 1:
        text = f"'{shared.name}' takes {len(shared.inputs)} inputs; time_distributed can wrap models of one input"
        raise Invalid(text, path)
    logging = next((node for node in flat(shared.entries) if node.layer.logs), None)
    if logging is not None:
        text = f"'{shared.name}' logs '{logging.name}', which is not defined for single time steps"
        raise Invalid(text, path, hint="move it outside the shared model, over all steps")
