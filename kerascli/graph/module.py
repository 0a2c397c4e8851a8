"""The one module that runs a graph: values and masks on the edges, side results as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kerascli import draws
from kerascli.graph.build import Built
from kerascli.graph.model import Node
from kerascli.graph.parts import parts_of
from kerascli.graph.targets import name_of, needing_targets
from kerascli.graph.updates import set_by
from kerascli.graph.weights import Weight, weights_of
from kerascli.layers.base import MergeLayer, Outcome, activity_loss
from kerascli.layers.nesting import with_value


@dataclass(slots=True)
class GraphOutcome:
    """Everything that a call of a graph yields; nothing is kept on modules."""

    outputs: dict[str, Tensor]
    masks: dict[str, Tensor]
    """Masks of the outputs that have one."""
    losses: dict[str, Tensor] = field(default_factory=dict)
    """Scalars to add to the loss, by node and name."""
    metrics: dict[str, Tensor] = field(default_factory=dict)
    updates: dict[str, Tensor] = field(default_factory=dict)
    """New values of non-trainable weights, in torch's layout, by weight name."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A node, made ready to run: what can be known ahead is known."""

    node: Node
    module: nn.Module
    casts: tuple[bool, ...]
    tensors_in_call: tuple[tuple[str, str | tuple[str, ...]], ...]
    switches: Mapping[str, bool]
    training: bool | None
    masked: int
    """How many of the results have the mask that is handed on."""
    again: bool
    """An earlier node has the same weights."""
    names: Mapping[str, str]
    """Weights by their places in the module."""
    sets: str
    """The weight that it sets, where that is another node's."""
    last_uses: tuple[str, ...]
    """Tensors that no later node needs: dropped, so that inference holds no more memory than it must."""


class Graph(nn.Module):
    """Runs a built model: forward(inputs by name) -> GraphOutcome."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.model = built.model
        self.specs = dict(built.specs)
        self._names = {given.name: given.spec.dtype for given in built.model.inputs}
        self._targets = {target.name: (name_of(target), target.spec.dtype) for target in built.model.targets}
        self.nodes = nn.ModuleList(built.modules[node.name] for node in built.model.nodes)
        nodes = built.model.nodes
        self._steps = _steps(nodes, built)
        needing = needing_targets(nodes, built.model.targets)
        self._predicting = _steps([node for node in nodes if node.name not in needing], built)
        for step in self._steps:
            if not step.node.layer.trainable:
                step.module.requires_grad_(False)

    def weights(self) -> list[Weight]:
        """All weights in order of the nodes; those that several nodes have stand where the first one does."""
        found: dict[str, list[Weight]] = {}
        for step in self._steps:
            for part in parts_of(step.node, step.module):
                if part.name not in found:
                    found[part.name] = list(weights_of(part.module, part.name, trainable=part.trainable))
        return [weight for weights in found.values() for weight in weights]

    def forward(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor] | None = None) -> GraphOutcome:
        """Tensors of shape (N, *) by input name -> outputs of the graph by name.

        Without `targets`, by target name, the nodes that need one are left out.
        """
        values: dict[str, Tensor] = {name: _as_input(inputs[name], dtype) for name, dtype in self._names.items()}
        if targets is not None:
            values.update({name: _as_input(targets[own], dtype) for name, (own, dtype) in self._targets.items()})
        masks: dict[str, Tensor] = {}
        outcome = GraphOutcome({}, masks)
        stack = draws.node_stack()
        for step in self._predicting if targets is None else self._steps:
            stack.append(step.node.name)
            _run(step, values, masks, outcome)
            stack.pop()
            for name in step.last_uses:
                values.pop(name, None)
                masks.pop(name, None)
        outcome.outputs = {name: values[name] for name in self.model.outputs}
        outcome.masks = {name: masks[name] for name in self.model.outputs if name in masks}
        return outcome


def _as_input(tensor: Tensor, dtype: str) -> Tensor:
    """Data is cast to the dtype of the input; of floats there is one dtype, that of the weights, as in Keras."""
    wanted = getattr(torch, dtype)
    wanted = torch.get_default_dtype() if wanted.is_floating_point else wanted
    return tensor if tensor.dtype == wanted else tensor.to(wanted)


def _steps(nodes: Sequence[Node], built: Built) -> tuple[_Step, ...]:
    last = _last_uses(nodes, built.model.outputs)
    sets = {name: f"{weight.weights_name}/value" for name, weight in set_by(nodes).items()}
    seen: set[str] = set()
    steps = []
    for node in nodes:
        owned = {part.name for part in parts_of(node, built.modules[node.name])}
        again = not owned.isdisjoint(seen)
        steps.append(_step(node, built, last.get(node.name, ()), again=again, sets=sets.get(node.name, "")))
        seen |= owned
    return tuple(steps)


def _step(node: Node, built: Built, last_uses: tuple[str, ...], *, again: bool, sets: str) -> _Step:
    module = built.modules[node.name]
    layer = node.layer
    casts = tuple(built.specs[name].is_integer and not layer.takes_integers for name in node.inputs)
    tensors = tuple((key, value) for key, value in node.call.items() if not isinstance(value, bool))
    switches = {key: value for key, value in node.call.items() if isinstance(value, bool)}
    training = switches.pop("training", None)
    names = {place: name for part in parts_of(node, module) for place, name in part.names()}
    return _Step(
        node, module, casts, tensors, switches, training, layer.masked_results(), again, names, sets, last_uses
    )  # fmt: skip


def _run(step: _Step, values: dict[str, Tensor], masks: dict[str, Tensor], outcome: GraphOutcome) -> None:
    node = step.node
    arguments = [values[name] for name in node.inputs]
    if any(step.casts):
        default = torch.get_default_dtype()
        arguments = [x.to(default) if cast else x for x, cast in zip(arguments, step.casts, strict=True)]
    call: dict[str, Any] = {}
    for key, name in step.tensors_in_call:
        call[key] = values[name] if isinstance(name, str) else [values[n] for n in name]
    mask_in = _mask_in(node, arguments, masks, call)
    result = _call(step, arguments, call, _carried(step, outcome) if step.again else {})
    if isinstance(result, Outcome):
        prefix = node.name
        outcome.losses.update({_below(prefix, name): loss for name, loss in result.losses.items()})
        outcome.metrics.update({_below(prefix, name): value for name, value in result.metrics.items()})
        outcome.updates.update({step.sets or step.names[place]: value for place, value in result.updates.items()})
        result = result.value
    results = result if isinstance(result, tuple) else (result,)
    if (loss := activity_loss(node.layer, results)) is not None:
        outcome.losses[f"{node.name}/activity"] = loss
    mask_out = _mask_out(step, arguments[0], mask_in) if arguments else None
    for index, (name, value) in enumerate(zip(node.outputs, results, strict=True)):
        if name != "_":
            values[name] = value
            if mask_out is not None and index < step.masked:
                masks[name] = mask_out


def _below(node: str, name: str) -> str:
    """A node's one figure has the node's name."""
    return f"{node}/{name}" if name else node


def _carried(step: _Step, outcome: GraphOutcome) -> dict[str, Tensor]:
    """Weights as an earlier call in this step has left them: as in Keras each call goes on from there."""
    places = {name: place.replace("/", ".") for place, name in step.names.items() if name in outcome.updates}
    changed = ((place, outcome.updates[name]) for name, place in places.items())
    return {place: with_value(_tensor(step.module, place), value) for place, value in changed}


def _tensor(module: nn.Module, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _call(step: _Step, arguments: list[Tensor], call: dict[str, Any], carried: dict[str, Tensor]) -> Any:
    """`training:` beside a layer runs it in that mode, whatever mode the model is in."""

    def run() -> Any:
        if carried:
            return functional_call(step.module, carried, tuple(arguments), {**call, **step.switches})
        return step.module(*arguments, **call, **step.switches)

    if step.training is None or step.training == step.module.training:
        return run()
    before = step.module.training
    step.module.train(step.training)
    try:
        return run()
    finally:
        step.module.train(before)


def _mask_in(node: Node, arguments: list[Tensor], masks: dict[str, Tensor], call: dict[str, Any]) -> Tensor | None:
    """The mask that a node sees: what it is called with, else its inputs'; into `call`, if its module wants it."""
    layer = node.layer
    given = call.pop("mask", None)
    if not node.inputs:
        return None
    if not isinstance(layer, MergeLayer):
        mask = masks.get(node.inputs[0]) if given is None else _as_mask(given)
        if layer.uses_mask:
            call["mask"] = mask
        return mask
    each = [masks.get(name) for name in node.inputs]
    if given is not None:
        each = [_as_mask(mask) for mask in given] + [None] * (len(each) - len(given))
    if layer.uses_masks:
        call["masks"] = each
    return layer.merge_masks(each, arguments)


def _as_mask(given: Tensor) -> Tensor:
    return given if given.dtype == torch.bool else given != 0


def _mask_out(step: _Step, x: Tensor, mask_in: Tensor | None) -> Tensor | None:
    match step.node.layer.mask:
        case "make":
            make_mask: Any = step.module.make_mask  # declared by `mask = "make"`
            return make_mask(x, **step.switches)
        case "pass":
            return mask_in
        case _:
            return None


def _last_uses(nodes: Sequence[Node], outputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """For each node the tensors that it is the last to use."""
    user: dict[str, str] = {}
    for node in nodes:
        for name in (*node.outputs, *node.used_names()):
            user[name] = node.name
    found: dict[str, list[str]] = {}
    for name, node_name in user.items():
        if name not in outputs:
            found.setdefault(node_name, []).append(name)
    return {node_name: tuple(names) for node_name, names in found.items()}
