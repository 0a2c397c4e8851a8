"""Transform `string_lookup`: map strings to vocabulary indices or to vectors over the vocabulary, and back."""

from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from kerascli.data.base import Field, FittedState, transform
from kerascli.data.text.texts import Texts
from kerascli.data.transforms.lookup import Lookup
from kerascli.foundation.shapes import Words
from kerascli.preprocessing.categories import UNKNOWN
from kerascli.preprocessing.hashing import Salt, buckets

if TYPE_CHECKING:
    import pyarrow as pa


@transform()
class StringLookup(Lookup):
    """Maps strings to vocabulary indices or vectors, or back with `invert`, as keras.layers.StringLookup.

    The vocabulary is given, or learned from the training rows in order of frequency. Out-of-vocabulary (OOV) strings
    get index 0 by default; in targets they are an error, and the vocabulary is sorted.
    """

    takes_text = True
    entry_noun = "string"
    entry_dtype = "string"

    mask_token: str | None = None
    oov_token: str | None = "[UNK]"
    vocabulary: str | Words | None = None
    encoding: Literal["utf-8"] = "utf-8"
    """Text encoding, as in Keras's signature; only utf-8 is possible, since the data source decodes the text."""
    salt: Salt | None = None
    """Key of SipHash, which picks one of several OOV indices for a string; null: FarmHash picks it."""

    positive: str | None = None
    """Class of a binary target that counts as positive: a single output unit predicts its probability.
    null: the last class in sorted order."""

    def codes(self, values: "pa.Array", state: FittedState, *, target: bool) -> Tensor:
        return torch.from_numpy(self.indices(values.to_pylist(), state, target=target))

    def indices(self, words: Sequence[str], state: FittedState, *, target: bool = False) -> np.ndarray:
        """Return the vocabulary index of each string."""
        table, places = self.table(state, target=target), self.places(target=target)
        indices = np.fromiter(map(table.get, words, repeat(UNKNOWN)), np.int64, len(words))
        if places and (unknown := np.flatnonzero(indices == UNKNOWN)).size:
            texts = [words[index].encode() for index in unknown.tolist()] if places > 1 else ()
            indices[unknown] = self.masks() + (buckets(texts, places, self.salt).numpy() if places > 1 else 0)
        return indices

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        """Return the vocabulary's entries for rows of indices, with `invert`."""
        assert isinstance(values, np.ndarray)
        entries = self.inverted_entries(state.facts["vocabulary"], "")
        last = len(entries) - 1
        return Texts.of(entries, np.where((values >= 0) & (values < last), values, last))
