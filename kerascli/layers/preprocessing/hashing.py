"""Hashing: a layer that hashes integers to bins; it takes no strings, since tensors hold none."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.categories import Encoded
from kerascli.preprocessing.hashing_modules import HashBins, HashingSettings

IN_DATA = "tensors hold numbers; strings are hashed by the transform of that name, in the input's pipeline under data"


@layer(
    Example(input=(3,), output=(3,), config={"num_bins": 10}, dtype="int64"),
    Example(input=(3,), output=(3, 10), config={"num_bins": 10, "output_mode": "one_hot", "salt": 3}, dtype="int64"),
    Example(input=(3,), output=(8,), config={"num_bins": 8, "output_mode": "count", "mask_value": 0}, dtype="int64"),
)
class Hashing(HashingSettings, Layer):
    """Hashes integers to bins, with the same result as Keras; different integers may share a bin.

    Input: integers (N, *). Output: (N, *), with values from 0 to num_bins - 1, or vectors over the bins.
    """

    takes_integers = True

    def build(self, x: TensorSpec) -> nn.Module:
        if isinstance(self.mask_value, str):
            raise ShapeMismatch(f"has a string as mask_value: '{self.mask_value}'", hint=IN_DATA, argument="mask_value")
        if not x.is_integer:
            raise ShapeMismatch(f"needs integers, got {x.dtype}", hint="discretization makes bins of numbers")
        return nn.Sequential(HashBins(self), Encoded(self.output_mode, self.num_bins))
