"""Functions that check, build, freeze and call layers inside another layer, such as a wrapper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import LAYERS, BaseLayer, Layer, Outcome, ShapeMismatch, WeightedModule
from kerascli.layers.lora import LowRank

Make = Callable[[BaseLayer, tuple[TensorSpec, ...]], nn.Module]
"""Type of a function that builds the torch module of a layer, given the shapes and dtypes of its inputs."""

LayerField = Annotated[BaseLayer, LAYERS.field()]


class HoldsLayers(BaseLayer):
    """Base class of layers that run other layers, by default those of the field `layers`."""

    if TYPE_CHECKING:
        layers: tuple[BaseLayer, ...]

    def inner_layers(self) -> Sequence[BaseLayer]:
        """Return the layers that the layer runs."""
        return self.layers

    @property
    def mixes_samples(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(layer.mixes_samples for layer in self.inner_layers())

    def adds_losses(self) -> bool:
        return super().adds_losses() or any(layer.adds_losses() for layer in self.inner_layers())

    def keeps_states(self) -> bool:
        return super().keeps_states() or any(layer.keeps_states() for layer in self.inner_layers())


class Wrapper(HoldsLayers, Layer):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Base class of layers that wrap a layer of one input, which is not stateful, and return its results."""

    uses_mask = True

    layer: LayerField

    @model_validator(mode="after")
    def _takes_one(self) -> Self:
        if self.layer.call_form != "one":
            raise ValueError(f"layer: expected a layer of one input, got {self.layer.component_name}")
        if self.layer.keeps_states():
            raise ValueError(f"layer: {self.layer.component_name} cannot be stateful inside another layer")
        return self

    @property
    def takes_integers(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.layer.takes_integers

    def inner_layers(self) -> Sequence[BaseLayer]:
        return (self.layer,)

    def result_count(self) -> int | None:
        return self.layer.result_count()


def build_inner(layer: BaseLayer, x: TensorSpec, *, trainable: bool, make: Make | None = None) -> nn.Module:
    """Return the torch module of a layer inside another layer; if not `trainable`, all its weights are frozen.

    `make` builds the module of a layer for its inputs; None: `layer.build_for` does.
    """
    if isinstance(layer, LowRank) and layer.lora_rank:
        raise ShapeMismatch(f"cannot take a {layer.component_name} with lora_rank", hint="make it a layer of its own")
    layer = layer if trainable else layer.model_copy(update={"trainable": False})
    try:
        module = layer.build_for((x,)) if make is None else make(layer, (x,))
    except ShapeMismatch as mismatch:
        raise ShapeMismatch(f"its {layer.component_name} {mismatch.fault.text}", hint=mismatch.fault.hint) from None
    if not layer.trainable:
        for part in module.modules():
            if isinstance(part, WeightedModule):
                part.freeze()
    return module


def with_value(weight: Tensor, value: Tensor) -> Tensor:
    """Return `value`, which a layer uses in place of `weight`, as a tensor whose gradient goes to `weight`."""
    return weight + (value - weight).detach() if weight.requires_grad else value


def activity_loss(layer: BaseLayer, results: Sequence[Tensor]) -> Tensor | None:
    """Return the penalty of a layer's activity_regularizer on `results`, averaged over the batch; None if not set."""
    regularizer = layer.activity_penalty()
    if regularizer is None:
        return None
    penalties = [regularizer(result) / result.shape[0] for result in results]
    return sum(penalties[1:], penalties[0])


@dataclass(slots=True)
class InnerCalls:
    """Collector of the losses, metrics and weight updates that the layers inside another layer return."""

    losses: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)
    updates: dict[str, Tensor] = field(default_factory=dict)

    def collect(self, path: str, layer: BaseLayer, result: Any) -> Any:
        """Return the output in the `result` of the inner layer whose module is at `path`; store the losses, metrics and
        weight updates in it, and the penalty of the layer's `activity_regularizer`, under `path/...`."""
        if isinstance(result, Outcome):
            for kind in ("losses", "metrics", "updates"):
                getattr(self, kind).update({f"{path}/{key}": each for key, each in getattr(result, kind).items()})
            result = result.value
        loss = activity_loss(layer, result if isinstance(result, tuple) else (result,))
        if loss is not None:
            self.losses[f"{path}/activity"] = loss
        return result

    def outcome(self, value: Any) -> Any:
        """Return the outer layer's result: `value`, or an Outcome that also has the collected losses, metrics and
        weight updates."""
        outcome = Outcome(value, self.losses, self.metrics, self.updates)
        return outcome if self.losses or self.metrics or self.updates else value
