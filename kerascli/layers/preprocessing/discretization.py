"""Discretization: a layer that replaces numbers by the index of their bin."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.discretization import DiscretizationModule, DiscretizationSettings


@layer(
    Example(input=(4,), output=(4,), config={"bin_boundaries": [-1.5, 0.0, 1.0]}),
    Example(input=(4,), output=(4, 3), config={"bin_boundaries": [0.0, 1.0], "output_mode": "one_hot"}),
    Example(input=(4,), output=(3,), config={"bin_boundaries": [0.0, 1.0], "output_mode": "count"}),
)
class Discretization(DiscretizationSettings, Layer):
    """Replaces numbers by the index of the bin that they fall into, or by vectors over the bins.

    Input: (N, *). Output: (N, *) of integers from 0, or vectors over the bins.
    """

    def build(self, x: TensorSpec) -> nn.Module:
        if self.bin_boundaries is None:
            hint = "give bin_boundaries, or put discretization into the input's pipeline under data"
            raise ShapeMismatch("a layer does not learn bins from the data", hint=hint, argument="num_bins")
        return DiscretizationModule(self.bin_boundaries, self.output_mode)
