"""Base classes of attention and additive_attention, which differ in the score of a key for a query."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.attention.base import CALL, AttentionLayer, causal_mask, combined_mask, query_value_key
from kerascli.layers.base import CallArgument, ShapeMismatch, WeightedModule
from kerascli.layers.regularization.dropout import dropout


class ScoredAttention(AttentionLayer):
    """Base class of the settings of `attention` and `additive_attention`, which have no projections."""

    call_arguments = {  # noqa: RUF012
        "mask": CallArgument("tensors", "[query mask, value mask], (N, T) and (N, S): 0 masks a step", or_false=True),
        **CALL,
    }


def check_inputs(xs: tuple[TensorSpec, ...]) -> None:
    """Raise ShapeMismatch unless the shapes of query, value and key fit each other."""
    query, value, key = query_value_key(xs)
    if query.rank != value.rank or any(None not in (a, b) and a != b for a, b in _leading(query, value)):
        raise ShapeMismatch(f"needs a query and a value with equal axes before the steps, got {query} and {value}")
    if query.shape[-1] != key.shape[-1]:
        raise ShapeMismatch(f"needs a query and a key with equal features, got {query} and {key}")


def _leading(query: TensorSpec, value: TensorSpec) -> Iterator[tuple[int | None, int | None]]:
    return zip(query.shape[:-2], value.shape[:-2], strict=True)


class ScoredModule(WeightedModule):
    """Base class of attention modules whose output is the sum of the values, weighted by the softmax of the scores."""

    def __init__(self, rate: float, seed: int | None) -> None:
        super().__init__()
        self.rate = rate
        self.seed = seed

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        *,
        masks: Sequence[Tensor | None] = (None, None),
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:  # (N, *, T, D), (N, *, S, V), (N, *, S, D) -> (N, *, T, V)
        key = value if key is None else key
        query_mask, value_mask = masks[:2]
        order = causal_mask(query, key) if use_causal_mask else None
        visible = combined_mask([None if value_mask is None else value_mask.unsqueeze(-2), order])
        y, weights = None, None
        if not return_attention_scores and not (self.training and self.rate):
            y = self.fused_result(query, key, value, visible)
        if y is None:
            weights = self._weights(query, key, visible)
            y = weights @ value
        if query_mask is not None:
            y = torch.where(query_mask.unsqueeze(-1), y, 0.0)
        return (y, weights) if return_attention_scores and weights is not None else y

    def _weights(self, query: Tensor, key: Tensor, visible: Tensor | None) -> Tensor:  # -> (N, *, T, S)
        scores = self.scores(query, key)
        if visible is not None:
            scores = torch.where(visible, scores, scores + masked_score(scores.dtype))
        weights = torch.softmax(scores, -1)
        return dropout(weights, self.rate, seed=self.seed) if self.training else weights

    @abstractmethod
    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Return the attention scores (N, *, T, S): one for each step of the query and each step of the key."""

    def fused_result(self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None) -> Tensor | None:
        """Return the output of torch's fused attention kernel, which stores no scores; None if the layer uses none."""
        return None


def masked_score(dtype: torch.dtype) -> float:
    """Return the large negative number that Keras adds to the attention scores of masked positions.

    Where all positions are masked, the scores decide as if none were.
    """
    return -65504.0 if dtype == torch.float16 else -1e9
