"""Attention: dot-product attention, softmax(query @ key) @ value (Luong et al., 2015)."""

from typing import Literal

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import Fraction, Seed, TensorSpec
from kerascli.layers.attention.base import fused_attention
from kerascli.layers.attention.scored import ScoredAttention, ScoredModule, check_inputs, masked_score
from kerascli.layers.base import Example, layer
from kerascli.parts.initializers import Ones


@layer(
    Example(input=[(4, 6), (5, 6)], output=(4, 6)),
    Example(input=[(4, 6), (5, 3), (5, 6)], output=(4, 3), config={"use_scale": True, "score_mode": "concat"}),
)
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
        super().__init__(settings.dropout, settings.seed)
        if settings.use_scale:
            self.add_weight("scale", (), initializer=Ones())
        else:
            self.scale = None
        if settings.score_mode == "concat":
            self.add_weight("concat_score_weight", (), initializer=Ones())
        else:
            self.concat_score_weight = None

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
        return fused_attention(
            query, key, value, visible, scale=1.0, is_causal=False, masked_score=masked_score(query.dtype)
        ).squeeze(1)

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scale is None else x * self.scale
