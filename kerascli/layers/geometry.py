"""Where things are in a tensor: axes counted as Keras counts them, channels first or last, padding."""

from kerascli.layers.base import ShapeMismatch
from kerascli.shapes import Ints, TensorSpec

Axes = int | Ints
"""One axis or several; 0 is the batch, negative ones count from the end."""


def positive_axes(axes: int | tuple[int, ...], x: TensorSpec) -> tuple[int, ...]:
    """The axes of `x` (batch included) as numbers from 1, in order; raises ShapeMismatch."""
    given = (axes,) if isinstance(axes, int) else axes
    rank = x.rank + 1
    found = sorted({axis + rank if axis < 0 else axis for axis in given})
    if not given or len(found) != len(given) or found[0] < 1 or found[-1] >= rank:
        shown = axes if isinstance(axes, int) else list(axes)
        raise ShapeMismatch(
            f"axis {shown} does not fit an input of {x}",
            hint="axis 0 is the batch; negative axes count from the end",
            argument="axis",
        )
    return tuple(found)
