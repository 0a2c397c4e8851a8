"""Attention and AdditiveAttention: one score for each step of the query and each step of the key."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import Fraction, Seed, TensorSpec, is_compatible
from kerascli.layers.attention import base
from kerascli.layers.base import CallArgument, Example, ShapeMismatch, WeightedModule, layer
from kerascli.layers.regularization.dropout import dropout
from kerascli.ops.networks import fused_attention
from kerascli.parts.initializers import GlorotUniform, Ones


class ScoredAttention(base.AttentionLayer):
    """Base class of the settings of `attention` and `additive_attention`, which have no projections."""

    call_arguments = {  # noqa: RUF012
        "mask": CallArgument("tensors", "[query mask, value mask], (N, T) and (N, S): 0 masks a step", or_false=True),
        **base.CALL,
    }


def check_inputs(xs: tuple[TensorSpec, ...]) -> None:
    """Raise ShapeMismatch unless the shapes of query, value and key fit each other."""
    query, value, key = base.query_value_key(xs)
    if not is_compatible(query.shape[:-2], value.shape[:-2]):
        raise ShapeMismatch(f"needs a query and a value with equal axes before the steps, got {query} and {value}")
    if query.shape[-1] != key.shape[-1]:
        raise ShapeMismatch(f"needs a query and a key with equal features, got {query} and {key}")


class ScoredModule(WeightedModule):
    """Base class of attention modules whose output is the sum of the values, weighted by the softmax of the scores."""

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
        order = base.causal_mask(query, key) if use_causal_mask else None
        visible = base.combined_mask([None if value_mask is None else value_mask.unsqueeze(-2), order])
        y, weights = None, None
        if not return_attention_scores and not (self.training and self.settings.dropout):
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
        return dropout(weights, self.settings.dropout, seed=self.settings.seed) if self.training else weights

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


@layer(Example(input=[(4, 6), (5, 6)], output=(4, 6)))
class Attention(ScoredAttention):
    """Dot-product (Luong-style) attention: softmax of the scores query @ key, times the values.

    Called on [query, value] or [query, value, key], of shapes (N, T, D), (N, S, V) and (N, S, D); without a key the
    value is the key. Output: (N, T, V). Masked steps of the value are ignored; masked steps of the query give 0. Paper:
    Luong et al., 2015.
    """

    use_scale: bool = False
    """Multiply the scores by a learned scalar."""
    score_mode: Literal["dot", "concat"] = "dot"
    """Score of a key: query @ key (dot), or a learned scalar times sum(tanh(query + key)) (concat)."""
    dropout: Fraction = 0.0
    """Fraction of the attention weights that is dropped in training."""
    seed: Seed = None

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_inputs(xs)
        return AttentionModule(self)


class AttentionModule(ScoredModule):
    scale: Tensor | None
    concat_score_weight: Tensor | None

    def __init__(self, settings: Attention) -> None:
        super().__init__(settings)
        self.add_weight("scale", () if settings.use_scale else None, initializer=Ones())
        self.add_weight("concat_score_weight", () if settings.score_mode == "concat" else None, initializer=Ones())

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        if self.concat_score_weight is None:
            return self._scaled(query) @ key.mT
        sums = query.unsqueeze(-2) + key.unsqueeze(-3)
        return self.concat_score_weight * torch.tanh(self._scaled(sums)).sum(-1)

    def fused_result(self, query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None) -> Tensor | None:
        if self.concat_score_weight is not None or query.ndim != 3:
            return None
        query, key, value = (x.unsqueeze(1) for x in (self._scaled(query), key, value))  # the kernel takes heads: one
        visible = visible if visible is None or visible.ndim == 2 else visible.unsqueeze(1)
        bias = base.score_bias(visible, query, masked_score(query.dtype))
        return fused_attention(query, key, value, bias, scale=1.0).squeeze(1)

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scale is None else x * self.scale


@layer(Example(input=[(4, 6), (5, 6)], output=(4, 6)))
class AdditiveAttention(ScoredAttention):
    """Additive (Bahdanau-style) attention: the score of a key is sum(scale * tanh(query + key)).

    Called on [query, value] or [query, value, key], of shapes (N, T, D), (N, S, V) and (N, S, D). Output: (N, T, V).
    Masks as in `attention`. Paper: Bahdanau et al., 2015.
    """

    refused = {"score_mode": "it has a single kind of score; attention has score_mode"}  # noqa: RUF012

    use_scale: bool = True
    """Multiply tanh(query + key) by a learned factor for each feature; false: by 1."""
    dropout: Fraction = 0.0
    """Fraction of the attention weights that is dropped in training."""
    seed: Seed = None

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_inputs(xs)
        return AdditiveAttentionModule(self, base.feature_count(xs[0]))


class AdditiveAttentionModule(ScoredModule):
    scale: Tensor | None

    def __init__(self, settings: AdditiveAttention, features: int) -> None:
        super().__init__(settings)
        self.add_weight("scale", (features,) if settings.use_scale else None, initializer=GlorotUniform())

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        z = torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3))  # (N, T, S, D)
        return z.sum(-1) if self.scale is None else z @ self.scale
