"""Pipeline: a sequence of layers as one layer."""

from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.errors import first_line
from kerascli.foundation.shapes import TensorSpec, to_tuple
from kerascli.layers.base import LAYERS, BaseLayer, Example, Layer, Outcome, ShapeMismatch, layer
from kerascli.layers.nesting import HoldsLayers, InnerCalls, build_inner
from kerascli.layers.trial import BATCH_SIZES, compared, stand_in, unknown_sizes


@layer(
    Example(
        input=(8, 6, 3),
        output=(4, 4, 3),
        config={"layers": [{"random_crop": {"height": 4, "width": 4}}, "random_flip", {"rescaling": 0.1}]},
    )
)
class Pipeline(HoldsLayers, Layer):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Applies layers of one input and one result in sequence; a mask is passed on if all layers pass it on.

    Input: (N, *). Output: the last layer's.
    """

    takes_integers = True
    uses_mask = True

    layers: Annotated[
        tuple[Annotated[BaseLayer, LAYERS.field()], ...],
        BeforeValidator(to_tuple),
        Field(min_length=1, max_length=1000),
    ]
    """Layers to apply, from the first to the last."""

    @property
    def mask(self) -> Literal["pass", "stop"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "pass" if all(made.mask == "pass" for made in self.layers) else "stop"

    def build(self, x: TensorSpec) -> nn.Module:
        modules, casts = [], []
        for number, made in enumerate(self.layers, 1):
            if not isinstance(made, Layer) or made.result_count() != 1 or made.makes_mask():
                text = f"takes layers with one input and one result that make no masks, got {made.component_name}"
                raise ShapeMismatch(text, hint="make it a node of its own", argument="layers")
            if made.keeps_states():
                text = f"cannot keep the states of {made.component_name} between batches"
                raise ShapeMismatch(text, hint="make it a node of its own", argument="layers")
            if self.trainable and not made.trainable:
                text = f"cannot freeze {made.component_name} alone"
                raise ShapeMismatch(text, hint="set trainable for the whole pipeline", argument="layers")
            casts.append(x.is_integer and not made.takes_integers)
            x = TensorSpec(x.shape, "float32") if casts[-1] else x
            module = build_inner(made, x, trainable=self.trainable).eval()
            x = _result(f"{made.component_name} (number {number})", module, x)
            modules.append(module)
        return PipelineModule(self.layers, modules, casts)


def _result(name: str, module: nn.Module, x: TensorSpec) -> TensorSpec:
    """Return shape and dtype of a layer's result, from two runs on the meta device that differ in all unknown sizes."""
    runs: list[Tensor] = []
    for sizes in zip(BATCH_SIZES, unknown_sizes([x]), strict=True):
        try:
            with torch.no_grad():
                result = module(stand_in(x, *sizes))
        except (RuntimeError, IndexError) as error:
            raise ShapeMismatch(f"{name} cannot take {x}: {first_line(error)}") from error
        runs.append(result.value if isinstance(result, Outcome) else result)
    return compared(*runs)


class PipelineModule(nn.Module):
    def __init__(self, settings: tuple[BaseLayer, ...], modules: list[nn.Module], casts: list[bool]) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(modules)
        self.casts = casts

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:  # (N, *) -> (N, *)
        nodes, calls = draws.node_stack(), InnerCalls()
        for number, (made, module, cast) in enumerate(zip(self.settings, self.layers, self.casts, strict=True)):
            nodes.append(str(number))
            result = module(
                x.to(torch.get_default_dtype()) if cast else x, **({"mask": mask} if made.uses_mask else {})
            )
            nodes.pop()
            mask = mask if made.mask == "pass" else None
            x = calls.collect(f"layers/{number}", made, result)
        return calls.outcome(x)
