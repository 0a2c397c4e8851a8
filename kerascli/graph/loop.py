"""A described cell along the steps of sequences: one graph of one step, run for each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat

import torch
from torch import Tensor, nn

from kerascli import draws
from kerascli.component import Invalid
from kerascli.errors import Fault, Path, Related
from kerascli.graph.cells import Cell, CellState, DescribedRNN
from kerascli.graph.faults import used_here
from kerascli.graph.model import Node
from kerascli.graph.running import GraphOutcome, Step, make_step, run_node
from kerascli.graph.weights import Made, NodesModule
from kerascli.layers.base import Outcome, ShapeMismatch
from kerascli.layers.geometry import broadcast_mask
from kerascli.layers.recurrent.masks import mask_of_steps
from kerascli.parts.initializers import Zeros
from kerascli.shapes import TensorSpec

BuildNodes = Callable[
    [Sequence[Node], dict[str, TensorSpec], Mapping[str, Path], Made],
    tuple[dict[str, nn.Module], list[Fault]],
]
"""(nodes, specs of what they are called on, where that is written, what they are built by) -> modules, faults."""


def build_loop(
    node: Node,
    layer: DescribedRNN,
    specs: Mapping[str, TensorSpec],
    made: Made,
    build_nodes: BuildNodes,
) -> tuple["Loop", tuple[TensorSpec, ...]]:
    """The module of an rnn with a described cell, and its results. Raises ShapeMismatch, or Invalid for the cell."""
    cell = layer.cell
    names, constants, given = layer.parted(node.inputs)
    steps = _steps([specs[name] for name in names])
    _check_given(cell, layer.given, [specs[name] for name in given])
    inner = {
        name: TensorSpec(specs[of].shape[1:], specs[of].dtype) for name, of in zip(cell.inputs, names, strict=True)
    }
    inner |= {name: specs[of] for name, of in zip(cell.constants, constants, strict=True)}
    inner |= {state.name: TensorSpec(state.shape) for state in cell.states}
    places = {**dict.fromkeys(inner, cell.path), **{state.name: state.path for state in cell.states}}
    nodes = cell.nodes if layer.trainable else tuple(map(Node.frozen, cell.nodes))
    modules, faults = build_nodes(nodes, inner, places, made)
    if not faults:
        faults = list(_changed_states(cell, inner, node))
    if faults:
        raise Invalid(faults)
    with torch.device("meta"):
        module = Loop(layer, nodes, modules, inner, node.weights_name)
        if layer.stateful:
            _keep_states(module, made.batch_size)
    outputs = tuple(inner[name] for name in cell.outputs)
    if layer.return_sequences:
        outputs = tuple(TensorSpec((steps, *one.shape), one.dtype) for one in outputs)
    states = tuple(TensorSpec(state.shape) for state in cell.states) if layer.return_state else ()
    return module, outputs + states


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


def _changed_states(cell: Cell, specs: Mapping[str, TensorSpec], node: Node) -> list[Fault]:
    """New values that are not what their states are."""
    faults = []
    for state, name in zip(cell.states, cell.next, strict=True):
        spec = specs[name]
        if spec.shape == state.shape and not spec.is_integer:
            continue
        related = (Related(f"state '{state.name}' is declared", state.path), *used_here(node.uses))
        path = (*cell.path, "next", state.name)
        if spec.shape != state.shape:
            text = f"state '{state.name}' is {TensorSpec(state.shape)}, its new value '{name}' is {spec}"
            faults.append(Fault(text, path, related=related))
        else:
            text = f"state '{state.name}' holds numbers with fractions, its new value '{name}' is {spec.dtype}"
            faults.append(Fault(text, path, hint="cast(..., 'float32') in an expr", related=related))
    return faults


def _keep_states(module: "Loop", rows: int | None) -> None:
    """Go on from batch to batch, of so many rows each."""
    if rows is None:
        raise ShapeMismatch("cannot be stateful: there is no batch size that it could go by")
    for state in module.cell.states:
        if state.is_weight:
            hint = f"take out initializer and trainable of '{state.name}', or stateful"
            raise ShapeMismatch(f"cannot be stateful: '{state.name}' does not start from zeros", hint=hint)
        shape = (rows, *state.shape)
        module.add_weight(_kept(state.name), shape, initializer=Zeros(), trainable=False, is_state=True)


class Loop(NodesModule):
    """What of a step looks at no state is done for all steps at once, where its layer goes row by row."""

    def __init__(
        self,
        layer: DescribedRNN,
        nodes: Sequence[Node],
        modules: Mapping[str, nn.Module],
        specs: Mapping[str, TensorSpec],
        name: str,
    ) -> None:
        super().__init__(modules, [(node.weights_name, node.layer.trainable) for node in nodes])
        self.layer = layer
        self.name = name
        self.cell = cell = layer.cell
        for state in cell.states:
            if state.is_weight:
                trained = state.trainable and layer.trainable
                self.add_weight(_start_of(state), state.shape, initializer=state.initializer, trainable=trained)
        steps = [make_step(node, modules[node.name], specs, again=True) for node in nodes]
        self._once, steps = _taken_out(steps, cell.constants)
        self._ahead, self._steps = _taken_out(steps, cell.inputs)
        used = {*cell.outputs, *cell.next, *(name for step in self._steps for name in step.node.used_names())}
        moved = (name for step in self._ahead for name in step.node.outputs)
        self._frames = tuple(name for name in (*cell.inputs, *moved) if name in used)
        self._states = tuple(state.name for state in cell.states)

    def forward(
        self, *xs: Tensor, masks: Sequence[Tensor | None], updates: Mapping[str, Tensor]
    ) -> Outcome:  # sequences (N, T, *), constants and states (N, *) -> outputs (N, *) or (N, T, *), and states (N, *)
        sequences, constants, given = self.layer.parted(range(len(xs)))
        frames, mask = [xs[i] for i in sequences], masks[0]
        if len({x.shape[1] for x in frames}) > 1:
            raise ShapeMismatch("needs sequences of one length")
        mask = None if mask is None else mask_of_steps(mask, frames[0])
        if self.layer.go_backwards:
            frames, mask = [x.flip(1) for x in frames], None if mask is None else mask.flip(1)
        handed = {name: xs[i] for name, i in zip(self.cell.constants, constants, strict=True)}
        seen = {name: masks[i] for name, i in zip(self.cell.constants, constants, strict=True)}
        outcome = GraphOutcome({}, {name: one for name, one in seen.items() if one is not None}, updates=dict(updates))
        self._call(self._once, handed, outcome)
        states = self._start(frames[0], {name: xs[i] for name, i in zip(self.layer.given, given, strict=True)})
        losses: dict[str, Tensor] = {}
        outputs, states = self._loop(self._by_step(frames, outcome), handed, states, mask, outcome, losses)
        changed = {name: value for name, value in outcome.updates.items() if updates.get(name) is not value}
        if self.layer.stateful:
            changed |= {f"{self.name}/{_kept(n)}": one.detach() for n, one in zip(self._states, states, strict=True)}
        results = outputs + states if self.layer.return_state else outputs
        return Outcome(tuple(results) if len(results) > 1 else results[0], losses, updates=changed)

    def _start(self, x: Tensor, given: Mapping[str, Tensor]) -> list[Tensor]:
        """The states before the first step."""
        found = []
        for state in self.cell.states:
            if state.name in given:
                found.append(given[state.name])
            elif self.layer.stateful:
                found.append(getattr(self, _kept(state.name)))
            elif state.is_weight:
                found.append(getattr(self, _start_of(state)).expand(x.shape[0], *state.shape))
            else:
                like = x if x.is_floating_point() else torch.empty((), device=x.device)
                found.append(like.new_zeros((x.shape[0], *state.shape)))
        return found

    def _by_step(self, sequences: Sequence[Tensor], outcome: GraphOutcome) -> Iterator[tuple[Tensor, ...]]:
        """For each step the frames, and what follows from them alone."""
        size = sequences[0].shape[:2]
        values = dict(zip(self.cell.inputs, sequences, strict=True))
        if self._ahead:
            rows = {name: x.flatten(0, 1) for name, x in values.items()}
            self._call(self._ahead, rows, outcome)
            values |= {name: x.unflatten(0, size) for name, x in rows.items() if name not in values}
        if not self._frames:
            return repeat((), size[1])
        # a slice for each step would have a gradient of the whole sequence's size for each
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
        """The outputs and the last states; a masked step changes no state and repeats the outputs before it."""
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
    def _call(steps: Sequence[Step], values: dict[str, Tensor], outcome: GraphOutcome) -> None:
        stack = draws.node_stack()
        for step in steps:
            stack.append(step.node.name)
            run_node(step, values, outcome.masks, outcome)
            stack.pop()


def _start_of(state: CellState) -> str:
    """The name of the weight that a state starts from."""
    return f"initial_{state.name}"


def _kept(state: str) -> str:
    """The name of the weight that keeps a state from batch to batch."""
    return f"state_{state}"


def _taken_out(steps: Sequence[Step], known: Iterable[str]) -> tuple[list[Step], list[Step]]:
    """The steps that need nothing but `known` and what comes of it, of layers that go row by row; and the others."""
    known, out, left = set(known), [], []
    for step in steps:
        layer = step.node.layer
        if layer.by_rows and not layer.adds_losses() and known.issuperset(step.node.used_names()):
            out.append(step)
            known.update(step.node.outputs)
        else:
            left.append(step)
    return out, left


def _where(seen: Tensor, new: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
    return [torch.where(broadcast_mask(seen, a), a, b) for a, b in zip(new, old, strict=True)]
