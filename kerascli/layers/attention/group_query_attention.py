"""GroupQueryAttention: attention heads that share keys and values in groups (Ainslie et al., 2023)."""

from typing import Self

from pydantic import model_validator
from torch import nn

from kerascli.foundation.shapes import Fraction, PositiveInt, Seed, TensorSpec
from kerascli.layers.attention.base import feature_count, query_value_key
from kerascli.layers.attention.heads import MultiHeadLayer, MultiHeadModule
from kerascli.layers.base import Example, layer
from kerascli.layers.kernels import KernelAndBias
from kerascli.parts import fields


class GroupQueryArguments(MultiHeadLayer):
    """Mixin with `group_query_attention`'s first arguments, in Keras's order: those before `kernel_initializer`."""

    head_dim: PositiveInt
    """Size of each head: features of a query, a key and a value."""
    num_query_heads: PositiveInt
    """Number of query heads, a multiple of num_key_value_heads."""
    num_key_value_heads: PositiveInt
    """Number of key and value heads, each shared by num_query_heads / num_key_value_heads query heads."""
    dropout: Fraction = 0.0
    """Fraction of the attention weights that is dropped in training."""
    use_bias: fields.UseBias = True
    sliding_window: PositiveInt | None = None
    """Attend only to steps less than this many steps away, in both directions; null: attend to all steps."""
    flash_attention: bool | None = None
    """true: require torch's fused kernel; false: avoid it; null: use it unless scores or dropout are needed."""


@layer(
    Example(input=[(4, 6), (5, 6)], output=(4, 6), config={
        "head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2,
    }),
    Example(input=[(4, 6), (5, 6), (5, 6)], output=(4, 6), config={
        "head_dim": 3, "num_query_heads": 2, "num_key_value_heads": 1, "use_gate": True, "sliding_window": 3,
    }),
    aliases=("grouped_query_attention",),
)  # fmt: skip
class GroupQueryAttention(KernelAndBias, GroupQueryArguments):
    """Grouped-query attention: `multi_head_attention` whose query heads share key and value heads in groups.

    Called on [query, value] or [query, value, key], of shapes (N, T, F), (N, S, G) and (N, S, K). Output: (N, T, F). It
    has fewer weights, and fewer keys and values to store. Paper: Ainslie et al., 2023.
    """

    activity_regularizer: fields.RegularizerField | None = None
    """Regularizer of the outputs of the projections and of the layer, a penalty added to the loss."""
    use_gate: bool = False
    """Gate the heads' outputs: multiply them by the sigmoid of another projection of the query (Qiu et al., 2025)."""
    seed: Seed = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.num_query_heads % self.num_key_value_heads:
            heads = f"num_query_heads ({self.num_query_heads})"
            raise ValueError(f"{heads} must be a multiple of num_key_value_heads ({self.num_key_value_heads})")
        self.check_flash(self.flash_attention, self.dropout)
        return self

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        inputs = query_value_key(xs, rank=2)
        heads, shared = (self.num_query_heads, self.head_dim), (self.num_key_value_heads, self.head_dim)
        return MultiHeadModule(self, inputs, heads, shared, shared, (feature_count(inputs[0]),), axes=(1,))
