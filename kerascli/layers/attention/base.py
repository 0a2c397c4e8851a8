"""What attentions share: which places may be seen, softmax over them, the fused kernel."""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.layers.activations.softmax import softmax
from kerascli.layers.base import CallArgument, MergeLayer, ShapeMismatch
from kerascli.shapes import TensorSpec

SCORES = "also return how much of each value each query takes"
CAUSAL = "no query sees what comes after it"


class AttentionLayer(MergeLayer):
    """A layer called on [query, value] or [query, value, key]; the mask of the query goes on."""

    mask = "pass"
    uses_masks = True

    def results_of(self, call: Mapping[str, Any]) -> int:
        return 2 if call.get("return_attention_scores") else 1

    def merge_masks(self, masks: Sequence[Tensor | None], xs: Sequence[Tensor]) -> Tensor | None:
        return masks[0]


CALL: Mapping[str, CallArgument] = {
    "return_attention_scores": CallArgument("bool", SCORES),
    "use_causal_mask": CallArgument("bool", CAUSAL),
}
"""What every attention can be called with."""


def query_value_key(
    xs: tuple[TensorSpec, ...], *, rank: int | None = None
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    """The three inputs; without a key the value is the key. Raises ShapeMismatch."""
    if not 2 <= len(xs) <= 3:
        raise ShapeMismatch(f"needs 2 or 3 inputs, got {len(xs)}", hint="write inputs: [query, value, key]")
    query, value, key = xs if len(xs) == 3 else (*xs, xs[1])
    wanted = "sequences (steps, features)" if rank == 2 else "at least one axis of steps before the features"
    for x in xs:
        if x.rank < 2 or (rank and x.rank != rank) or x.shape[-1] is None:
            raise ShapeMismatch(f"needs {wanted} for query, value and key, got {' and '.join(map(str, xs))}")
    steps = zip(value.shape[:-1], key.shape[:-1], strict=False)
    if value.rank != key.rank or any(None not in (a, b) and a != b for a, b in steps):
        raise ShapeMismatch(f"needs value and key with the same steps, got {value} and {key}")
    return query, value, key


def last_size(x: TensorSpec) -> int:
    """The number of features, which `query_value_key` has found to be known."""
    assert x.shape[-1] is not None
    return x.shape[-1]


def all_of(masks: Sequence[Tensor | None]) -> Tensor | None:
    """Where all masks that there are hold; None: everywhere."""
    present = [mask for mask in masks if mask is not None]
    return reduce(torch.logical_and, present) if present else None


def causal(query: Tensor, key: Tensor) -> Tensor:
    """(T, S): step t of the query sees the steps up to t of the key; of (*, T, D) and (*, S, D)."""
    return _distances(query, key) >= 0


def within(window: int, query: Tensor, key: Tensor) -> Tensor:
    """(T, S): a step sees those less than `window` steps away."""
    return _distances(query, key).abs() < window


def _distances(query: Tensor, key: Tensor) -> Tensor:
    rows, columns = (torch.arange(x.shape[-2], device=x.device) for x in (query, key))
    return rows.unsqueeze(1) - columns


def fused(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float, is_causal: bool, hidden: float
) -> Tensor:  # (*, T, D), (*, S, D), (*, S, V) -> (*, T, V)
    """softmax(query @ key * scale) @ value in torch's kernel; `hidden` is added to the scores of what a mask hides."""
    bias = None
    if mask is not None:
        bias = torch.zeros((), dtype=query.dtype, device=query.device).where(mask, hidden)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=is_causal, scale=scale)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Shares that add up to 1; what the mask hides gets none, and all get none where it hides all."""
    return softmax(scores, (scores.ndim - 1,), None if mask is None else mask.expand_as(scores))


def inverse_root(size: int) -> float:
    return 1 / math.sqrt(size)
