"""Shared layers and models inside a wrapper: `time_distributed: tower` calls `tower` on every time step."""

from collections.abc import Mapping
from typing import Any

from pydantic import InstanceOf

from kerascli.foundation.errors import show
from kerascli.layers.base import BaseLayer, CallForm, ShapeMismatch
from kerascli.layers.wrappers.time_distributed import TimeDistributed
from kerascli.model.ir.nodes import Node, Shared, flat
from kerascli.parts.base import Regularizer


class SharedPart(BaseLayer):
    """Layer that stands for a shared layer or model, called by name, inside a wrapper (`time_distributed: tower`)."""

    shared: InstanceOf[Shared]
    layers: tuple[InstanceOf[BaseLayer], ...]
    """All layers in the shared model, or the shared layer itself."""

    @property
    def component_name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.shared.name

    def dump(self) -> str:
        return self.shared.name

    @property
    def call_form(self) -> CallForm:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "one" if self.shared.layer is None else self.shared.layer.call_form

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


def wrapped(node: Node) -> Shared | None:
    """Return the shared layer or model that a node wraps by `time_distributed`; None for any other node."""
    part = node.layer.layer if isinstance(node.layer, TimeDistributed) else None
    return part.shared if isinstance(part, SharedPart) else None


def with_shared(cls: type[BaseLayer], settings: Any, known: Mapping[str, Shared | None]) -> Any:
    """Return a wrapper's arguments with the name of a shared layer or model replaced by a layer for it, if any. Raises
    ShapeMismatch."""
    named = settings.get("layer") if isinstance(settings, dict) else settings
    if not issubclass(cls, TimeDistributed):
        if "layer" in cls.model_fields and isinstance(named, str) and named in known:
            text = f"'{named}' is shared: {cls.component_name} cannot wrap a shared layer or model"
            raise ShapeMismatch(text, hint="only time_distributed can wrap it", argument="layer")
        return settings
    if isinstance(named, dict) and len(named) == 1:
        name = next(iter(named))
        if name in known:
            text = f"'{name}' is shared: a call takes no arguments of the layer, got {show(named[name])}"
            raise ShapeMismatch(text, hint=f"write layer: {name}", argument="layer")
    if not isinstance(named, str) or (shared := known.get(named)) is None:
        return settings
    _check(shared)
    return {**settings, "layer": part_of(shared)} if isinstance(settings, dict) else part_of(shared)


def part_of(shared: Shared) -> SharedPart:
    """Return a layer that stands for a shared layer or model inside a wrapper such as `time_distributed`."""
    nodes = flat(shared.entries)
    return SharedPart(
        shared=shared, layers=tuple(node.layer for node in nodes) if shared.layer is None else (shared.layer,)
    )


def _check(shared: Shared) -> None:
    """Raise ShapeMismatch if a shared layer or model cannot be called on single time steps."""
    if shared.layer is None and len(shared.inputs) != 1:
        text = f"'{shared.name}' takes {len(shared.inputs)} inputs; time_distributed can wrap models of one input"
        raise ShapeMismatch(text, argument="layer")
    figure = next((node for node in flat(shared.entries) if node.layer.logs), None)
    if figure is not None:
        text = f"'{shared.name}' logs '{figure.name}', which is not defined for single time steps"
        raise ShapeMismatch(text, hint="move it outside the shared model, over all steps", argument="layer")
