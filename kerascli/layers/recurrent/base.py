"""What recurrent layers and cells share: their settings' manners, states, masks, and what is done with the outputs."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from kerascli.layers.base import BaseLayer, CallArgument, Layer, Outcome, ShapeMismatch, WeightedModule
from kerascli.layers.geometry import broadcast_mask
from kerascli.layers.recurrent.masks import mask_of_steps
from kerascli.layers.recurrent.steps import State
from kerascli.parts.initializers import Zeros
from kerascli.shapes import Shape, TensorSpec, show_shape


class Looping(BaseLayer):
    """What goes through the steps of a sequence, by a cell of its own or by one that the config describes."""

    loops = True

    return_sequences: bool = False
    """Return the output of every step, not the last one's."""
    return_state: bool = False
    """Return the last state too, as further results."""
    go_backwards: bool = False
    """Read the steps from the last to the first."""
    stateful: bool = False
    """A batch goes on where the batch before it has ended, row by row; see fit.reset_states."""
    unroll: bool = False
    """Accepted as in Keras; it changes nothing."""

    if TYPE_CHECKING:  # declared by each layer, where Keras has it: last
        zero_output_for_mask: bool

    @property
    def mask(self) -> Literal["pass", "stop"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of a whole sequence the mask goes on; one output a sample has none."""
        return "pass" if self.return_sequences else "stop"

    def keeps_states(self) -> bool:
        return self.stateful


class Recurrent(Looping, Layer):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A layer that goes through the steps of a sequence."""

    uses_mask = True
    state_count: ClassVar[int] = 1
    """How many tensors its state has."""
    call_arguments = {  # noqa: RUF012
        "initial_state": CallArgument("tensors", "the states to start from, in the order in which they are returned"),
    }

    def result_count(self) -> int:
        return 1 + self.state_count if self.return_state else 1

    @abstractmethod
    def build(self, x: TensorSpec) -> "SequenceModule": ...


class Cell(Layer):
    """One step of a recurrence. As a node of its own it returns its output and the states after the step."""

    state_count: ClassVar[int] = 1
    """How many tensors its state has."""
    call_arguments = {  # noqa: RUF012
        "states": CallArgument("tensors", "the states before the step; none: zeros"),
    }

    def result_count(self) -> int:
        return 1 + self.state_count

    @abstractmethod
    def build(self, x: TensorSpec) -> "StepModule":
        """The module for steps like `x`, which has no time axis."""


class Recurrence(nn.Module):
    """What turns the steps of sequences into outputs and a last state: of a layer, or of a cell."""

    output_at = 0
    """Which tensor of the state is the output."""

    @abstractmethod
    def state_shapes(self, step: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shapes of its states for steps of a shape, all without the batch axis."""

    def output_shape(self, step: TensorSpec) -> tuple[int, ...]:
        """The shape of an output for steps that the recurrence was built for: their sizes are known."""
        return self.state_shapes(tuple(size for size in step.shape if size is not None))[self.output_at]

    @abstractmethod
    def run(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        """Sequences (N, T, *), the state before them, mask (N, T) -> outputs (N, T, *) and the state after them."""

    def start(self, x: Tensor, given: Sequence[Tensor] | None, word: str = "initial state") -> State:
        """The given states, checked, or zeros."""
        shapes: list[tuple[int, ...]] = [(x.shape[0], *shape) for shape in self.state_shapes(tuple(x.shape[2:]))]
        if given is None:
            return tuple(x.new_zeros(shape) for shape in shapes)
        if (received := [tuple(state.shape) for state in given]) != shapes:
            wanted = _shown(list(dict.fromkeys(shapes)) if len(set(shapes)) == 1 else shapes)
            count = {1: f"one {word}", 2: f"two {word}s"}.get(len(shapes), f"{len(shapes)} {word}s")
            raise ShapeMismatch(f"needs {count} of shape {wanted}, got {_shown(received)}")
        return tuple(state.to(x.dtype) for state in given)


def _shown(shapes: Sequence[Shape]) -> str:
    return ", ".join(show_shape((None, *shape[1:])) for shape in shapes)


class StepModule(Recurrence):
    """A cell, called by itself."""

    def forward(
        self, x: Tensor, states: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, ...]:  # (N, *) -> (N, units) and the states
        steps = x.unsqueeze(1)
        outputs, state = self.run(steps, self.start(steps, states, "state"), None)
        return outputs[:, 0], *state


class StatefulModule(WeightedModule):
    """A module that can go on from batch to batch."""

    @property
    @abstractmethod
    def stateful(self) -> bool:
        """Whether its settings want that."""

    @abstractmethod
    def keep_states(self, rows: int, step: tuple[int, ...]) -> None:
        """Declare the states, of batches of so many rows, for steps of a shape."""


class SequenceModule(Recurrence, StatefulModule):
    """A recurrent layer: a recurrence, and what its settings make of it."""

    settings: Recurrent
    zero_output_for_mask: bool | None = None
    """Masked steps give zeros instead of the output before them; None: as the settings say."""

    kept: tuple[str, ...] = ()
    """The names of the states that go on from batch to batch."""

    @property
    def stateful(self) -> bool:
        return self.settings.stateful

    def keep_states(self, rows: int, step: tuple[int, ...]) -> None:
        shapes = self.state_shapes(step)
        self.kept = tuple(f"state_{number}" for number in range(len(shapes)))
        for name, shape in zip(self.kept, shapes, strict=True):
            self.add_weight(name, (rows, *shape), initializer=Zeros(), trainable=False, is_state=True)

    def used_mask(self, mask: Tensor, x: Tensor) -> Tensor:
        """Return the mask (N, T) of steps; a layer whose state has positions may take a mask of these, too."""
        return mask_of_steps(mask, x)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, initial_state: Sequence[Tensor] | None = None
    ) -> Tensor | tuple[Tensor, ...] | Outcome:  # (N, T, *) -> (N, units), or (N, T, units)
        settings = self.settings
        mask = None if mask is None else self.used_mask(mask, x)
        if settings.go_backwards:
            x = x.flip(1)
            mask = None if mask is None else mask.flip(1)
        kept = [getattr(self, name) for name in self.kept]
        state = self.start(x, initial_state if initial_state is not None or x.is_meta else kept or None)
        if x.is_meta:  # shape inference: there torch would take its kernels apart, one step after the other
            outputs = x.new_empty(*x.shape[:2], *state[self.output_at].shape[1:])
        else:
            outputs, state = self.run(x, state, mask)
        zeros = settings.zero_output_for_mask if self.zero_output_for_mask is None else self.zero_output_for_mask
        if mask is not None and zeros:
            outputs = outputs.masked_fill(~broadcast_mask(mask, outputs), 0)
        if not settings.return_sequences:  # the last one is in the state, but for a mask or where nothing was run
            outputs = state[self.output_at] if mask is None and not x.is_meta else outputs[:, -1]
        value = (outputs, *state) if settings.return_state else outputs
        if not kept or x.is_meta:
            return value
        return Outcome(value, updates={name: one.detach() for name, one in zip(self.kept, state, strict=True)})
