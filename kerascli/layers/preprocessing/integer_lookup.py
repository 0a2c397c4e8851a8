"""IntegerLookup: a layer that maps integers to indices by a vocabulary from the config, not learned from data."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.categories import Encoded
from kerascli.preprocessing.lookup import IntegerIndex, IntegerLookupSettings, InvertedModule

_IN_DATA = "put integer_lookup into the input's pipeline under data"


@layer(
    Example(input=(3,), output=(3,), config={"vocabulary": [10, 20, 30]}, dtype="int64"),
    Example(input=(3,), output=(4,), config={"vocabulary": [1, 5, 2], "output_mode": "multi_hot"}, dtype="int64"),
    Example(input=(3,), output=(3,), config={"vocabulary": [10, 20, 30], "invert": True}, dtype="int64"),
)
class IntegerLookup(IntegerLookupSettings, Layer):
    """Maps integers to indices in a given vocabulary, or to vectors over it; `invert` maps indices to integers.

    Input: integers (N, *). Output: indices (N, *), or vectors over the vocabulary. Out-of-vocabulary integers get OOV
    indices, which come before the vocabulary's.
    """

    takes_integers = True

    def build(self, x: TensorSpec) -> nn.Module:
        if not isinstance(self.vocabulary, tuple):
            what = "does not learn a vocabulary" if self.vocabulary is None else "does not read a vocabulary file"
            hint = f"vocabulary: [10, 20], or {_IN_DATA}"
            raise ShapeMismatch(f"needs its vocabulary in the config: a layer {what}", hint=hint, argument="vocabulary")
        if self.num_oov_indices == 0 and not self.invert:
            text = "needs an out-of-vocabulary index: a layer cannot reject a row of a batch"
            raise ShapeMismatch(text, hint=f"num_oov_indices: 1, or {_IN_DATA}", argument="num_oov_indices")
        if not x.is_integer:
            raise ShapeMismatch(f"needs integers, got {x.dtype}", hint="discretization makes bins of numbers")
        entries = tuple(self.entries(self.vocabulary))
        size = self.first() + len(entries)
        if self.max_tokens is not None and size > self.max_tokens:
            text = f"has {size} entries, out-of-vocabulary indices included; max_tokens is {self.max_tokens}"
            raise ShapeMismatch(text, argument="max_tokens")
        if self.idf_weights is not None and len(self.idf_weights) != len(self.vocabulary):
            text = f"needs {len(self.vocabulary)} idf_weights, one per entry, got {len(self.idf_weights)}"
            raise ShapeMismatch(text, argument="idf_weights")
        if self.invert:
            return InvertedModule(self, entries)
        width = self.max_tokens if self.pad_to_max_tokens and self.max_tokens else size
        weights = list(self.idf_weights or ())
        if weights and len(weights) != size:  # with their mean in front, for out-of-vocabulary integers
            weights = [sum(weights) / len(weights)] * self.first() + weights
        padded = [*weights, *[0.0] * (width - len(weights))] if weights else None
        return nn.Sequential(IntegerIndex(self, entries, self.places()), Encoded(self.output_mode, width, None, padded))
