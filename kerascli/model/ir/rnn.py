"""`rnn` with a described cell: the layer, and what it is built of."""

from collections.abc import Iterator, Sequence
from typing import Literal, Self, TypeVar

import torch
from pydantic import InstanceOf
from torch import Tensor, nn

from kerascli.component import Invalid
from kerascli.errors import Fault, Related
from kerascli.layers.base import BaseLayer, MergeLayer, ShapeMismatch
from kerascli.model.inference.batch_axis import output_faults
from kerascli.model.inference.build import Built, build
from kerascli.model.ir.cells import Cell
from kerascli.model.ir.nodes import Input, Model
from kerascli.model.runtime.loop import Loop
from kerascli.shapes import TensorSpec

T = TypeVar("T")


class DescribedRNN(MergeLayer):
    """Its node is called on the sequences, the constants and the states to start from."""

    component_name = "rnn"
    takes_integers = True
    uses_masks = True
    loops = True

    cell: InstanceOf[Cell]
    layers: tuple[InstanceOf[BaseLayer], ...]
    """All that are in the cell."""
    given: tuple[str, ...] = ()
    """The states that the node's `initial_state` names, in the order of its last inputs."""
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False

    @property
    def mask(self) -> Literal["pass", "stop"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "pass" if self.return_sequences else "stop"

    @property
    def mixes_samples(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(layer.mixes_samples for layer in self.layers)

    def result_count(self) -> int:
        return len(self.cell.outputs) + (len(self.cell.states) if self.return_state else 0)

    def masked_results(self) -> int:
        return len(self.cell.outputs)

    def keeps_states(self) -> bool:
        return self.stateful

    def adds_losses(self) -> bool:
        return any(layer.adds_losses() for layer in self.layers)

    def may_lack_batch(self, index: int) -> bool:
        return index in self.parted(range(len(self.cell.inputs) + len(self.cell.constants)))[1]

    def merge_masks(self, masks: Sequence[Tensor | None], xs: Sequence[Tensor]) -> Tensor | None:
        """As in Keras the first sequence says which steps count."""
        return masks[0]

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        """Raises Invalid for the nodes of the cell."""
        cell = self.cell
        sequences, constants, given = self.parted(xs)
        steps = _steps(sequences)
        _check_given(cell, self.given, given)
        seen = {name: TensorSpec(x.shape[1:], x.dtype) for name, x in zip(cell.inputs, sequences, strict=True)}
        seen |= dict(zip(cell.constants, constants, strict=True))
        inputs = [Input(name, spec, cell.path) for name, spec in seen.items()]
        inputs += [Input(state.name, TensorSpec(state.shape), state.path) for state in cell.states]
        entries = cell.entries if self.trainable else tuple(entry.frozen() for entry in cell.entries)
        built = build(Model(tuple(inputs), entries, ()))
        faults = [*_changed_states(cell, built), *output_faults(cell.outputs, built.model, built.specs, "cell.outputs")]
        if faults:
            raise Invalid(faults)
        with torch.device("meta"):
            module = Loop(self, built)
        module.results = self._results(built, steps)
        return module

    def _results(self, built: Built, steps: int | None) -> tuple[TensorSpec, ...]:
        outputs = tuple(built.specs[name] for name in self.cell.outputs)
        if self.return_sequences:
            outputs = tuple(TensorSpec((steps, *one.shape), one.dtype) for one in outputs)
        states = tuple(TensorSpec(state.shape) for state in self.cell.states) if self.return_state else ()
        return outputs + states

    def of(self, cell: Cell) -> Self:
        """The same around another cell."""
        return self.model_copy(update={"cell": cell, "layers": tuple(node.layer for node in cell.nodes)})

    def parted(self, values: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
        """The node's inputs by what they are: sequences, constants, states to start from."""
        first, second = len(self.cell.inputs), len(self.cell.inputs) + len(self.cell.constants)
        return values[:first], values[first:second], values[second:]


def _steps(sequences: Sequence[TensorSpec]) -> int | None:
    """How many steps sequences have that are read together."""
    for x in sequences:
        if x.rank < 1 or (x.rank < 2 and not x.is_integer):
            raise ShapeMismatch(f"needs sequences (steps, features), got {x}")
    known = {x.shape[0] for x in sequences} - {None}
    if len(known) > 1:
        raise ShapeMismatch(f"needs sequences of one length, got {' and '.join(map(str, sequences))}")
    return next(iter(known), None)


def _check_given(cell: Cell, names: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    states = {state.name: state for state in cell.states}
    for name, spec in zip(names, specs, strict=True):
        if spec.shape != states[name].shape:
            text = f"needs an initial state {TensorSpec(states[name].shape)} for '{name}', got {spec}"
            raise ShapeMismatch(text, argument="initial_state")


def _changed_states(cell: Cell, built: Built) -> Iterator[Fault]:
    """New values that are not what their states are."""
    for state, name in zip(cell.states, cell.next, strict=True):
        spec, wanted = built.specs[name], TensorSpec(state.shape)
        related = (Related(f"state '{state.name}' is declared", state.path),)
        path = (*cell.path, "next", state.name)
        if spec.whole != wanted.whole:
            text = f"state '{state.name}' is {wanted}, its new value '{name}' is {spec}"
            yield Fault(text, path, related=related)
        elif spec.is_integer:
            text = f"state '{state.name}' holds numbers with fractions, its new value '{name}' is {spec.dtype}"
            yield Fault(text, path, hint="cast(..., 'float32') in an expr", related=related)
