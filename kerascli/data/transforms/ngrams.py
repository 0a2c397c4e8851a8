"""Transform `ngrams`: token ids for n-grams; Joulin et al., Bag of Tricks for Efficient Text Classification, 2016."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field as Setting

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.tokens import Tokens
from kerascli.data.transforms.input_checks import need_sequences, tokens_of


@transform()
class Ngrams(Transform):
    """Appends to each sequence of token ids the ids of its n-grams of 2 to `n` tokens (Joulin et al., 2016).

    N-grams that do not occur in the training rows are dropped. The vocabulary grows by those that do. `n: 1` changes
    nothing.
    """

    splits_values = True
    takes_sequences = True

    n: Annotated[int, Setting(ge=1, le=4)] = 2
    """Maximum n-gram length, in tokens."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_sequences(field)
        size = None if state is None else int(state.facts["vocabulary_size"])
        return replace(field, shape=(None,), dtype="sequence", vocabulary_size=size, words=None, max_length=None)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        words = field.vocabulary_size or 1 + max(int(tokens_of(block).values.max(initial=0)) for block in rows)
        if words**self.n > 2**62:
            raise ValueError(
                f"a vocabulary of {words:,} is too large for n-grams of {self.n}; expected a smaller vocabulary or n"
            )
        arrays: dict[str, np.ndarray] = {}
        for width in range(2, self.n + 1):
            codes_of = (np.unique(_codes(tokens_of(block), width, words)[0]) for block in rows)
            arrays[str(width)] = _merged(codes_of)
        size = words + sum(len(codes) for codes in arrays.values())
        return FittedState({"words": words, "vocabulary_size": size}, arrays)

    def sequences(self, tokens: Tokens, field: Field, state: FittedState) -> Tokens:
        parts, owners = [tokens.values.astype(np.int64)], [tokens.owners()]
        first = words = int(state.facts["words"])
        for width in range(2, self.n + 1):
            codes_known = state.arrays[str(width)]
            codes, rows = _codes(tokens, width, words)
            places = np.minimum(np.searchsorted(codes_known, codes), max(0, len(codes_known) - 1))
            there = codes_known[places] == codes if len(codes_known) else np.zeros(len(codes), bool)
            parts.append(first + places[there])
            owners.append(rows[there])
            first += len(codes_known)
        rows = np.concatenate(owners)
        order = np.argsort(rows, kind="stable")
        lengths = np.bincount(rows, minlength=len(tokens))
        return Tokens(np.concatenate(parts)[order], lengths)


def _codes(tokens: Tokens, width: int, words: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an integer code for each n-gram of `width` tokens, and the index of its row.

    N-grams with ids outside the vocabulary are skipped.
    """
    values, owners = tokens.values.astype(np.int64), tokens.owners()
    count = max(0, len(values) - width + 1)
    codes = np.zeros(count, np.int64)
    whole = owners[:count] == owners[len(values) - count :]
    for step in range(width):
        part = values[step : step + count]
        codes = codes * words + part
        whole &= (part >= 0) & (part < words)
    return codes[whole], owners[:count][whole]


def _merged(parts: Iterator[np.ndarray]) -> np.ndarray:
    out = np.empty(0, np.int64)
    for part in parts:
        out = np.union1d(out, part)
    return out
