"""HashedCrossing: a layer that hashes several integers together to one bin; it takes no strings."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, MergeLayer, ShapeMismatch, layer
from kerascli.layers.preprocessing.hashing import IN_DATA
from kerascli.preprocessing.hashing_modules import HashedCrossingModule, HashedCrossingSettings


@layer(
    Example(input=[(1,), (1,)], output=(1,), config={"num_bins": 10}, dtype="int64"),
    Example(input=[(), (), ()], output=(6,), config={"num_bins": 6, "output_mode": "one_hot"}, dtype="int64"),
)
class HashedCrossing(HashedCrossingSettings, MergeLayer):
    """Hashes the integers of several inputs together to one bin, with the same result as Keras.

    Inputs: integers (N,) or (N, 1). Output: the same shape, with values from 0 to num_bins - 1, or vectors (N,
    num_bins).
    """

    takes_integers = True

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        if any(not x.is_integer for x in xs):
            raise ShapeMismatch(f"needs integers, got {' and '.join(x.dtype for x in xs)}", hint=IN_DATA)
        if len({x.shape for x in xs}) > 1 or xs[0].shape not in ((), (1,)):
            raise ShapeMismatch(f"needs inputs of one number each, got {' and '.join(map(str, xs))}")
        return HashedCrossingModule(self)
