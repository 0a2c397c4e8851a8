"""MultiHeadAttention: attention in several learned projections at once (Vaswani et al., 2017)."""

from typing import Self

from pydantic import model_validator
from torch import nn

from kerascli.layers.attention.base import last_size, query_value_key
from kerascli.layers.attention.heads import HeadsLayer, HeadsModule
from kerascli.layers.attention.projection import Projection
from kerascli.layers.base import Example, ShapeMismatch, layer
from kerascli.layers.geometry import positive_axes
from kerascli.layers.kernels import KernelAndBias
from kerascli.parts import fields
from kerascli.shapes import Axes, Fraction, PositiveInt, Seed, Sizes, TensorSpec


class Heads(HeadsLayer):
    """What `multi_head_attention` begins with."""

    num_heads: PositiveInt
    """How many projections attend, each on its own."""
    key_dim: PositiveInt
    """The features of a query and of a key in a head."""
    value_dim: PositiveInt | None = None
    """The features of a value in a head; null: key_dim."""
    dropout: Fraction = 0.0
    """The share of the scores that is dropped while training."""
    use_bias: fields.UseBias = True
    output_shape: PositiveInt | Sizes | None = None
    """What each step comes out as; null: as many features as the query has."""
    attention_axes: Axes | None = None
    """The axes of steps to attend along; null: all between the batch and the features."""
    sliding_window: PositiveInt | None = None
    """A step sees those less than this many steps away; null: all."""
    flash_attention: bool | None = None
    """true: insist on torch's fused kernel; false: do without; null: use it unless scores or dropout forbid it."""


@layer(
    Example(input=[(4, 6), (5, 6)], output=(4, 6), config={"num_heads": 2, "key_dim": 3}),
    Example(input=[(4, 6), (5, 7), (5, 8)], output=(4, 3), config={
        "num_heads": 2, "key_dim": 3, "value_dim": 5, "output_shape": 3, "use_bias": False, "use_gate": True,
    }),
    Example(input=[(2, 4, 6), (2, 5, 6)], output=(2, 4, 6), config={
        "num_heads": 2, "key_dim": 3, "attention_axes": 2,
    }),
)  # fmt: skip
class MultiHeadAttention(KernelAndBias, Heads):
    """Attention in several learned projections (heads) at once; their results are projected to one.

    Called on [query, value] or [query, value, key]: [x, x] is self-attention. Masks of the inputs are obeyed, and
    that of the query goes on.
    """

    activity_regularizer: fields.RegularizerField | None = None
    """A penalty on the result of each projection, added to the loss."""
    use_gate: bool = False
    """Multiply the heads' results by a sigmoid of one more projection of the query."""
    seed: Seed = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        self.check_flash(self.flash_attention, self.dropout)
        return self

    def activity_penalty(self) -> None:
        """The module has its penalties: they are those of its projections."""

    def adds_losses(self) -> bool:
        return self.activity_regularizer is not None

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        query, value, key = query_value_key(xs)
        axes = self._axes(query, value)
        of_value = self.value_dim or self.key_dim
        heads, gated = (self.num_heads, self.key_dim), (self.num_heads, of_value)
        results = self.output_shape or last_size(query)
        return HeadsModule(
            query=Projection(self, (last_size(query),), heads),
            key=Projection(self, (last_size(key),), heads),
            gate=Projection(self, (last_size(query),), gated) if self.use_gate else None,
            value=Projection(self, (last_size(value),), gated),
            attention_output=Projection(self, gated, (results,) if isinstance(results, int) else results),
            size=self.key_dim, axes=axes, window=self.sliding_window, flash=self.flash_attention,
            rate=self.dropout, seed=self.seed, penalty=self.activity_regularizer,
        )  # fmt: skip

    def _axes(self, query: TensorSpec, value: TensorSpec) -> tuple[int, ...]:
        steps = tuple(range(1, value.rank))
        axes = steps if self.attention_axes is None else positive_axes(self.attention_axes, value, "attention_axes")
        if value.rank in axes:
            raise ShapeMismatch("cannot attend along the features", argument="attention_axes")
        if self.sliding_window is not None and len(axes) > 1:
            raise ShapeMismatch("needs one attention axis for a sliding_window", argument="sliding_window")
        others = [(query.shape[axis - 1], value.shape[axis - 1]) for axis in steps if axis not in axes]
        if query.rank != value.rank or any(None not in pair and pair[0] != pair[1] for pair in others):
            text = f"needs a query and a value that differ along axis {list(axes)} alone, got {query} and {value}"
            raise ShapeMismatch(text)
        return axes
