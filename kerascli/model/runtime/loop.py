"""Run the custom cell of an `rnn` layer over the time steps of its input sequences."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat

import torch
from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.layers.base import Outcome, ShapeMismatch
from kerascli.layers.geometry import broadcast_mask
from kerascli.layers.recurrent.base import StatefulModule
from kerascli.layers.recurrent.masks import mask_of_steps
from kerascli.model.ir.cells import CellState
from kerascli.model.ir.rnn import CustomCellRNN
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.executor import GraphOutcome, PreparedNode, prepare_node, run_node
from kerascli.model.runtime.submodules import CompositeModule, InnerNode, Submodule, inner_nodes, submodules_below
from kerascli.parts.initializers import Zeros


class Start(StatefulModule):
    """Module that returns the initial states of an `rnn`'s custom cell, one for each state.

    They are inputs of the node, states kept from the previous batch, weights, or zeros.
    """

    def __init__(self, layer: CustomCellRNN) -> None:
        super().__init__()
        self.layer = layer
        for state in layer.cell.states:
            if state.is_weight:
                trained = state.trainable and layer.trainable
                self.add_weight(_first(state), state.shape, initializer=state.initializer, trainable=trained)

    @property
    def stateful(self) -> bool:
        return self.layer.stateful

    def keep_states(self, rows: int, step: tuple[int, ...]) -> None:
        for state in self.layer.cell.states:
            if state.is_weight:
                hint = f"remove initializer and trainable of '{state.name}', or stateful"
                raise ShapeMismatch(f"cannot be stateful: state '{state.name}' is not initialized to zeros", hint=hint)
            shape = (rows, *state.shape)
            self.add_weight(_kept(state.name), shape, initializer=Zeros(), trainable=False, is_state=True)

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> list[Tensor]:  # (N, T, *) -> each (N, *)
        found = []
        for state in self.layer.cell.states:
            if state.name in given:
                found.append(given[state.name])
            elif self.stateful:
                found.append(getattr(self, _kept(state.name)))
            elif state.is_weight:
                found.append(getattr(self, _first(state)).expand(x.shape[0], *state.shape))
            else:
                like = x if x.is_floating_point() else torch.empty((), device=x.device)
                found.append(like.new_zeros((x.shape[0], *state.shape)))
        return found


class Loop(CompositeModule):
    """Module of an rnn with a custom cell, which it runs over the time steps of its input sequences.

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
        steps = [prepare_node(node, built, again=True) for node in built.model.nodes]
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
        sequences, constants, given = self.layer.split_inputs(range(len(xs)))
        masks = masks or [None] * len(xs)
        frames, mask = [xs[i] for i in sequences], masks[0]
        if len({x.shape[1] for x in frames}) > 1:
            raise ShapeMismatch("needs sequences of one length")
        count, infers = frames[0].shape[1], frames[0].is_meta and not torch.is_grad_enabled()
        if infers:  # shape inference: one step is enough; an estimate of memory runs all steps
            frames, mask = [x[:, :1] for x in frames], None
        mask = None if mask is None else mask_of_steps(mask, frames[0])
        if self.layer.go_backwards:
            frames, mask = [x.flip(1) for x in frames], None if mask is None else mask.flip(1)
        handed = {name: xs[i] for name, i in zip(self.cell.constants, constants, strict=True)}
        seen = {name: masks[i] for name, i in zip(self.cell.constants, constants, strict=True)}
        outcome = GraphOutcome({}, {name: one for name, one in seen.items() if one is not None})
        self._call(self._once, handed, outcome)
        states = self.start(frames[0], {name: xs[i] for name, i in zip(self.layer.given, given, strict=True)})
        losses: dict[str, Tensor] = {}
        outputs, states = self._loop(self._by_step(frames, outcome), handed, states, mask, outcome, losses)
        if infers and self.layer.return_sequences:
            outputs = [one.expand(one.shape[0], count, *one.shape[2:]) for one in outputs]
        updates = {self._places[name]: value for name, value in outcome.updates.items()}
        if self.layer.stateful:
            updates |= {f"start/{_kept(n)}": one.detach() for n, one in zip(self._states, states, strict=True)}
        results = outputs + states if self.layer.return_state else outputs
        return Outcome(tuple(results) if len(results) > 1 else results[0], losses, updates=updates)

    def _by_step(self, sequences: Sequence[Tensor], outcome: GraphOutcome) -> Iterator[tuple[Tensor, ...]]:
        """Yield, for each time step, the cell's inputs and the tensors that depend on these inputs alone (not on
        states)."""
        size = sequences[0].shape[:2]
        values = dict(zip(self.cell.inputs, sequences, strict=True))
        if self._ahead:
            rows = {name: x.flatten(0, 1) for name, x in values.items()}
            self._call(self._ahead, rows, outcome)
            values |= {name: x.unflatten(0, size) for name, x in rows.items() if name not in values}
        if not self._frames:
            return repeat((), size[1])
        # unbind, because the gradient of a slice has the size of the whole sequence, for each step
        return zip(*(values[name].unbind(1) for name in self._frames), strict=True)

    def _loop(
        self,
        steps: Iterable[tuple[Tensor, ...]],
        handed: dict[str, Tensor],
        states: list[Tensor],
        mask: Tensor | None,
        outcome: GraphOutcome,
        losses: dict[str, Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return a cell's outputs and last states, after running it over all time steps.

        A masked step keeps the states and repeats the previous outputs.
        """
        outputs: list[Tensor] = []
        every: list[list[Tensor]] = []
        for frames, seen in zip(steps, repeat(None) if mask is None else mask.unbind(1), strict=False):
            values = {
                **handed,
                **dict(zip(self._frames, frames, strict=True)),
                **dict(zip(self._states, states, strict=True)),
            }
            self._call(self._steps, values, outcome)
            new, after = [values[name] for name in self.cell.outputs], [values[name] for name in self.cell.next]
            outputs = new if seen is None else _where(seen, new, outputs or [torch.zeros_like(x) for x in new])
            states = after if seen is None else _where(seen, after, states)
            every.append(outputs)
            for name, loss in outcome.losses.items():
                losses[name] = losses[name] + loss if name in losses else loss
            outcome.losses = {}
        if self.layer.return_sequences:
            outputs = [torch.stack(one, dim=1) for one in zip(*every, strict=True)]
        if mask is not None and self.layer.zero_output_for_mask:
            seen = mask if self.layer.return_sequences else mask[:, -1]
            outputs = [one.masked_fill(~broadcast_mask(seen, one), 0) for one in outputs]
        return outputs, states

    @staticmethod
    def _call(steps: Sequence[PreparedNode], values: dict[str, Tensor], outcome: GraphOutcome) -> None:
        stack = draws.node_stack()
        for step in steps:
            stack.append(step.node.name)
            run_node(step, values, outcome.masks, outcome)
            stack.pop()


def _first(state: CellState) -> str:
    """Return the name of the weight that holds the initial value of a custom cell's state."""
    return f"initial_{state.name}"


def _kept(state: str) -> str:
    """Return the name of the weight that keeps a custom cell's state between batches."""
    return f"state_{state}"


def _split_by_dependency(
    steps: Sequence[PreparedNode], known: Iterable[str]
) -> tuple[list[PreparedNode], list[PreparedNode]]:
    """Split a cell's nodes into those that depend only on the tensors `known` and treat each row separately, and all
    others."""
    known, out, left = set(known), [], []
    for step in steps:
        layer = step.node.layer
        if layer.row_independent and not layer.adds_losses() and known.issuperset(step.node.used_names()):
            out.append(step)
            known.update(step.node.outputs)
        else:
            left.append(step)
    return out, left


def _where(seen: Tensor, new: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
    return [torch.where(broadcast_mask(seen, a), a, b) for a, b in zip(new, old, strict=True)]
