"""Integer lookup: integers to vocabulary indices or vectors, and back, as a transform and as a layer."""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, transform
from kerascli.data.text.onnx_texts import mapped
from kerascli.data.transforms.lookup import Lookup
from kerascli.foundation.shapes import Ints, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.categories import DROPPED, UNKNOWN, Encoded, LookupSettings
from kerascli.preprocessing.function import Function
from kerascli.preprocessing.hashing import Salt, buckets_of, signed


class IntegerLookupSettings(LookupSettings):
    """Settings that the layer and the transform `integer_lookup` share."""

    mask_token: int | None = None
    oov_token: int | None = -1
    vocabulary: str | Ints | None = None
    vocabulary_dtype: Literal["int64"] = "int64"
    """The dtype of the vocabulary; only int64 is possible, as in Keras."""
    oov_method: Literal["floormod", "farmhash"] = "floormod"
    """Rule that chooses among several OOV indices: floormod (remainder of a division) or farmhash (hash)."""
    salt: Salt | None = None
    """Key of SipHash, which replaces FarmHash for oov_method farmhash; null: FarmHash."""

    @model_validator(mode="after")
    def _salted(self) -> Self:
        if self.salt is not None and self.oov_method != "farmhash":
            raise ValueError("'salt' needs oov_method farmhash")
        return self

    def looking_up(self, entries: Sequence[int], places: int) -> Function:
        """Return the module that maps integers to indices of a vocabulary, or indices to its entries with `invert`.

        The vocabulary is a setting, not a weight, and becomes a tensor in the module's forward.
        """
        if self.invert:
            return Function(_entries_of, self.inverted_entries(entries, -1))
        ordered = sorted((signed(entry), index) for index, entry in enumerate(entries, self.masks() + places))
        return Function(self._indices_of, *([pair[i] for pair in ordered] for i in (0, 1)), places)

    def _indices_of(self, x: Tensor, entries: list[int], indices: list[int], places: int) -> Tensor:  # (N, *) -> (N, *)
        unknown, x = self._unknown(x, places), x.long()
        ordered = torch.tensor(entries, device=x.device)
        at = torch.bucketize(x, ordered).clamp(max=len(entries) - 1)
        index = torch.where(ordered[at] == x, torch.tensor(indices, device=x.device)[at], unknown)
        if self.mask_token is not None:
            index = torch.where(x == self.mask_token, 0 if self.masks() else DROPPED, index)
        return index

    def _unknown(self, x: Tensor, places: int) -> Tensor | int:
        """Return the indices of integers that are not in the vocabulary."""
        if places == 0:
            return UNKNOWN
        is_hash = self.oov_method == "farmhash" and places > 1
        return self.masks() + (buckets_of(x, places, self.salt) if is_hash else x.long() % places)


def _entries_of(x: Tensor, entries: list[int]) -> Tensor:  # (N, *) -> (N, *)
    last, x = len(entries) - 1, x.long()
    return torch.tensor(entries, device=x.device)[torch.where((x >= 0) & (x < last), x, last)]


@transform(name="integer_lookup")
class IntegerLookupTransform(IntegerLookupSettings, Lookup):
    """Maps integer categories (years, postal codes) to vocabulary indices or vectors, as keras.layers.IntegerLookup.

    The vocabulary is given, or learned from the training rows in order of frequency. Out-of-vocabulary (OOV) values
    get index 0 by default; in targets they are an error, and the vocabulary is sorted.
    """

    entry_noun = "integer"

    positive: int | None = None
    """Class of a binary target that counts as positive: a single output unit predicts its probability.
    null: the last class in sorted order."""

    def codes(self, values: Tensor, state: FittedState, *, target: bool) -> Tensor:
        if target not in state.memo:
            state.memo[target] = self.looking_up(state.facts["vocabulary"], self.places(target=target))
        return state.memo[target](values)

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        places, x = self.places(), x.long()
        if self.invert or (places > 1 and self.oov_method == "farmhash"):
            return super().onnx(x, field, state)
        table = {signed(entry): index for entry, index in self.table(state, target=False).items()}
        indices = mapped(x, table, UNKNOWN)
        return torch.where(indices == UNKNOWN, self.masks() + x % places, indices) if places else indices


_IN_DATA = "put integer_lookup into the input's pipeline under data"


@layer(Example(input=(3,), output=(3,), config={"vocabulary": [10, 20, 30]}, dtype="int64"))
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
        width = self.max_tokens if self.pad_to_max_tokens and self.max_tokens else size
        weights = self.idf_weights
        if weights is not None:  # the mean weight in front is for out-of-vocabulary integers
            weights = (*[sum(weights) / len(weights)] * (size - len(weights)), *weights)
        return nn.Sequential(self.looking_up(entries, self.places()), Encoded(self.output_mode, width, None, weights))
