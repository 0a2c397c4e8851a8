"""Base classes of recurrent layers, cells and their torch modules: settings, states, masks and outputs."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import Shape, TensorSpec, show_shape
from kerascli.layers.base import BaseLayer, CallArgument, Layer, Outcome, ShapeMismatch, WeightedModule
from kerascli.layers.geometry import broadcast_mask
from kerascli.layers.recurrent.steps import State, mask_of_steps
from kerascli.parts.initializers import Zeros


class SequenceSettings(BaseLayer):
    """Base class of layers that run over the steps of a sequence, with a cell of their own or one from the config."""

    return_sequences: bool = False
    """Return the output of every step, (N, T, units); false: only the last one's, (N, units)."""
    return_state: bool = False
    """Also return the last state, as additional results after the output."""
    go_backwards: bool = False
    """Process the steps from the last to the first; a returned sequence is in that reversed order."""
    stateful: bool = False
    """Start each row from the last state of the same row of the previous batch; see fit.reset_states."""
    unroll: bool = False
    """No effect: the argument is accepted for compatibility with Keras."""

    if TYPE_CHECKING:  # declared by each layer, where Keras has it: last
        zero_output_for_mask: bool

    @property
    def mask(self) -> Literal["pass", "stop"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Treatment of the input's mask: passed on (`pass`) if the layer returns a sequence, else dropped (`stop`)."""
        return "pass" if self.return_sequences else "stop"

    @property
    def loops(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.is_fused

    def keeps_states(self) -> bool:
        return self.stateful


class Recurrent(SequenceSettings, Layer):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Base class of recurrent layers, whose module (a `SequenceModule`) runs over the steps of a sequence."""

    uses_mask = True
    state_count: ClassVar[int] = 1
    """Number of tensors in the recurrent state."""
    call_arguments = {  # noqa: RUF012
        "initial_state": CallArgument(
            "tensors", "initial states, in the order in which they are returned; default: zeros"
        ),
    }

    def result_count(self) -> int:
        return 1 + self.state_count if self.return_state else 1

    @abstractmethod
    def build(self, x: TensorSpec) -> "SequenceModule": ...


class Cell(Layer):
    """Base class of cells, which compute one time step of a recurrent layer; a cell returns output and new states."""

    state_count: ClassVar[int] = 1
    """Number of tensors in the recurrent state."""
    call_arguments = {"states": CallArgument("tensors", "states before the step; default: zeros")}  # noqa: RUF012

    def result_count(self) -> int:
        return 1 + self.state_count

    @abstractmethod
    def build(self, x: TensorSpec) -> "StepModule":
        """Return the cell's torch module for a time step of the shape of `x`, which has no time axis."""


class Recurrence(nn.Module):
    """Base class of recurrent modules, which map sequences and initial states to outputs and final states."""

    output_index = 0
    """Index, in the tuple of state tensors, of the state that is also the output of a time step."""

    @abstractmethod
    def state_shapes(self, step: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shapes of the state tensors for an input with time steps of shape `step`, without batch axis."""

    def output_shape(self, step: TensorSpec) -> tuple[int, ...]:
        """Return the shape of one step's output without the batch axis, for an input `step` whose sizes are known."""
        return self.state_shapes(tuple(size for size in step.shape if size is not None))[self.output_index]

    @abstractmethod
    def run(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        """Map sequences (N, T, *), a state and a mask (N, T) to outputs (N, T, *) and the last state."""

    def initial_states(self, x: Tensor, states: Sequence[Tensor] | None, word: str = "initial state") -> State:
        """Return the initial states: those given, or zeros if None; raises ShapeMismatch for wrong shapes."""
        shapes: list[tuple[int, ...]] = [(x.shape[0], *shape) for shape in self.state_shapes(tuple(x.shape[2:]))]
        if states is None:
            return tuple(x.new_zeros(shape) for shape in shapes)
        if (received := [tuple(state.shape) for state in states]) != shapes:
            expected = _shown(list(dict.fromkeys(shapes)) if len(set(shapes)) == 1 else shapes)
            count = {1: f"one {word}", 2: f"two {word}s"}.get(len(shapes), f"{len(shapes)} {word}s")
            raise ShapeMismatch(f"needs {count} of shape {expected}, got {_shown(received)}")
        return tuple(state.to(x.dtype) for state in states)


def _shown(shapes: Sequence[Shape]) -> str:
    return ", ".join(show_shape((None, *shape[1:])) for shape in shapes)


class StepModule(Recurrence):
    """Base class of torch modules of cells that are called as graph nodes of their own, one time step at a time."""

    def forward(
        self, x: Tensor, states: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, ...]:  # (N, *) -> (N, units) and the states
        steps = x.unsqueeze(1)
        outputs, state = self.run(steps, self.initial_states(steps, states, "state"), None)
        return outputs[:, 0], *state


class StatefulModule(WeightedModule):
    """Base class of modules of recurrent layers that can carry their state over from one batch to the next."""

    @property
    def stateful(self) -> bool:
        """True if the layer's settings ask to carry states over from batch to batch."""
        return self.settings.stateful

    @abstractmethod
    def keep_states(self, rows: int, step: tuple[int, ...]) -> None:
        """Declare weights that hold the states of `rows` sequences between batches; `step` is a time step's shape."""


class SequenceModule(Recurrence, StatefulModule):
    """Torch module of a recurrent layer: it handles direction, mask, and states that can last over batches for a
    `Recurrence`."""

    settings: Recurrent
    kept: tuple[str, ...] = ()
    """Names of the states that are carried over from batch to batch."""

    def keep_states(self, rows: int, step: tuple[int, ...]) -> None:
        shapes = self.state_shapes(step)
        self.kept = tuple(f"state_{number}" for number in range(len(shapes)))
        for name, shape in zip(self.kept, shapes, strict=True):
            self.add_weight(name, (rows, *shape), initializer=Zeros(), trainable=False, is_state=True)

    def step_mask(self, mask: Tensor, x: Tensor) -> Tensor:
        """Return an input's mask as a mask of time steps (N, T); in conv_lstm layers also of positions (N, T, *)."""
        return mask_of_steps(mask, x)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, initial_state: Sequence[Tensor] | None = None
    ) -> Tensor | tuple[Tensor, ...] | Outcome:  # (N, T, *) -> (N, units), or (N, T, units)
        settings = self.settings
        mask = None if mask is None else self.step_mask(mask, x)
        if settings.go_backwards:
            x = x.flip(1)
            mask = None if mask is None else mask.flip(1)
        kept = [getattr(self, name) for name in self.kept]
        infers = x.is_meta and not torch.is_grad_enabled()  # shapes alone; with gradients memory is estimated
        state = self.initial_states(x, initial_state if initial_state is not None or x.is_meta else kept or None)
        if infers:  # shape inference: on the meta device torch would decompose its kernels, step by step
            outputs = x.new_empty(*x.shape[:2], *state[self.output_index].shape[1:])
        elif x.is_meta:
            outputs, state = self._at_once(x, state, mask)
        else:
            outputs, state = self.run(x, state, mask)
        if mask is not None and settings.zero_output_for_mask:
            outputs = outputs.masked_fill(~broadcast_mask(mask, outputs), 0)
        if not settings.return_sequences:  # the last one is in the state, unless there is a mask or nothing was run
            outputs = state[self.output_index] if mask is None and not infers else outputs[:, -1]
        value = (outputs, *state) if settings.return_state else outputs
        if not kept or x.is_meta:
            return value
        return Outcome(value, updates={name: one.detach() for name, one in zip(self.kept, state, strict=True)})

    def _at_once(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        """Run all steps as rows of one step, which saves about as many bytes for the backward pass, of wrong values."""
        rows, steps = x.shape[:2]
        states = [one.repeat_interleave(steps, 0) for one in state]
        outputs, ends = self.run(
            x.reshape(rows * steps, 1, *x.shape[2:]),
            tuple(states),
            mask if mask is None else mask.reshape(rows * steps, 1, *mask.shape[2:]),
        )
        return outputs.reshape(rows, steps, *outputs.shape[2:]), tuple(one[::steps] for one in ends)
