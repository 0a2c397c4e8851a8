"""Dot: dot product of two inputs along one axis of each."""

from typing import Annotated

import torch
from pydantic import BeforeValidator
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, MergeLayer, ShapeMismatch, layer
from kerascli.layers.geometry import positive_axes
from kerascli.layers.merging.base import check_count

_EPSILON = 1e-7  # Keras's guard against a vector of zeros


def _both(axes: object) -> object:
    return (axes, axes) if isinstance(axes, int) else tuple(axes) if isinstance(axes, list) else axes


@layer(
    Example(input=[(4,), (4,)], output=(1,), config={"axes": 1}),
    Example(input=[(5, 4), (3, 4)], output=(5, 3), config={"axes": [2, 2]}),
    Example(input=[(5, 4), (5,)], output=(4,), config={"axes": [1, 1], "normalize": True}),
)
class Dot(MergeLayer):
    """Dot product of two inputs along an axis of each; with `normalize` their cosine similarity.

    Inputs: (N, *, K, *) twice. Output: (N, *), the other axes of the first and then of the second input; (N, 1) if
    there are none.
    """

    axes: Annotated[tuple[int, int], BeforeValidator(_both)]
    """Axis of each input to sum over: one integer for both, or [first, second]; 0 is the batch."""
    normalize: bool = False
    """Normalize both inputs to L2 norm 1 along the axis first: the result is the cosine similarity."""

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_count(xs, 2)
        (a,), (b,) = (positive_axes(axis, x, "axes") for axis, x in zip(self.axes, xs, strict=True))
        sizes = xs[0].shape[a - 1], xs[1].shape[b - 1]
        if None not in sizes and sizes[0] != sizes[1]:
            text = f"axis {a} of {xs[0]} and axis {b} of {xs[1]} differ: {sizes[0]} and {sizes[1]}"
            raise ShapeMismatch(text, argument="axes")
        return DotModule(a, b, self.normalize)


class DotModule(nn.Module):
    def __init__(self, a: int, b: int, normalize: bool) -> None:
        super().__init__()
        self.a, self.b = a, b
        self.normalize = normalize

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # (N, *, K, *), (N, *, K, *) -> (N, *, *)
        if self.normalize:
            x, y = _unit(x, self.a), _unit(y, self.b)
        # Axes by number: the batch is 0, x's are 1, 2 ...; y's come after them, but for the summed one.
        of_x = list(range(x.ndim))
        of_y = [0, *range(x.ndim, x.ndim + y.ndim - 1)]
        of_y[self.b] = self.a
        kept = [axis for axis in (*of_x, *of_y[1:]) if axis != self.a]
        z = torch.einsum(x, of_x, y, of_y, kept)
        return z if z.ndim > 1 else z.unsqueeze(1)


def _unit(x: Tensor, axis: int) -> Tensor:
    return x * x.square().sum(axis, keepdim=True).rsqrt().clamp(max=1 / _EPSILON)
