"""Modules that run models inside layers: the custom cell of an `rnn`, and shared models in `time_distributed`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat

import torch
from torch import Tensor, nn

from kerascli.layers.base import Outcome, ShapeMismatch
from kerascli.layers.geometry import broadcast_mask
from kerascli.layers.recurrent.base import StatefulModule
from kerascli.layers.recurrent.steps import State, loop, mask_of_steps
from kerascli.model.ir.inner_models import CellState, CustomCellRNN
from kerascli.model.runtime.built import Built, CompositeModule, InnerNode, Submodule, inner_nodes, submodules_below
from kerascli.model.runtime.executor import GraphOutcome, PreparedNode, Tensors, run_nodes
from kerascli.model.runtime.graph import Graph
from kerascli.parts.initializers import Zeros


class Start(StatefulModule):
    """Module that returns the initial states of an `rnn`'s custom cell: a tensor (N, *) for each state.

    The states are inputs of the node, states kept from the previous batch, weights, or zeros.
    """

    def __init__(self, layer: CustomCellRNN) -> None:
        super().__init__(layer)
        self.layer = layer
        for state in layer.cell.states:
            if state.is_weight:
                trained = state.trainable and layer.trainable
                self.add_weight(_first(state), state.shape, initializer=state.initializer, trainable=trained)

    def keep_states(self, rows: int, step: tuple[int, ...]) -> None:
        for state in self.layer.cell.states:
            if state.is_weight:
                hint = f"remove initializer and trainable of '{state.name}', or stateful"
                raise ShapeMismatch(f"cannot be stateful: state '{state.name}' is not initialized to zeros", hint=hint)
            shape = (rows, *state.shape)
            self.add_weight(_kept(state.name), shape, initializer=Zeros(), trainable=False, is_state=True)

    def forward(self, x: Tensor, initial: Mapping[str, Tensor]) -> State:  # (N, T, *) -> each (N, *)
        states = []
        for state in self.layer.cell.states:
            if state.name in initial:
                states.append(initial[state.name])
            elif self.stateful:
                states.append(getattr(self, _kept(state.name)))
            elif state.is_weight:
                states.append(getattr(self, _first(state)).expand(x.shape[0], *state.shape))
            else:
                like = x if x.is_floating_point() else torch.empty((), device=x.device)
                states.append(like.new_zeros((x.shape[0], *state.shape)))
        return tuple(states)


class Loop(CompositeModule):
    """Module of an `rnn` with a custom cell, which it runs over the time steps of its input sequences.

    Nodes that depend on no state, and whose layers act on each row separately, are computed for all steps at once.
    """

    def __init__(self, layer: CustomCellRNN, built: Built) -> None:
        super().__init__()
        self.layer = layer
        self.cell = cell = layer.cell
        self.start = Start(layer)
        self.model, self.specs = built.model, dict(built.specs)
        self.nodes = nn.ModuleList(built.modules[node.name] for node in built.model.nodes)
        self._places = self.places()
        steps = [PreparedNode(node, built, again=True) for node in built.model.nodes]
        self._once, steps = _split_by_dependency(steps, cell.constants)
        self._ahead, self._steps = _split_by_dependency(steps, cell.inputs)
        used = {*cell.outputs, *cell.next, *(name for step in self._steps for name in step.node.used_names())}
        moved = (name for step in self._ahead for name in step.node.outputs)
        self._frames = tuple(name for name in (*cell.inputs, *moved) if name in used)
        self._states = tuple(state.name for state in cell.states)

    def parts(self) -> Iterator[Submodule]:
        yield Submodule("start", "", self.start, self.layer.trainable)
        yield from submodules_below("nodes", self.model.nodes, self.nodes)

    def inner_nodes(self) -> Iterator[InnerNode]:
        yield from (InnerNode(node, self.specs) for node in self.model.nodes)
        yield from inner_nodes(self.nodes)

    def forward(self, *xs: Tensor, masks: Sequence[Tensor | None] | None = None) -> Outcome:
        # sequences (N, T, *), constants and states (N, *) -> outputs (N, *) or (N, T, *), and states (N, *)
        layer = self.layer
        sequences, constants, initial = layer.split_inputs(xs)
        of_sequences, of_constants, _ = layer.split_inputs(masks or [None] * len(xs))
        if len({x.shape[1] for x in sequences}) > 1:
            raise ShapeMismatch("needs sequences of one length")
        count, infers = sequences[0].shape[1], sequences[0].is_meta and not torch.is_grad_enabled()
        frames, mask = self._in_order(sequences, of_sequences[0], infers=infers)
        values = dict(zip(self.cell.constants, constants, strict=True))
        seen = zip(self.cell.constants, of_constants, strict=True)
        outcome = GraphOutcome({}, {name: one for name, one in seen if one is not None})
        run_nodes(self._once, values, outcome)
        states = self.start(frames[0], dict(zip(layer.initial_states, initial, strict=True)))
        losses: Tensors = {}

        def step(frames: tuple[Tensor, ...], states: State) -> tuple[State, State]:
            tensors = values | dict(zip((*self._frames, *self._states), (*frames, *states), strict=True))
            run_nodes(self._steps, tensors, outcome)
            for name, loss in outcome.losses.items():
                losses[name] = losses[name] + loss if name in losses else loss
            outcome.losses = {}
            return tuple(tensors[name] for name in self.cell.outputs), tuple(tensors[name] for name in self.cell.next)

        every, states = loop(step, self._by_step(frames, outcome), states, mask)
        outputs = self._outputs(every, mask, count if infers else None)
        updates = {self._places[name]: value for name, value in outcome.updates.items()}
        if layer.stateful:
            updates |= {f"start/{_kept(n)}": one.detach() for n, one in zip(self._states, states, strict=True)}
        results = [*outputs, *states] if layer.return_state else outputs
        return Outcome(tuple(results) if len(results) > 1 else results[0], losses, updates=updates)

    def _in_order(
        self, frames: Sequence[Tensor], mask: Tensor | None, *, infers: bool
    ) -> tuple[Sequence[Tensor], Tensor | None]:
        """Return the sequences and their mask (N, T) in the order of the loop over the steps."""
        if infers:  # shape inference: one step is enough; an estimate of memory runs all steps
            frames, mask = [x[:, :1] for x in frames], None
        mask = None if mask is None else mask_of_steps(mask, frames[0])
        if self.layer.go_backwards:
            frames, mask = [x.flip(1) for x in frames], None if mask is None else mask.flip(1)
        return frames, mask

    def _outputs(self, every: list[State], mask: Tensor | None, steps: int | None) -> Sequence[Tensor]:
        """Return the layer's outputs from those of `every` step of the loop; `steps` is their number if the loop has
        run only one of them, for shape inference."""
        outputs: Sequence[Tensor] = every[-1] if every else ()
        if self.layer.return_sequences:
            outputs = [torch.stack(one, dim=1) for one in zip(*every, strict=True)]
            if steps is not None:
                outputs = [one.expand(one.shape[0], steps, *one.shape[2:]) for one in outputs]
        if mask is not None and self.layer.zero_output_for_mask:
            seen = mask if self.layer.return_sequences else mask[:, -1]
            outputs = [one.masked_fill(~broadcast_mask(seen, one), 0) for one in outputs]
        return outputs

    def _by_step(self, sequences: Sequence[Tensor], outcome: GraphOutcome) -> Iterator[tuple[Tensor, ...]]:
        """Yield, for each time step, the cell's inputs and the tensors that depend on these inputs alone (not on
        states)."""
        size = sequences[0].shape[:2]
        values = dict(zip(self.cell.inputs, sequences, strict=True))
        if self._ahead:
            rows = {name: x.flatten(0, 1) for name, x in values.items()}
            run_nodes(self._ahead, rows, outcome)
            values |= {name: x.unflatten(0, size) for name, x in rows.items() if name not in values}
        if not self._frames:
            return repeat((), size[1])
        # unbind, because the gradient of a slice has the size of the whole sequence, for each step
        return zip(*(values[name].unbind(1) for name in self._frames), strict=True)


class SharedModelModule(CompositeModule):
    """Module that runs a shared model with one input as the layer of a wrapper, such as `time_distributed`."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.graph = Graph(built)
        self._places = self.places()

    def forward(self, x: Tensor) -> Outcome:  # (N, *) -> (N, *)
        outcome = self.graph({self.graph.model.inputs[0].name: x})
        first, *rest = outcome.outputs.values()
        updates = {self._places[name]: value for name, value in outcome.updates.items()}
        return Outcome((first, *rest) if rest else first, losses=outcome.losses, updates=updates)

    def parts(self) -> Iterator[Submodule]:
        yield from submodules_below("graph/nodes", self.graph.model.nodes, self.graph.nodes)

    def inner_nodes(self) -> Iterator[InnerNode]:
        yield from (InnerNode(node, self.graph.specs) for node in self.graph.model.nodes)
        yield from inner_nodes(self.graph.nodes)


def _first(state: CellState) -> str:
    """Return the name of the weight that holds the initial value of a custom cell's state."""
    return f"initial_{state.name}"


def _kept(state: str) -> str:
    """Return the name of the weight that stores a custom cell's state between batches."""
    return f"state_{state}"


def _split_by_dependency(
    steps: Sequence[PreparedNode], names: Iterable[str]
) -> tuple[list[PreparedNode], list[PreparedNode]]:
    """Split a cell's nodes into those that depend only on the tensors `names` and treat each row separately, and all
    others."""
    names, out, left = set(names), [], []
    for step in steps:
        layer = step.node.layer
        if layer.row_independent and not layer.adds_losses() and names.issuperset(step.node.used_names()):
            out.append(step)
            names.update(step.node.outputs)
        else:
            left.append(step)
    return out, left
