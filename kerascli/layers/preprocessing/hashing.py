"""Hashing as a layer: of whole numbers, since tensors hold no words."""

from torch import nn

from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.hashed import HashingModule, HashingSettings
from kerascli.shapes import TensorSpec

IN_DATA = (
    "tensors hold whole numbers; words are hashed by the transform of that name, in the input's pipeline under data"
)


@layer(
    Example(input=(3,), output=(3,), config={"num_bins": 10}, dtype="int64"),
    Example(input=(3,), output=(3, 10), config={"num_bins": 10, "output_mode": "one_hot", "salt": 3}, dtype="int64"),
    Example(input=(3,), output=(8,), config={"num_bins": 8, "output_mode": "count", "mask_value": 0}, dtype="int64"),
)
class Hashing(HashingSettings, Layer):
    """Replaces whole numbers by hashes of them, Keras's numbers; different numbers may share one."""

    takes_integers = True

    def build(self, x: TensorSpec) -> nn.Module:
        if isinstance(self.mask_value, str):
            raise ShapeMismatch(f"has a word as mask_value: '{self.mask_value}'", hint=IN_DATA, argument="mask_value")
        if not x.is_integer:
            raise ShapeMismatch(f"needs whole numbers, got {x.dtype}", hint="discretization makes bins of numbers")
        return HashingModule(self, self.mask_value)
