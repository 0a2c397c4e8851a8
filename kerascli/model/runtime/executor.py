"""Run a node: call its module on tensors and masks, and collect losses, metrics and weight updates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kerascli.layers.base import Outcome, ShapeMismatch
from kerascli.layers.nesting import activity_loss, with_value
from kerascli.model.ir.nodes import Node
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.submodules import submodules_of

QUERY_VALUE_KEY = ("query_mask", "value_mask", "key_mask")
"""Call arguments of multi-head attention that hold the masks of its inputs, in the order of the inputs."""


@dataclass(slots=True)
class GraphOutcome:
    """Results of one forward pass of a graph: outputs, masks, losses, metrics and weight updates; no module stores
    them."""

    outputs: dict[str, Tensor]
    masks: dict[str, Tensor]
    """Masks of outputs of the forward pass, by output name; outputs without a mask are left out."""
    losses: dict[str, Tensor] = field(default_factory=dict)
    """Scalars to add to the loss, as a mapping from `node/name` to value."""
    metrics: dict[str, Tensor] = field(default_factory=dict)
    updates: dict[str, Tensor] = field(default_factory=dict)
    """Next values of non-trainable weights, in torch's layout, by weight name."""


@dataclass(frozen=True, slots=True)
class PreparedNode:
    """Node of a model, prepared to run: it holds everything that the run needs and that does not depend on the data."""

    node: Node
    module: nn.Module
    casts: tuple[bool, ...]
    tensors_in_call: tuple[tuple[str, str | tuple[str, ...]], ...]
    switches: Mapping[str, bool]
    training: bool | None
    hidden: tuple[str, ...]
    """Names of the mask arguments that are `false`: the layer ignores these masks, but they are still propagated."""
    masked: int
    """Number of outputs of the node, counted from the first, to which the propagated mask applies."""
    again: bool
    """If True, an earlier node has the same weights, and may have updated them in this forward pass."""
    names: Mapping[str, str]
    """Mapping from the path of each weight in the node's module to the weight's name in the model."""
    sets: str
    """Full name of the weight that an `update` node assigns, which belongs to another node; '' for other nodes."""
    last_uses: tuple[str, ...]
    """Names of the tensors that no later node needs; they are freed after this node to save memory."""


def prepare_node(
    node: Node, built: Built, last_uses: tuple[str, ...] = (), *, again: bool, sets: str = ""
) -> PreparedNode:
    """Return a node of a built model, prepared to run."""
    module, layer = built.modules[node.name], node.layer
    casts = tuple(built.specs[name].is_integer and not layer.takes_integers for name in node.inputs)
    tensors = tuple((key, value) for key, value in node.call.items() if not isinstance(value, bool))
    switches = {key: value for key, value in node.call.items() if isinstance(value, bool)}
    training = switches.pop("training", None)
    hidden = tuple(node.unseen_masks)
    switches = {key: value for key, value in switches.items() if key not in hidden and key != "mask"}
    names = {place: name for part in submodules_of(node, module) for place, name in part.names()}
    return PreparedNode(
        node, module, casts, tensors, switches, training, hidden, layer.masked_results(), again, names, sets, last_uses
    )  # fmt: skip


def run_node(step: PreparedNode, values: dict[str, Tensor], masks: dict[str, Tensor], outcome: GraphOutcome) -> None:
    """Run a node on tensors in `values`; add its outputs to `values`, masks to `masks`, losses and weight updates ...
    to `outcome`."""
    node = step.node
    arguments = [values[name] for name in node.inputs]
    if any(step.casts):
        default = torch.get_default_dtype()
        arguments = [x.to(default) if cast else x for x, cast in zip(arguments, step.casts, strict=True)]
    call: dict[str, Any] = {}
    for key, name in step.tensors_in_call:
        call[key] = values[name] if isinstance(name, str) else [values[n] for n in name]
    mask_in = _mask_in(step, arguments, masks, call)
    try:
        result = _call(step, arguments, call, _carried(step, outcome) if step.again and outcome.updates else {})
    except (ShapeMismatch, IndexError, RuntimeError) as error:
        error.add_note(node.name)  # names the node in the error message
        raise
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
    """Return the name under which a node's loss or metric is logged: `node/name`, or only the node's name
    if `name` is ''."""
    return f"{node}/{name}" if name else node


def _carried(step: PreparedNode, outcome: GraphOutcome) -> dict[str, Tensor]:
    """Return the values of a node's weights that earlier nodes updated in this forward pass, by the weight's path in
    the node's module.

    As in Keras, later calls use the updated values.
    """
    places = {name: place.replace("/", ".") for place, name in step.names.items() if name in outcome.updates}
    changed = ((place, outcome.updates[name]) for name, place in places.items())
    return {place: with_value(_tensor(step.module, place), value) for place, value in changed}


def _tensor(module: nn.Module, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _call(step: PreparedNode, arguments: list[Tensor], call: dict[str, Any], carried: dict[str, Tensor]) -> Any:
    """Return the output of a node's module, run in the mode (training or inference) that the node's `training` argument
    states, if any.

    Otherwise the mode is the model's.
    """

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


def _mask_in(
    step: PreparedNode, arguments: list[Tensor], masks: dict[str, Tensor], call: dict[str, Any]
) -> Tensor | None:
    """Return the mask that a node propagates, from its call argument `mask` or its inputs; if the module uses masks,
    add them to `call`."""
    node, layer = step.node, step.node.layer
    given = call.pop("mask", None)
    if not node.inputs:
        return None
    each = [masks.get(name) for name in node.inputs]
    if given is not None:
        given = [given] if isinstance(given, Tensor) else given
        each = [_as_mask(mask) for mask in given] + [None] * (len(each) - len(given))
    if layer.uses_mask:
        call["mask"] = None if step.hidden else each[0]
    elif layer.uses_masks:
        call["masks"] = [None if _is_hidden(step.hidden, index) else mask for index, mask in enumerate(each)]
    return layer.merge_masks(each, arguments)


def _is_hidden(hidden: tuple[str, ...], index: int) -> bool:
    """Return True if the layer must ignore the mask of its input number `index`; `hidden` names the mask arguments that
    are `false`."""
    return "mask" in hidden or (index < len(QUERY_VALUE_KEY) and QUERY_VALUE_KEY[index] in hidden)


def _as_mask(given: Tensor) -> Tensor:
    return given if given.dtype == torch.bool else given != 0


def _mask_out(step: PreparedNode, x: Tensor, mask_in: Tensor | None) -> Tensor | None:
    match step.node.layer.mask:
        case "make":
            make_mask: Any = step.module.make_mask  # declared by `mask = "make"`
            return make_mask(x, **step.switches)
        case "pass":
            return mask_in
        case _:
            return None
