"""Functions that check, build, freeze and call layers inside another layer, such as a wrapper."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import LAYERS, BaseLayer, Outcome, ShapeMismatch, WeightedModule

Make = Callable[[BaseLayer, tuple[TensorSpec, ...]], nn.Module]
"""Type of a function that builds the torch module of a layer, given the shapes and dtypes of its inputs."""

LayerField = Annotated[BaseLayer, LAYERS.field()]


def check_inner(layer: BaseLayer) -> None:
    """Raise ValueError for a layer that cannot be inside another: a stateful one, or one without exactly one input."""
    if layer.call_form != "one":
        raise ValueError(f"layer: expected a layer of one input, got {layer.component_name}")
    if layer.keeps_states():
        raise ValueError(f"layer: {layer.component_name} cannot be stateful inside another layer")


def build_inner(layer: BaseLayer, x: TensorSpec, *, trainable: bool, make: Make | None = None) -> nn.Module:
    """Return the torch module of a layer inside another layer; if not `trainable`, all its weights are frozen.

    `make` builds the module of a layer for its inputs; None: `layer.build_for` does.
    """
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
        self._losses: dict[str, Tensor] = {}
        self._metrics: dict[str, Tensor] = {}
        self._updates: dict[str, Tensor] = {}

    def collect(self, name: str, result: Any) -> Any:
        """Return the output in an inner layer's `result`; store the losses, metrics and weight updates in it under
        `name/...`."""
        if not isinstance(result, Outcome):
            return result
        prefix = f"{name}/" if name else ""
        self._losses.update({f"{prefix}{key}": loss for key, loss in result.losses.items()})
        self._metrics.update({f"{prefix}{key}": value for key, value in result.metrics.items()})
        self._updates.update({f"{prefix}{key}": value for key, value in result.updates.items()})
        return result.value

    def penalize(self, name: str, layer: BaseLayer, value: Any) -> None:
        """Add the penalty of an inner layer's `activity_regularizer` on its output `value`."""
        loss = activity_loss(layer, value if isinstance(value, tuple) else (value,))
        if loss is not None:
            self._losses[f"{name}/activity"] = loss

    def outcome(self, value: Any) -> Any:
        """Return the outer layer's result: `value`, or an Outcome that also has the collected losses, metrics and
        weight updates."""
        if not (self._losses or self._metrics or self._updates):
            return value
        return Outcome(value, self._losses, self._metrics, self._updates)
