"""What is shared as the layer of a wrapper: `time_distributed: tower` calls it on every step, with its own weights."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import InstanceOf
from torch import Tensor, nn

from kerascli.errors import show
from kerascli.layers.base import BaseLayer, Layer, NamingLayer, Outcome, ShapeMismatch
from kerascli.layers.wrappers.time_distributed import TimeDistributed
from kerascli.model.inference.build import build
from kerascli.model.ir.nodes import Input, Model, Node, Shared, flat
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.submodules import Inner, Part, PartedModule, inside, parts_below
from kerascli.parts.base import Regularizer
from kerascli.shapes import TensorSpec, can_be_one


class SharedPart(Layer):
    """Something shared, as a layer."""

    shared: InstanceOf[Shared]
    layers: tuple[InstanceOf[BaseLayer], ...]
    """All that are in it."""

    @property
    def component_name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shared.name

    def dump(self) -> str:
        return self.shared.name

    @property
    def takes_integers(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shared.layer is None or self.shared.layer.takes_integers

    @property
    def uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shared.layer is not None and self.shared.layer.uses_mask

    @property
    def mixes_samples(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(layer.mixes_samples for layer in self.layers)

    def adds_losses(self) -> bool:
        return any(layer.adds_losses() for layer in self.layers)

    def keeps_states(self) -> bool:
        return any(layer.keeps_states() for layer in self.layers)

    def activity_penalty(self) -> Regularizer | None:
        return None if self.shared.layer is None else self.shared.layer.activity_penalty()

    def result_count(self) -> int | None:
        return len(self.shared.outputs) if self.shared.layer is None else self.shared.layer.result_count()

    def build(self, x: TensorSpec) -> nn.Module:
        shared = self.shared
        if isinstance(shared.layer, Layer):
            return SharedLayerModule(shared.weights, shared.layer, shared.layer.build(x))
        name, wanted = next(iter(shared.inputs.items()))
        if wanted is not None and (not can_be_one(wanted.shape, x.shape) or wanted.is_integer != x.is_integer):
            raise ShapeMismatch(f"wants {wanted} of {wanted.dtype} for each step, got {x} of {x.dtype}")
        return SharedModelModule(Model((Input(name, x),), shared.entries, shared.outputs, shared.shared))


class SharedLayerModule(PartedModule):
    def __init__(self, weights: str, layer: BaseLayer, module: nn.Module) -> None:
        super().__init__()
        self.weights, self.layer = weights, layer
        self.inner = module

    def forward(self, x: Tensor, **call: Any) -> Any:  # (N, *) -> (N, *)
        return self.inner(x, **call)

    def parts(self) -> Iterator[Part]:
        yield Part("inner", self.weights, self.inner, self.layer.trainable)


class SharedModelModule(PartedModule):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.graph = Graph(build(model))
        self._places = self.places()

    def forward(self, x: Tensor) -> Outcome:  # (N, *) -> (N, *)
        found = self.graph({self.graph.model.inputs[0].name: x})
        first, *rest = found.outputs.values()
        updates = {self._places[name]: value for name, value in found.updates.items()}
        return Outcome((first, *rest) if rest else first, losses=found.losses, updates=updates)

    def parts(self) -> Iterator[Part]:
        yield from parts_below("graph/nodes", self.graph.model.nodes, self.graph.nodes)

    def inside(self) -> Iterator[Inner]:
        yield from (Inner(node, self.graph.specs) for node in self.graph.model.nodes)
        yield from inside(self.graph.nodes)


def wrapped(node: Node) -> Shared | None:
    """What is shared that a node calls on every step."""
    part = node.layer.layer if isinstance(node.layer, TimeDistributed) else None
    return part.shared if isinstance(part, SharedPart) else None


def with_shared(cls: type[BaseLayer], settings: Any, known: Mapping[str, Shared | None]) -> Any:
    """Settings of a wrapper in which the name of something shared has become a layer. Raises ShapeMismatch."""
    named = settings.get("layer") if isinstance(settings, dict) else settings
    if not issubclass(cls, TimeDistributed):
        if "layer" in cls.model_fields and isinstance(named, str) and named in known:
            text = f"'{named}' is shared: {cls.component_name} takes a layer of its own"
            raise ShapeMismatch(text, hint="time_distributed takes what is shared", argument="layer")
        return settings
    if isinstance(named, dict) and len(named) == 1:
        name = next(iter(named))
        if name in known:
            text = f"'{name}' is shared: a call takes no settings, got {show(named[name])}"
            raise ShapeMismatch(text, hint=f"write layer: {name}", argument="layer")
    if not isinstance(named, str) or (shared := known.get(named)) is None:
        return settings
    _check(shared)
    return {**settings, "layer": part_of(shared)} if isinstance(settings, dict) else part_of(shared)


def part_of(shared: Shared) -> SharedPart:
    """What is shared, as a layer."""
    nodes = flat(shared.entries)
    return SharedPart(
        shared=shared, layers=tuple(node.layer for node in nodes) if shared.layer is None else (shared.layer,)
    )


def _check(shared: Shared) -> None:
    """Whether what is shared can be called on steps."""
    if shared.layer is None and len(shared.inputs) != 1:
        text = f"'{shared.name}' takes {len(shared.inputs)} inputs; a layer that is called on steps takes one"
        raise ShapeMismatch(text, argument="layer")
    figure = next(
        (node for node in flat(shared.entries) if isinstance(node.layer, NamingLayer) and node.layer.logs), None
    )
    if figure is not None:
        text = f"'{shared.name}' logs '{figure.name}': what it has at single steps is no figure"
        raise ShapeMismatch(text, hint="put it behind the model, over all steps", argument="layer")
