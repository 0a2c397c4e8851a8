"""IntegerLookup as a layer: its vocabulary is given, since a layer does not learn from the data before training."""

import torch
from torch import Tensor, nn

from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.categories import encode_tensor
from kerascli.preprocessing.hashing_tensors import buckets_of
from kerascli.preprocessing.lookup import IntegerLookupSettings
from kerascli.shapes import TensorSpec

_IN_DATA = "put integer_lookup into the input's pipeline under data"


@layer(
    Example(input=(3,), output=(3,), config={"vocabulary": [10, 20, 30]}, dtype="int64"),
    Example(input=(3,), output=(4,), config={"vocabulary": [1, 5, 2], "output_mode": "multi_hot"}, dtype="int64"),
    Example(input=(3,), output=(3,), config={"vocabulary": [10, 20, 30], "invert": True}, dtype="int64"),
)
class IntegerLookup(IntegerLookupSettings, Layer):
    """Numbers of a given vocabulary to 0, 1, ..., or to vectors over it; and back."""

    takes_integers = True

    def build(self, x: TensorSpec) -> nn.Module:
        if not isinstance(self.vocabulary, tuple):
            what = "does not learn a vocabulary" if self.vocabulary is None else "does not read a vocabulary file"
            hint = f"vocabulary: [10, 20], or {_IN_DATA}"
            raise ShapeMismatch(f"needs a vocabulary in place: a layer {what}", hint=hint, argument="vocabulary")
        if self.num_oov_indices == 0 and not self.invert:
            text = "needs a place for unknown numbers: it cannot refuse a row of a batch"
            raise ShapeMismatch(text, hint=f"num_oov_indices: 1, or {_IN_DATA}", argument="num_oov_indices")
        if not x.is_integer:
            raise ShapeMismatch(f"needs whole numbers, got {x.dtype}", hint="discretization makes bins of numbers")
        entries = tuple(self.entries(self.vocabulary))
        size = self._first() + len(entries)
        if self.max_tokens is not None and size > self.max_tokens:
            text = f"has {size} entries, places for unknown numbers included; max_tokens is {self.max_tokens}"
            raise ShapeMismatch(text, argument="max_tokens")
        if self.idf_weights is not None and len(self.idf_weights) != len(self.vocabulary):
            text = f"needs {len(self.vocabulary)} idf_weights, one an entry, got {len(self.idf_weights)}"
            raise ShapeMismatch(text, argument="idf_weights")
        return InvertedModule(self, entries) if self.invert else IntegerLookupModule(self, entries, size)

    def places(self) -> int:
        """For unknown numbers."""
        return 1 if self.num_oov_indices is None else self.num_oov_indices

    def masks(self) -> int:
        """1 where the mask token has an index of its own; in the other modes it counts as nothing."""
        return int(self.mask_token is not None and self.output_mode == "int")

    def _first(self) -> int:
        return self.masks() + self.places()


class IntegerLookupModule(nn.Module):
    """The vocabulary is a setting, not a weight: it becomes a tensor where it is used."""

    def __init__(self, settings: IntegerLookup, entries: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.settings, first = settings, size - len(entries)
        ordered = sorted(zip(entries, range(first, size), strict=True))
        self.known, self.numbers = ([pair[i] for pair in ordered] for i in (0, 1))
        self.width = settings.max_tokens if settings.pad_to_max_tokens and settings.max_tokens else size
        self.weights = list(settings.idf_weights or ())
        if self.weights and len(self.weights) != size:  # with the mean of all in front, for unknown numbers
            self.weights = [sum(self.weights) / len(self.weights)] * first + self.weights
        self.weights += [0.0] * (self.width - len(self.weights))

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *) or (N, *, width)
        settings, dtype = self.settings, torch.get_default_dtype()
        found = self._indices(x.long())
        if settings.output_mode != "tf_idf":
            return encode_tensor(found, settings.output_mode, self.width, dtype)
        counts = encode_tensor(found, "count", self.width, dtype)
        return counts * torch.tensor(self.weights, dtype=dtype, device=x.device)

    def _indices(self, x: Tensor) -> Tensor:
        settings = self.settings
        known = torch.tensor(self.known, device=x.device)
        at = torch.searchsorted(known, x).clamp(max=len(self.known) - 1)
        index = torch.tensor(self.numbers, device=x.device)[at]
        places = settings.places()
        if settings.oov_method == "farmhash" and places > 1:
            unknown = buckets_of(x, places, settings.salt)
        else:
            unknown = x % places
        index = torch.where(known[at] == x, index, unknown + settings.masks())
        if settings.mask_token is not None:
            index = torch.where(x == settings.mask_token, 0 if settings.masks() else -1, index)
        return index


class InvertedModule(nn.Module):
    """From numbers of the vocabulary back to its entries."""

    def __init__(self, settings: IntegerLookup, entries: tuple[int, ...]) -> None:
        super().__init__()
        self.unknown = -1 if settings.oov_token is None else settings.oov_token
        mask = [] if settings.mask_token is None else [settings.mask_token]
        self.entries = [*mask, *[self.unknown] * settings.places(), *entries]

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        entries = torch.tensor(self.entries, device=x.device)
        x = x.long()
        there = (x >= 0) & (x < len(self.entries))
        return torch.where(there, entries[x.clamp(0, len(self.entries) - 1)], self.unknown)
