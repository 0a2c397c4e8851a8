"""Tensors and calls of layers in a Keras graph, and the order in which Keras stores its layers and their weights."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kerascli.layers.merging.elementwise import ElementwiseMerge
from kerascli.model.ir.nodes import Node

T = TypeVar("T")
Place = tuple[str, int]
"""Type of a pair (name of a layer, number of one of its calls), which identifies the call."""
Parents = Mapping[Place, Sequence[Place]]
"""Type of a mapping from calls to those whose outputs they take, in order."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Reference to a tensor of a Keras graph: output number `index` of call number `call` of a layer or operation."""

    layer: str
    call: int = 0
    index: int = 0

    @property
    def place(self) -> Place:
        return self.layer, self.call


@dataclass(slots=True)
class Call:
    """Arguments of one call of a Keras layer, operation or model; tensors in them are `Ref`s, at any depth."""

    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    masks: list[Place] = field(default_factory=list, compare=False)
    """Calls of the operations that compute this call's masks in an exported model; they affect the order of layers."""

    def parents(self) -> list[Place]:
        return [*(ref.place for ref in refs(self)), *self.masks]


def refs(value: Any) -> Iterator[Ref]:
    """Return an iterator over every tensor (`Ref`) in a call's arguments, or in a part of them, in order, at any
    depth."""
    found: list[Ref] = []
    with_refs(value, found.append)
    return iter(found)


def with_refs(value: Any, change: Callable[[Ref], Any]) -> Any:
    """Return a call's arguments, or a part of them, with `change` applied to every tensor (`Ref`), at any depth."""
    match value:
        case Ref():
            return change(value)
        case Call():
            return Call(with_refs(value.args, change), with_refs(value.kwargs, change))
        case list() | tuple():
            return type(value)(with_refs(item, change) for item in value)
        case dict():
            return {key: with_refs(item, change) for key, item in value.items()}
        case _:
            return value


def ancestors(ends: Iterable[T], parents: Callable[[T], Iterable[T]]) -> set[T]:
    """Return everything that can be reached from `ends` by the function `parents`, including `ends`."""
    seen: set[T] = set()
    pending = list(ends)
    while pending:
        if (item := pending.pop()) not in seen:
            seen.add(item)
            pending += parents(item)
    return seen


def keras_order(parents: Parents, ends: Sequence[Place]) -> tuple[list[str], list[Place]]:
    """Return (layers in Keras's order, calls of layers) that the model outputs `ends` depend on.

    Layers farther from an output come first, then those that a depth-first search finds first; a layer that is called
    several times is as far as the farthest of its calls. `parents` are the inputs of each call, in order.
    """
    met, finished = _depth_first(parents, ends)
    far, _ = _depths(parents, finished)
    return sorted(far, key=lambda name: (-far[name], met[name])), finished


def keras_runs(parents: Parents, ends: Sequence[Place]) -> list[Place]:
    """Return the calls that the outputs `ends` depend on, in the order in which Keras runs them: the farthest from an
    output first."""
    _, depths = _depths(parents, _depth_first(parents, ends)[1])
    return sorted(depths, key=lambda place: -depths[place])


def _depths(parents: Parents, finished: Sequence[Place]) -> tuple[dict[str, int], dict[Place, int]]:
    """Return the depth (largest distance to an output) of each layer and of each call, as mappings in Keras's order."""
    far: dict[str, int] = {}
    depths: dict[Place, int] = {}
    for place in reversed(finished):
        depth = far[place[0]] = depths[place] = max(depths.get(place, 0), far.get(place[0], 0))
        for parent in parents[place]:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return far, depths


def _depth_first(parents: Parents, ends: Sequence[Place]) -> tuple[dict[str, int], list[Place]]:
    """Search depth first from the outputs; return (number of each layer in order of discovery, calls in the order in
    which they are finished)."""
    seen: dict[Place, None] = {}
    finished: list[Place] = []
    pending = [(("", 0), iter(ends))]
    while pending:
        place, rest = pending[-1]
        if (parent := next((parent for parent in rest if parent not in seen), None)) is None:
            finished.append(place)
            pending.pop()
        else:
            seen[parent] = None
            pending.append((parent, iter(parents[parent])))
    return {name: number for number, name in enumerate(dict.fromkeys(name for name, _ in seen))}, finished[:-1]


class MaskPlaces:
    """Record of the calls (`Place`: layer's name, call's number) of Keras's operations that compute masks of a model's
    tensors.

    Keras computes a mask by operations of its own: `any(not_equal(x, 0))`, for embeddings without the `any`.
    """

    def __init__(self) -> None:
        self.parents: dict[Place, list[Place]] = {}
        """Mapping from a call of an operation that computes a mask to the calls that compute the operation's
        arguments."""
        self._places: dict[str, Place] = {}
        """Mapping from the name of a tensor to the call of the operation that computes its mask."""

    def of(self, tensors: Iterable[str]) -> list[Place]:
        """Return the calls of the operations that compute the masks of `tensors`; tensors without a mask are left
        out."""
        return [self._places[tensor] for tensor in tensors if tensor in self._places]

    def propagate(self, tensor: str, result: str) -> None:
        """Record that Keras gives the tensor `result` the same mask as `tensor`, if `tensor` has a mask."""
        if tensor in self._places:
            self._places[result] = self._places[tensor]

    def add(self, node: Node, place: Place, source: Place) -> list[Place]:
        """Record the mask of a node's outputs; return the calls that compute the masks that Keras passes to the node's
        layer.

        `place` is Keras's call of the layer, `given` the one that computes its first input.
        """
        layer, (name, number) = node.layer, place
        takes_masks = layer.uses_masks and not isinstance(layer, ElementwiseMerge)
        # in Keras, elementwise merging layers take the masks from the tensors
        taken = self.of(node.inputs) if layer.uses_mask or takes_masks else []
        made = self._places.get(node.inputs[0]) if layer.mask == "pass" else None
        if layer.makes_mask():
            made = (f"{name}/mask/{number}", 0)
            compared = (f"{name}/not_equal/{number}", 0)
            one_step = layer.component_name == "embedding"
            self.parents |= {made: [source]} if one_step else {made: [compared], compared: [source]}
        if made is not None:
            self._places.update(dict.fromkeys(node.outputs[: layer.masked_results()], made))
        return taken
