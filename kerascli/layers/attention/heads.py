"""Module of multi_head_attention and group_query_attention: attention in several heads."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec, show_shape
from kerascli.layers.activations.softmax import softmax
from kerascli.layers.attention import base
from kerascli.layers.base import Outcome, ShapeMismatch
from kerascli.layers.geometry import as_mask, broadcast_mask
from kerascli.layers.regularization.dropout import dropout
from kerascli.ops.networks import fused_attention


class MultiHeadModule(nn.Module):
    """Module of multi-head attention: projects features to heads, attends along `axes` in each head, projects back.

    The projections are in Keras's order.
    """

    def __init__(
        self,
        settings: base.HeadArguments,
        inputs: tuple[TensorSpec, TensorSpec, TensorSpec],
        heads: tuple[int, int],
        keys: tuple[int, int],
        values: tuple[int, int],
        results: tuple[int, ...],
        axes: tuple[int, ...],
    ) -> None:
        """Initialize for `inputs` (query, value, key); `heads`, `keys` and `values` are (count, size) of the heads of
        queries, keys and values, `results` the sizes of an output at one step."""
        super().__init__()
        query, value, key = map(base.feature_count, inputs)
        attended = (heads[0], values[1])
        self.query = base.Projection(settings, (query,), heads)
        self.key = base.Projection(settings, (key,), keys)
        self.gate = base.Projection(settings, (query,), attended) if settings.use_gate else None
        self.value = base.Projection(settings, (value,), values)
        self.attention_output = base.Projection(settings, attended, results)
        self.settings = settings
        self.scale = 1 / math.sqrt(heads[1])
        self.axes = axes

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        *,
        masks: Sequence[Tensor | None] = (None, None),
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor] | Outcome:  # (N, *T, F), (N, *S, G), (N, *S, K) -> (N, *T, output_shape)
        if return_attention_scores and self.settings.flash_attention:
            raise ShapeMismatch("cannot return scores with flash_attention: true", argument="return_attention_scores")
        key = value if key is None else key
        own = [as_mask(mask) for mask in (query_mask, value_mask, key_mask)]
        of_query, of_value, of_key = (base.combined_mask(pair) for pair in zip(own, [*masks, None][:3], strict=True))
        steps = [self._of_steps(of_query, query, -1), self._of_steps(of_value, value, -2)]
        steps += [self._of_steps(of_key, key, -2)]
        q, k, v = self.query(query), self.key(key), self.value(value)
        gate = None if self.gate is None else torch.sigmoid(self.gate(query))
        projected = [q, k, v] if gate is None else [q, k, v, gate]
        q, k, v = (self._along_steps(x) for x in (q, k, v))
        visible = base.combined_mask([*steps, self._attention_mask(as_mask(attention_mask), query, value)])
        y, weights = self._attend(q, k, v, visible, use_causal_mask, return_attention_scores)
        y = self._along_axes(y, query)
        y = self.attention_output(y if gate is None else y * gate)
        result = (y, self._scores(weights, query, value)) if weights is not None and return_attention_scores else y
        if (penalty := self.settings.activity_regularizer) is None:
            return result
        penalties = [penalty(x) / x.shape[0] for x in [*projected, y]]
        return Outcome(result, losses={"projections": torch.stack(penalties).sum()})

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, use_causal_mask: bool, wants_weights: bool
    ) -> tuple[Tensor, Tensor | None]:  # (N, *, H, T, D), (N, *, H, S, D), (N, *, H, S, V) -> (N, *, H, T, V)
        if (times := q.shape[-3] // k.shape[-3]) > 1:  # query heads that share a head of keys and values
            k, v = k.repeat_interleave(times, -3), v.repeat_interleave(times, -3)
        if len(self.axes) > 1 and use_causal_mask:
            raise ShapeMismatch("needs one attention axis for use_causal_mask", argument="use_causal_mask")
        rate, window = self.settings.dropout, self.settings.sliding_window
        explicit = wants_weights or self.settings.flash_attention is False or (self.training and rate > 0)
        is_causal = use_causal_mask and not explicit and visible is None and window is None
        order = base.causal_mask(q, k) if use_causal_mask and not is_causal else None
        visible = base.combined_mask([visible, order, None if window is None else base.window_mask(window, q, k)])
        if not explicit:
            bias = base.score_bias(visible, q, _masked_score(q.dtype))
            y = fused_attention(q, k, v, bias, is_causal=is_causal, scale=self.scale)
            if visible is not None and (rate or q.ndim != 4):  # zeros where all is masked: see _masked_score
                y = torch.where(visible.any(-1, keepdim=True), y, 0.0)
            return y, None
        scores = (q * self.scale) @ k.mT
        weights = softmax(scores, (scores.ndim - 1,), None if visible is None else visible.expand_as(scores))
        dropped = dropout(weights, rate, seed=self.settings.seed) if self.training else weights
        return dropped @ v, weights

    def _along_steps(self, x: Tensor) -> Tensor:  # (N, *, H, D) -> (N, *, H, T, D)
        """Return queries, keys or values with the attention axes moved before the last axis and flattened into one."""
        count = len(self.axes)
        return x.movedim(self.axes, tuple(range(x.ndim - 1 - count, x.ndim - 1))).flatten(-1 - count, -2)

    def _along_axes(self, y: Tensor, query: Tensor) -> Tensor:  # (N, *, H, T, D) -> (N, *, H, D)
        """Return the attention output with the query's attention axes restored from the one axis of steps to which they
        were flattened."""
        y = y.unflatten(-2, self._sizes(query))
        return y.movedim(tuple(range(y.ndim - 1 - len(self.axes), y.ndim - 1)), self.axes)

    def _scores(self, weights: Tensor, query: Tensor, value: Tensor) -> Tensor:  # -> (N, *, H, *T, *S)
        return weights.unflatten(-1, self._sizes(value)).unflatten(-1 - len(self.axes), self._sizes(query))

    def _sizes(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape[axis] for axis in self.axes)

    def _of_steps(self, mask: Tensor | None, x: Tensor, new: int) -> Tensor | None:
        """Reshape a mask of the steps of `x` (query, key or value) so that it broadcasts to the attention scores.

        The mask has the first axes of `x`, the result is (N, *, 1, T, 1) or (N, *, 1, 1, S).
        """
        if mask is None:
            return None
        whole = broadcast_mask(mask, x).expand(*x.shape[:-1], 1).unsqueeze(-2)
        return self._along_steps(whole).squeeze(-1).unsqueeze(new)

    def _attention_mask(self, mask: Tensor | None, query: Tensor, value: Tensor) -> Tensor | None:
        """Return the call argument `attention_mask` reshaped so that it broadcasts to the attention scores.

        It is (N, *T, *S), with or without axes before T. Raises ShapeMismatch.
        """
        if mask is None:
            return None
        count, sizes = len(self.axes), (*self._sizes(query), *self._sizes(value))
        before, last = mask.shape[: -2 * count], mask.shape[-2 * count :]
        fits = all(a in (1, b) for a, b in zip(last, sizes, strict=False))
        if not fits or not 1 <= len(before) <= query.ndim - count:
            expected, got = (show_shape((None, *shape)) for shape in (sizes, mask.shape[1:]))
            raise ShapeMismatch(f"needs an attention_mask of {expected}, got {got}", argument="attention_mask")
        ones = (1,) * (query.ndim - count - len(before))
        mask = mask.reshape(*before, *ones, *last).expand(*before, *ones, *sizes)
        return mask.flatten(-count).flatten(-1 - count, -2)


def _masked_score(dtype: torch.dtype) -> float:
    """Return the large negative number that Keras, in its fused attention, adds to the scores of masked positions.

    Where all positions are masked, all get the same weight. Keras's other path, for dropout, scores and more than
    one axis of steps, gives zeros there.
    """
    return -0.7 * (65500.0 if dtype == torch.float16 else 3.38953e38)
