"""MultiHeadAttention and GroupQueryAttention: attention in several learned projections in parallel."""

from typing import Self

from pydantic import model_validator
from torch import nn

from kerascli.foundation.shapes import Axes, Fraction, PositiveInt, Sizes, TensorSpec
from kerascli.layers.attention.base import HeadArguments, MultiHeadLayer, feature_count, query_value_key
from kerascli.layers.attention.heads import MultiHeadModule
from kerascli.layers.base import Example, ShapeMismatch, layer
from kerascli.layers.geometry import positive_axes
from kerascli.parts import fields


class MultiHeadArguments(MultiHeadLayer):
    """Mixin with `multi_head_attention`'s first arguments, in Keras's order: those before `sliding_window`."""

    num_heads: PositiveInt
    """Number of attention heads."""
    key_dim: PositiveInt
    """Size of each head for query and key."""
    value_dim: PositiveInt | None = None
    """Size of each head for value; null: key_dim."""
    dropout: Fraction = 0.0
    """Fraction of the attention weights that is dropped in training."""
    use_bias: fields.UseBias = True
    output_shape: PositiveInt | Sizes | None = None
    """Size, or shape, of the output at each step; null: as many features as the query has."""
    attention_axes: Axes | None = None
    """Axes to attend along, counted from 1; null: all between the batch and the features."""


@layer(Example(input=[(4, 6), (5, 6)], output=(4, 6), config={"num_heads": 2, "key_dim": 3}))
class MultiHeadAttention(HeadArguments, MultiHeadArguments):
    """Multi-head attention: scaled dot-product attention in several learned projections (heads) in parallel.

    Called on [query, value] or [query, value, key], of shapes (N, T, F), (N, S, G) and (N, S, K); [x, x] is
    self-attention. The heads' outputs are projected to the output: (N, T, F), or (N, T, *output_shape). The inputs'
    masks are applied; the query's is passed on. Paper: Vaswani et al., 2017.
    """

    activity_regularizer: fields.RegularizerField | None = None
    """Regularizer of each projection's output, a penalty added to the loss."""

    def activity_penalty(self) -> None:
        """Return None, since the module itself adds the activity penalties of its projections to the loss."""

    def adds_losses(self) -> bool:
        return self.activity_regularizer is not None

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        query, value, key = query_value_key(xs)
        heads, values = (self.num_heads, self.key_dim), (self.num_heads, self.value_dim or self.key_dim)
        sizes = self.output_shape or feature_count(query)
        results, axes = (sizes,) if isinstance(sizes, int) else sizes, self._axes(query, value)
        return MultiHeadModule(self, (query, value, key), heads, heads, values, results, axes)

    def _axes(self, query: TensorSpec, value: TensorSpec) -> tuple[int, ...]:
        steps = tuple(range(1, value.rank))
        axes = steps if self.attention_axes is None else positive_axes(self.attention_axes, value, "attention_axes")
        if value.rank in axes:
            raise ShapeMismatch("cannot attend along the features axis", argument="attention_axes")
        if self.sliding_window is not None and len(axes) > 1:
            raise ShapeMismatch("needs one attention axis for a sliding_window", argument="sliding_window")
        sizes = [(query.shape[axis - 1], value.shape[axis - 1]) for axis in steps if axis not in axes]
        if query.rank != value.rank or any(None not in pair and pair[0] != pair[1] for pair in sizes):
            text = f"needs a query and a value that differ along axis {list(axes)} alone, got {query} and {value}"
            raise ShapeMismatch(text)
        return axes


class GroupQueryArguments(MultiHeadLayer):
    """Mixin with `group_query_attention`'s first arguments, in Keras's order: those before `dropout`."""

    head_dim: PositiveInt
    """Size of each head: features of a query, a key and a value."""
    num_query_heads: PositiveInt
    """Number of query heads, a multiple of num_key_value_heads."""
    num_key_value_heads: PositiveInt
    """Number of key and value heads, each shared by num_query_heads / num_key_value_heads query heads."""


@layer(
    Example([(4, 6), (5, 6)], (4, 6), config={"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}),
    aliases=("grouped_query_attention",),
)
class GroupQueryAttention(HeadArguments, GroupQueryArguments):
    """Grouped-query attention: `multi_head_attention` whose query heads share key and value heads in groups.

    Called on [query, value] or [query, value, key], of shapes (N, T, F), (N, S, G) and (N, S, K). Output: (N, T, F). It
    has fewer weights, and fewer keys and values to store. Paper: Ainslie et al., 2023.
    """

    activity_regularizer: fields.RegularizerField | None = None
    """Regularizer of the outputs of the projections and of the layer, a penalty added to the loss."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.num_query_heads % self.num_key_value_heads:
            heads = f"num_query_heads ({self.num_query_heads})"
            raise ValueError(f"{heads} must be a multiple of num_key_value_heads ({self.num_key_value_heads})")
        return self

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        inputs = query_value_key(xs, rank=2)
        heads, shared = (self.num_query_heads, self.head_dim), (self.num_key_value_heads, self.head_dim)
        return MultiHeadModule(self, inputs, heads, shared, shared, (feature_count(inputs[0]),), axes=(1,))
