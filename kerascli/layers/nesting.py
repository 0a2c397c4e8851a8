"""Functions that check, build, freeze and call layers inside another layer, such as a wrapper."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Self

from pydantic import model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import LAYERS, BaseLayer, Layer, Outcome, ShapeMismatch, WeightedModule
from kerascli.layers.lora import LowRank

Make = Callable[[BaseLayer, tuple[TensorSpec, ...]], nn.Module]
"""Type of a function that builds the torch module of a layer, given the shapes and dtypes of its inputs."""

LayerField = Annotated[BaseLayer, LAYERS.field()]


class Wrapper(Layer):
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


class InnerCalls:
    """Collector of the losses, metrics and weight updates that the layers inside another layer return."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Tensor]] = {"losses": {}, "metrics": {}, "updates": {}}

    def collect(self, name: str, result: Any, module: str | None = None) -> Any:
        """Return the output in an inner layer's `result`; store the losses, metrics and weight updates in it under
        `name/...`, updates under the path of the layer's `module` (default: `name`)."""
        if not isinstance(result, Outcome):
            return result
        for kind, found in self._found.items():
            path = name if module is None or kind != "updates" else module
            found.update({f"{path}/{key}" if path else key: each for key, each in getattr(result, kind).items()})
        return result.value

    def penalize(self, name: str, layer: BaseLayer, value: Any) -> None:
        """Add the penalty of an inner layer's `activity_regularizer` on its output `value`."""
        loss = activity_loss(layer, value if isinstance(value, tuple) else (value,))
        if loss is not None:
            self._found["losses"][f"{name}/activity"] = loss

    def outcome(self, value: Any) -> Any:
        """Return the outer layer's result: `value`, or an Outcome that also has the collected losses, metrics and
        weight updates."""
        return Outcome(value, **self._found) if any(self._found.values()) else value
