"""Bidirectional: a recurrent layer run forwards and another run backwards (Schuster and Paliwal, 1997)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, cast

import torch
from pydantic import AfterValidator, model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec, show_shape
from kerascli.layers.base import LAYERS, BaseLayer, CallArgument, Example, Layer, ShapeMismatch, layer
from kerascli.layers.nesting import HoldsLayers, InnerCalls, build_inner
from kerascli.layers.recurrent.base import Recurrent, SequenceModule


def _is_recurrent(value: BaseLayer) -> Recurrent:
    if not isinstance(value, Recurrent):
        raise ValueError(f"expected a recurrent layer (lstm, gru ...), got {value.component_name}")
    return value


_MERGED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda y, z: torch.cat([y, z], dim=-1),
    "sum": torch.add,
    "ave": lambda y, z: (y + z) / 2,
    "mul": torch.mul,
}

RecurrentField = Annotated[Recurrent, LAYERS.field(), AfterValidator(_is_recurrent)]


@layer(Example(input=(5, 3), output=(8,), config={"layer": {"lstm": 4}}))
class Bidirectional(HoldsLayers, Layer):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Bidirectional wrapper: runs a recurrent layer forwards and another backwards, and merges their outputs.

    Input: (N, T, F). Output, merged by concat: (N, 2 * units), or (N, T, 2 * units) with `return_sequences`; by sum,
    mul or ave: units features. Without a `backward_layer` the second one is like the first, with its own weights. The
    states of `return_state` and of `initial_state` are the forward layer's, then the backward layer's. Outputs of
    masked steps are 0. Paper: Schuster and Paliwal, 1997.
    """

    refused = {"weights": "initial weights are read from a file: init_from"}  # noqa: RUF012
    uses_mask = True
    call_arguments = {  # noqa: RUF012
        "initial_state": CallArgument(
            "tensors", "initial states: the forward layer's, then the backward layer's; default: zeros"
        ),
    }

    layer: RecurrentField
    """Recurrent layer that runs forwards."""
    merge_mode: Literal["sum", "mul", "concat", "ave"] | None = "concat"
    """Method of merging the two outputs (ave: mean); null: both are returned as results."""
    backward_layer: RecurrentField | None = None
    """Recurrent layer that runs backwards, with go_backwards: true; null: a copy of `layer` with its own weights."""

    @model_validator(mode="after")
    def _fit_each_other(self) -> Self:
        if self.layer.go_backwards == self.backward.go_backwards:
            raise ValueError("layer and backward_layer must differ in go_backwards: set it in one of them")
        for name in ("return_sequences", "return_state"):
            if getattr(self.layer, name) != getattr(self.backward, name):
                raise ValueError(f"layer and backward_layer must have the same {name}")
        return self

    @property
    def backward(self) -> Recurrent:
        """Recurrent layer that runs backwards: `backward_layer`, or else a copy of `layer`."""
        return self.backward_layer or self.layer.model_copy(update={"go_backwards": True})

    @property
    def mask(self) -> Literal["pass", "stop"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.layer.mask

    def inner_layers(self) -> tuple[Recurrent, Recurrent]:
        return self.layer, self.backward

    def masked_results(self) -> int:
        return 2 if self.merge_mode is None else 1

    def result_count(self) -> int | None:
        states = self.layer.state_count + self.backward.state_count if self.layer.return_state else 0
        return self.masked_results() + states

    def build(self, x: TensorSpec) -> nn.Module:
        module = BidirectionalModule(self, x)
        forward, backward = (part.output_shape(TensorSpec(x.shape[1:])) for part in module.directions)
        if self.merge_mode not in (None, "concat") and forward != backward:
            got = f"{show_shape((None, *forward))} and {show_shape((None, *backward))}"
            raise ShapeMismatch(f"needs two outputs of one shape to merge them, got {got}", argument="merge_mode")
        return module


class BidirectionalModule(nn.Module):
    def __init__(self, settings: Bidirectional, x: TensorSpec) -> None:
        super().__init__()
        self.settings = settings
        self.layers = settings.inner_layers()
        words = ("forward", "backward")
        self.names = [f"{word}_{one.component_name}" for word, one in zip(words, self.layers, strict=True)]
        for name, one in zip(self.names, self.layers, strict=True):
            one = one.model_copy(update={"zero_output_for_mask": one.return_sequences})
            self.add_module(name, build_inner(one, x, trainable=settings.trainable))

    @property
    def directions(self) -> list[SequenceModule]:
        return [cast(SequenceModule, self.get_submodule(name)) for name in self.names]

    def forward(
        self, x: Tensor, mask: Tensor | None = None, initial_state: Sequence[Tensor] | None = None
    ) -> Any:  # (N, T, *) -> (N, units), or (N, T, units)
        calls, outputs, after = InnerCalls(), [], []
        states = self._halves(initial_state)
        for name, one, module, state in zip(self.names, self.layers, self.directions, states, strict=True):
            result = calls.collect(name, one, module(x, mask=mask, initial_state=state))
            output, *rest = result if isinstance(result, tuple) else (result,)
            outputs.append(output)
            after += rest
        y, z = outputs
        z = z.flip(1) if self.settings.layer.return_sequences else z
        mode = self.settings.merge_mode
        merged = (y, z) if mode is None else (_MERGED[mode](y, z),)
        return calls.outcome((*merged, *after) if len(merged) + len(after) > 1 else merged[0])

    def _halves(self, states: Sequence[Tensor] | None) -> tuple[Sequence[Tensor] | None, Sequence[Tensor] | None]:
        if states is None:
            return None, None
        first, second = (one.state_count for one in self.layers)
        if len(states) != first + second:
            raise ShapeMismatch(f"needs {first + second} initial states, {first} for each direction, got {len(states)}")
        return states[:first], states[first:]
