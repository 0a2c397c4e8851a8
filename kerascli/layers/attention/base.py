"""Base class of attention layers, and what they share: masks, softmax over scores, the fused kernel, projections."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Self

import torch
from pydantic import model_validator
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.shapes import Fraction, PositiveInt, Seed, TensorSpec, is_compatible
from kerascli.layers.base import BaseLayer, CallArgument, MergeLayer, ShapeMismatch, WeightedModule
from kerascli.layers.kernels import KernelAndBias
from kerascli.parts import fields
from kerascli.parts.initializers import with_fans

SCORES = "also return the attention scores, after masking and softmax, as a second result"
CAUSAL = "hide later positions: step t of the query attends to steps up to t only"


class AttentionLayer(MergeLayer):
    """Base class of attention layers, which take [query, value] or [query, value, key] and pass on the query's mask."""

    mask = "pass"
    uses_masks = True

    def results_of(self, call: Mapping[str, Any]) -> int:
        return 2 if call.get("return_attention_scores") else 1

    merge_masks = BaseLayer.merge_masks


CALL: Mapping[str, CallArgument] = {
    "return_attention_scores": CallArgument("bool", SCORES),
    "use_causal_mask": CallArgument("bool", CAUSAL),
}
"""Call arguments (as in Keras's `Layer.call`) that every attention layer takes, by name."""


def query_value_key(
    xs: tuple[TensorSpec, ...], *, rank: int | None = None
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    """Return the specs (shape, dtype) of query, value and key from a layer's 2 or 3 inputs; by default value is key.

    Raises ShapeMismatch.
    """
    if not 2 <= len(xs) <= 3:
        raise ShapeMismatch(f"needs 2 or 3 inputs, got {len(xs)}", hint="write inputs: [query, value, key]")
    query, value, key = xs if len(xs) == 3 else (*xs, xs[1])
    expected = "sequences (steps, features)" if rank == 2 else "at least one axis of steps before the features"
    for x in xs:
        if x.rank < 2 or (rank and x.rank != rank) or x.shape[-1] is None:
            raise ShapeMismatch(f"needs {expected} for query, value and key, got {' and '.join(map(str, xs))}")
    if not is_compatible(value.shape[:-1], key.shape[:-1]):
        raise ShapeMismatch(f"needs value and key with the same steps, got {value} and {key}")
    return query, value, key


def feature_count(x: TensorSpec) -> int:
    """Return the number of features (the known size of the last axis) of a query, value or key."""
    assert x.shape[-1] is not None
    return x.shape[-1]


def combined_mask(masks: Sequence[Tensor | None]) -> Tensor | None:
    """Return the logical and of the attention masks that are not None; return None if all masks are None."""
    present = [mask for mask in masks if mask is not None]
    return reduce(torch.logical_and, present) if present else None


def causal_mask(query: Tensor, key: Tensor) -> Tensor:
    """Return the causal mask (T, S), True where attention is allowed, for a query (*, T, D) and a key (*, S, D).

    Step t of the query attends to the steps up to t of the key.
    """
    return _distances(query, key) >= 0


def window_mask(window: int, query: Tensor, key: Tensor) -> Tensor:
    """Return the sliding-window mask (T, S): a step of the query attends to the key's steps less than `window` away."""
    return _distances(query, key).abs() < window


def _distances(query: Tensor, key: Tensor) -> Tensor:
    rows, columns = (torch.arange(x.shape[-2], device=x.device) for x in (query, key))
    return rows.unsqueeze(1) - columns


def score_bias(mask: Tensor | None, query: Tensor, masked_score: float) -> Tensor | None:
    """Return what torch's fused attention adds to the scores of `query`: `masked_score` where the mask is False."""
    if mask is None:
        return None
    return torch.zeros((), dtype=query.dtype, device=query.device).where(mask, masked_score)


_UNSEEN = "(N, S), 0: nothing attends to this step"
_MASKED = {"query": "(N, T), 0: this step of the query attends to nothing", "value": _UNSEEN, "key": _UNSEEN}
"""Mapping from an input to the effect of its mask."""


class MultiHeadLayer(AttentionLayer):
    """Base class of layers with multi-head attention."""

    call_arguments = {  # noqa: RUF012
        **{
            f"{of}_mask": CallArgument("tensor", f"{text}; combined with the {of}'s own mask", or_false=True)
            for of, text in _MASKED.items()
        },
        "attention_mask": CallArgument(
            "tensor", "(N, T, S), 0: step t of the query does not attend to step s of the value"
        ),
        **CALL,
    }


class ScoreArguments(MultiHeadLayer):
    """Mixin with the arguments that both layers have before `kernel_initializer`."""

    dropout: Fraction = 0.0
    """Fraction of the attention weights that is dropped in training."""
    use_bias: fields.UseBias = True
    sliding_window: PositiveInt | None = None
    """Attend only to steps less than this many steps away, in both directions; null: attend to all steps."""
    flash_attention: bool | None = None
    """true: require torch's fused kernel; false: avoid it; null: use it unless scores or dropout are needed."""

    @model_validator(mode="after")
    def _can_be_fused(self) -> Self:
        if self.flash_attention and self.dropout:
            raise ValueError("flash_attention: true needs dropout 0: its kernel has no dropout")
        return self


class HeadArguments(KernelAndBias, ScoreArguments):
    """Mixin with the arguments that both layers have, in Keras's order: all but the numbers and sizes of heads."""

    use_gate: bool = False
    """Gate the heads' outputs: multiply them by the sigmoid of another projection of the query (Qiu et al., 2025)."""
    seed: Seed = None


class Projection(WeightedModule):
    """Dense projection of a tensor's last axes, with sizes `ins`, to axes with sizes `outs`.

    The kernel has the shape (*ins, *outs) in Keras and (*outs, *ins) in torch.
    """

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: HeadArguments, ins: tuple[int, ...], outs: tuple[int, ...]) -> None:
        super().__init__(settings)
        self.ins, self.outs = ins, outs
        of_ins, of_outs = tuple(range(len(ins))), tuple(range(len(ins), len(ins) + len(outs)))
        start = with_fans(settings.kernel_initializer, of_ins, of_outs)
        self.add_weight_of("kernel", (*ins, *outs), initializer=start, axes=(*of_outs, *of_ins))
        self.add_weight_of("bias", outs if settings.use_bias else None)

    def forward(self, x: Tensor) -> Tensor:  # (N, *, ins) -> (N, *, outs)
        kernel = self.kernel.flatten(len(self.outs)).flatten(0, -2)
        y = F.linear(x.flatten(-len(self.ins)), kernel, None if self.bias is None else self.bias.flatten())
        return y.unflatten(-1, self.outs)
