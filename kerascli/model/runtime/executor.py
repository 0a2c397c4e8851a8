"""Execution of nodes: call their modules on tensors and masks, and collect losses, metrics and weight updates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kerascli.foundation import draws
from kerascli.layers.base import Outcome, ShapeMismatch
from kerascli.layers.geometry import as_mask
from kerascli.layers.nesting import activity_loss, with_value
from kerascli.model.ir.nodes import Node
from kerascli.model.runtime.built import Built, submodules_of

Tensors = dict[str, Tensor]
"""Type of a mapping from names to tensors."""
_QUERY_VALUE_KEY = ("query_mask", "value_mask", "key_mask")
"""Call arguments of multi-head attention that hold the masks of its inputs, in the order of the inputs."""


@dataclass(slots=True)
class GraphOutcome:
    """Results of a forward pass of a graph: outputs, masks, losses, metrics, and new values of weights."""

    outputs: Tensors
    masks: Tensors
    """Masks of outputs of the forward pass, by output name; outputs without a mask are left out."""
    losses: Tensors = field(default_factory=dict)
    """Scalars to add to the loss, as a mapping from `node/name` to value."""
    metrics: Tensors = field(default_factory=dict)
    """Values to log, as a mapping from `node` or `node/name` to value."""
    updates: Tensors = field(default_factory=dict)
    """Next values of non-trainable weights, in torch's layout, by weight name."""

    def detached(self) -> "GraphOutcome":
        """Return the results without what autograd needs to differentiate them."""
        parts = (self.outputs, self.masks, self.losses, self.metrics, self.updates)
        return GraphOutcome(*({name: tensor.detach() for name, tensor in part.items()} for part in parts))


class PreparedNode:
    """Node of a built model, prepared for repeated execution.

    `again` is True if an earlier node has the same weights, and may have updated them in this forward pass. `sets` is
    the full name of the weight that an `update` node assigns, which belongs to another node. `differentiated` are the
    graph's tensors at which formulas take gradients.
    """

    def __init__(
        self, node: Node, built: Built, last_uses: tuple[str, ...] = (), *, again: bool, sets: str = "",
        differentiated: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.node = node
        self.module = built.modules[node.name]
        self.again = again
        self.sets = sets
        self.differentiated = differentiated
        self.last_uses = last_uses
        """Names of the tensors that no later node needs; they are freed after this node to save memory."""
        takes_integers = node.layer.takes_integers
        are_cast = (built.specs[name].is_integer and not takes_integers for name in node.inputs)
        self.casts = tuple(index for index, is_cast in enumerate(are_cast) if is_cast)
        """Indices of the inputs that are cast to the default dtype."""
        self.tensors_in_call = [(key, value) for key, value in node.call.items() if not isinstance(value, bool)]
        switches = node.call_flags
        self.training = switches.pop("training", None)
        self.hidden = tuple(node.unseen_masks)
        """Names of the mask arguments that are `false`: the layer ignores these masks, but they are propagated."""
        self.switches = {key: value for key, value in switches.items() if key not in (*self.hidden, "mask")}
        self.masked = node.layer.masked_results()
        """Number of outputs of the node, counted from the first, to which the propagated mask applies."""
        self.names = {place: name for part in submodules_of(node, self.module) for place, name in part.names()}
        """Mapping from the path of each weight in the node's module to the weight's name in the model."""

    def run(self, values: Tensors, outcome: GraphOutcome) -> None:
        """Run the node on the tensors in `values`, by name, and add its output tensors to `values`.

        The node's masks, losses, metrics and new values of weights are added to `outcome`.
        """
        node, masks = self.node, outcome.masks
        arguments = [values[name] for name in node.inputs]
        for index in self.casts:
            arguments[index] = arguments[index].to(torch.get_default_dtype())
        call: dict[str, Any] = {}
        for key, name in self.tensors_in_call:
            call[key] = values[name] if isinstance(name, str) else [values[n] for n in name]
        mask_in = self._mask_in(arguments, masks, call)
        try:
            result = self._call(arguments, call, self._carried(outcome) if self.again and outcome.updates else {})
        except (ShapeMismatch, IndexError, RuntimeError) as error:
            error.add_note(node.name)  # names the node in the error message
            raise
        results = self._collect(result, outcome)
        mask_out = self._mask_out(arguments[0], mask_in) if arguments else None
        for index, (name, value) in enumerate(zip(node.outputs, results, strict=True)):
            if name != "_":
                values[name] = differentiable(value) if name in self.differentiated else value
                if mask_out is not None and index < self.masked:
                    masks[name] = mask_out

    def _collect(self, result: Any, outcome: GraphOutcome) -> tuple[Tensor, ...]:
        """Return the output tensors in a module's result; add its losses, metrics and updates to `outcome`.

        They are logged under `node/name`, or only the node's name if `name` is ''.
        """
        node = self.node.name
        if isinstance(result, Outcome):
            outcome.losses.update({f"{node}/{key}" if key else node: loss for key, loss in result.losses.items()})
            outcome.metrics.update({f"{node}/{key}" if key else node: value for key, value in result.metrics.items()})
            outcome.updates.update({self.sets or self.names[place]: value for place, value in result.updates.items()})
            result = result.value
        results = result if isinstance(result, tuple) else (result,)
        if (loss := activity_loss(self.node.layer, results)) is not None:
            outcome.losses[f"{node}/activity"] = loss
        return results

    def _carried(self, outcome: GraphOutcome) -> Tensors:
        """Return the values of the node's weights that earlier nodes updated in this forward pass, by the weight's path
        in the node's module.

        As in Keras, later calls use the updated values.
        """
        places = {name: place.replace("/", ".") for place, name in self.names.items() if name in outcome.updates}
        return {place: with_value(_tensor(self.module, place), outcome.updates[name]) for name, place in places.items()}

    def _call(self, arguments: list[Tensor], call: dict[str, Any], carried: Tensors) -> Any:
        """Return the output of the node's module, run in the mode (training or inference) that the node's `training`
        argument states, if any.

        Otherwise the mode is the model's.
        """

        def run() -> Any:
            if carried:
                return functional_call(self.module, carried, tuple(arguments), call | self.switches)
            return self.module(*arguments, **call, **self.switches)

        before = self.module.training
        if self.training is None or self.training == before:
            return run()
        self.module.train(self.training)
        try:
            return run()
        finally:
            self.module.train(before)

    def _mask_in(self, arguments: list[Tensor], masks: Mapping[str, Tensor], call: dict[str, Any]) -> Tensor | None:
        """Return the mask that the node propagates, from its call argument `mask` or its inputs; if the module uses
        masks, add them to `call`."""
        layer, of_call = self.node.layer, call.pop("mask", None)
        if not self.node.inputs:
            return None
        each = [masks.get(name) for name in self.node.inputs]
        if of_call is not None:
            of_call = [of_call] if isinstance(of_call, Tensor) else of_call
            each = [as_mask(mask) for mask in of_call] + [None] * (len(each) - len(of_call))
        if layer.uses_mask:
            call["mask"] = None if self.hidden else each[0]
        elif layer.uses_masks:
            call["masks"] = [None if self._is_hidden(index) else mask for index, mask in enumerate(each)]
        return layer.merge_masks(each, arguments)

    def _is_hidden(self, index: int) -> bool:
        """Return True if the layer must ignore the mask of its input number `index`."""
        return "mask" in self.hidden or (index < len(_QUERY_VALUE_KEY) and _QUERY_VALUE_KEY[index] in self.hidden)

    def _mask_out(self, x: Tensor, mask_in: Tensor | None) -> Tensor | None:
        match self.node.layer.mask:
            case "make":
                make_mask: Any = self.module.make_mask  # declared by `mask = "make"`
                return make_mask(x, **self.switches)
            case "pass":
                return mask_in
            case _:
                return None


def run_nodes(steps: Iterable[PreparedNode], values: Tensors, outcome: GraphOutcome) -> None:
    """Run the nodes `steps` in order on the tensors in `values`, by name; add the results to `values` and `outcome`."""
    stack = draws.node_stack()
    for step in steps:
        stack.append(step.node.name)
        step.run(values, outcome)
        stack.pop()
        for name in step.last_uses:
            values.pop(name, None)
            outcome.masks.pop(name, None)


def differentiable(tensor: Tensor) -> Tensor:
    """Return a tensor with respect to which autograd can differentiate; a frozen weight stays frozen."""
    return tensor if tensor.requires_grad else tensor.detach().requires_grad_()


def _tensor(module: nn.Module, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)
