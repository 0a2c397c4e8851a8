"""GroupQueryAttention: heads of queries that share heads of keys and values (Ainslie et al., 2023)."""

from typing import Self

from pydantic import model_validator
from torch import nn

from kerascli.layers.attention.base import last_size, query_value_key
from kerascli.layers.attention.heads import HeadsLayer, HeadsModule
from kerascli.layers.attention.projection import Projection
from kerascli.layers.base import Example, layer
from kerascli.layers.kernels import KernelAndBias
from kerascli.parts import fields
from kerascli.shapes import Fraction, PositiveInt, Seed, TensorSpec


class Heads(HeadsLayer):
    """What `group_query_attention` begins with."""

    head_dim: PositiveInt
    """The features of a query, a key and a value in a head."""
    num_query_heads: PositiveInt
    """How many projections attend; a multiple of num_key_value_heads."""
    num_key_value_heads: PositiveInt
    """How many projections of keys and values they share."""
    dropout: Fraction = 0.0
    """The share of the scores that is dropped while training."""
    use_bias: fields.UseBias = True
    sliding_window: PositiveInt | None = None
    """A step sees those less than this many steps away; null: all."""
    flash_attention: bool | None = None
    """true: insist on torch's fused kernel; false: do without; null: use it unless scores or dropout forbid it."""


@layer(
    Example(input=[(4, 6), (5, 6)], output=(4, 6), config={
        "head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2,
    }),
    Example(input=[(4, 6), (5, 6), (5, 6)], output=(4, 6), config={
        "head_dim": 3, "num_query_heads": 2, "num_key_value_heads": 1, "use_gate": True, "sliding_window": 3,
    }),
    aliases=("grouped_query_attention",),
)  # fmt: skip
class GroupQueryAttention(KernelAndBias, Heads):
    """A multi_head_attention whose heads share keys and values in groups: fewer weights, less to remember.

    Called on [query, value] or [query, value, key]: sequences (steps, features).
    """

    activity_regularizer: fields.RegularizerField | None = None
    """A penalty on the result of each projection and on the layer's, added to the loss."""
    use_gate: bool = False
    """Multiply the heads' results by a sigmoid of one more projection of the query."""
    seed: Seed = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.num_query_heads % self.num_key_value_heads:
            heads = f"num_query_heads ({self.num_query_heads})"
            raise ValueError(f"{heads} must be a multiple of num_key_value_heads ({self.num_key_value_heads})")
        self.check_flash(self.flash_attention, self.dropout)
        return self

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        query, value, key = query_value_key(xs, rank=2)
        heads, shared = (self.num_query_heads, self.head_dim), (self.num_key_value_heads, self.head_dim)
        return HeadsModule(
            query=Projection(self, (last_size(query),), heads),
            key=Projection(self, (last_size(key),), shared),
            gate=Projection(self, (last_size(query),), heads) if self.use_gate else None,
            value=Projection(self, (last_size(value),), shared),
            attention_output=Projection(self, heads, (last_size(query),)),
            size=self.head_dim, axes=(1,), window=self.sliding_window, flash=self.flash_attention,
            rate=self.dropout, seed=self.seed, penalty=self.activity_regularizer,
        )  # fmt: skip
