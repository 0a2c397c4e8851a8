"""TimeDistributed: applies a layer to every step of a sequence."""

from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import WithJsonSchema
from torch import Tensor, nn
from torch.func import functional_call

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import BaseLayer, Example, NotSequences, Outcome, layer
from kerascli.layers.nesting import InnerCalls, LayerField, Wrapper, build_inner, with_value


@layer(Example(input=(5, 8), output=(5, 4), config={"layer": {"dense": 4}}))
class TimeDistributed(Wrapper):
    """Applies a layer to every step of a sequence, with the same weights.

    Input: (N, T, *). Output: (N, T, *), with the layer's output at each step. Steps are computed together, unless the
    layer in training mixes the samples of a batch, as `batch_normalization` does: then one after the other, as in
    Keras.
    """

    mask = "pass"

    layer: Annotated[LayerField, WithJsonSchema({"anyOf": [{"x-component": "layer"}, {"type": "string"}]})]
    """Layer to apply to every step, or the name of a shared model."""

    @property
    def loops(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.layer.mixes_samples

    def output_spec(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...] | None:
        (x,) = inputs
        stated = self.layer.output_spec((self.step(x),))
        return None if stated is None else tuple(TensorSpec((x.shape[0], *one.shape), one.dtype) for one in stated)

    def build(self, x: TensorSpec) -> nn.Module:
        return TimeDistributedModule(self.layer, build_inner(self.layer, self.step(x), trainable=self.trainable))

    def step(self, x: TensorSpec) -> TensorSpec:
        """Return shape and dtype of a time step of the sequence `x`, the inner layer's input; raises ShapeMismatch."""
        if x.rank < 2:
            raise NotSequences(x)
        return TensorSpec(x.shape[1:], x.dtype)


class TimeDistributedModule(nn.Module):
    def __init__(self, layer: BaseLayer, inner: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.name = layer.component_name
        self.add_module(self.name, inner)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:  # (N, T, *) -> (N, T, *)
        calls, mask = InnerCalls(), mask if self.layer.uses_mask else None
        run = self._one_by_one if self.training and self.layer.mixes_samples else self._at_once
        return calls.outcome(calls.collect(self.name, self.layer, run(x, mask)))

    def _at_once(self, x: Tensor, mask: Tensor | None) -> Outcome:
        """Run the inner layer on all time steps as samples of one batch."""
        arguments = {} if mask is None else {"mask": mask.flatten(0, 1)}
        outcome = _outcome(self.get_submodule(self.name)(x.flatten(0, 1), **arguments))
        # a loss is a mean over samples; those of all steps are summed
        losses = {key: loss * x.shape[1] for key, loss in outcome.losses.items()}
        several = outcome.value if isinstance(outcome.value, tuple) else (outcome.value,)
        several = tuple(one.unflatten(0, x.shape[:2]) for one in several)
        return replace(outcome, value=several if isinstance(outcome.value, tuple) else several[0], losses=losses)

    def _one_by_one(self, x: Tensor, mask: Tensor | None) -> Outcome:
        """Run the inner layer on the time steps in turn, each with the weights as the previous step updated them."""
        module, outcomes = self.get_submodule(self.name), list[Outcome]()
        weights = dict((*module.named_parameters(), *module.named_buffers()))
        carried: dict[str, Tensor] = {}
        for time, step in enumerate(x.unbind(1)):
            arguments = {} if mask is None else {"mask": mask[:, time]}
            outcomes.append(_outcome(functional_call(module, carried, (step,), arguments)))
            for name, value in outcomes[-1].updates.items():
                key = name.replace("/", ".")
                carried[key] = with_value(weights[key], value)
        last = outcomes[-1]
        return Outcome(
            _stacked([each.value for each in outcomes]),
            {key: torch.stack([each.losses[key] for each in outcomes]).sum(0) for key in last.losses},
            {key: torch.stack([each.metrics[key] for each in outcomes]).mean(0) for key in last.metrics},
            last.updates,
        )


def _outcome(result: Any) -> Outcome:
    return result if isinstance(result, Outcome) else Outcome(result)


def _stacked(values: list[Any]) -> Any:
    if isinstance(values[0], tuple):
        return tuple(torch.stack(parts, dim=1) for parts in zip(*values, strict=True))
    return torch.stack(values, dim=1)
