"""AdditiveAttention: attention with scores from a tanh layer (Bahdanau et al., 2015)."""

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import Fraction, Seed, TensorSpec
from kerascli.layers.attention.attention import ScoredAttention, ScoredModule, check_inputs
from kerascli.layers.attention.base import feature_count
from kerascli.layers.base import Example, layer
from kerascli.parts.initializers import GlorotUniform


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
        return AdditiveAttentionModule(self, feature_count(xs[0]))


class AdditiveAttentionModule(ScoredModule):
    scale: Tensor | None

    def __init__(self, settings: AdditiveAttention, features: int) -> None:
        super().__init__(settings.dropout, settings.seed)
        self.add_weight("scale", (features,) if settings.use_scale else None, initializer=GlorotUniform())

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        z = torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3))  # (N, T, S, D)
        return z.sum(-1) if self.scale is None else z @ self.scale
