"""Transforms of sequences of integers: `pad_sequences`, `ngrams` of token ids, and pretrained `word_vectors`."""

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field as Setting
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow
from kerascli.data.storage.tokens import End, Tokens
from kerascli.data.transforms.input_checks import check_value, need_integers
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError, Place
from kerascli.foundation.shapes import PositiveInt
from kerascli.preprocessing.function import Constant


def _need_sequences(field: Field) -> None:
    """Raise ValueError unless a transform's input is sequences of integers, whose lengths may differ."""
    if not field.is_ragged:
        need_integers(field)
        if len(field.shape) != 1:
            raise ValueError(f"needs sequences (rows with one axis), got {len(field.shape)} axes")


@transform()
class PadSequences(Transform):
    """Pads and truncates sequences of integers to (maxlen,), as keras.utils.pad_sequences."""

    takes_sequences = True

    maxlen: PositiveInt | None = None
    """Length of all output sequences; null: the length of the longest training row."""
    dtype: Literal["int32", "int64", "float32"] = "int32"
    """The dtype of the output."""
    padding: End = "pre"
    """Side on which short sequences are padded: pre (before) or post (after)."""
    truncating: End = "pre"
    """Side on which long sequences lose values: pre (the beginning) or post (the end)."""
    value: float = 0.0
    """Value that fills the padding, one that `dtype` represents."""

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        check_value(self.value, self.dtype)
        return self

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        _need_sequences(field)
        length = self._length(state)
        return replace(field, shape=(length,), dtype=self.dtype, max_length=length)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        return FittedState({"max_length": max(Tokens.of(block).longest() for block in rows)}, {})

    def sequences(self, tokens: Tokens, field: Field, state: FittedState) -> Tensor:
        width = self._length(state)
        assert width is not None
        tokens = tokens.truncated(width, self.truncating)
        try:
            values = converted(tokens.values, np.dtype(self.dtype))
        except BadRow as bad:
            raise BadRow(int(tokens.owners()[bad.row]), bad.text) from None
        return torch.from_numpy(Tokens(values, tokens.lengths).padded(width, self.value, self.padding))

    def _length(self, state: FittedState | None) -> int | None:
        return self.maxlen or (None if state is None else state.facts["max_length"])


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
        _need_sequences(field)
        size = None if state is None else int(state.facts["vocabulary_size"])
        return replace(field, shape=(None,), dtype="sequence", vocabulary_size=size, words=None, max_length=None)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        words = field.vocabulary_size or 1 + max(int(Tokens.of(block).values.max(initial=0)) for block in rows)
        if words**self.n > 2**62:
            text = f"a vocabulary of {words:,} is too large for n-grams of {self.n}"
            raise ValueError(f"{text}; expected a smaller vocabulary or n")
        arrays: dict[str, np.ndarray] = {}
        for width in range(2, self.n + 1):
            codes = (_codes(Tokens.of(block), width, words)[0] for block in rows)
            arrays[str(width)] = reduce(np.union1d, codes, np.empty(0, np.int64))
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
        return Tokens(np.concatenate(parts)[order], np.bincount(rows, minlength=len(tokens)))


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


_LONGEST_LINE = 2**20
_NO_WORDS = "needs token ids with a vocabulary, as from text_vectorization and string_lookup"


@transform()
class WordVectors(Transform):
    """Replaces token ids (*) by pretrained word vectors (*, dim), which stay fixed: GloVe, word2vec or fastText.

    The file is text with one line for each word: the word and its vector, separated by blanks. Padding, unknown tokens
    and words that the file lacks become zeros.
    """

    per_batch = "always"
    paths = ("path",)

    path: str
    """Path of the text file with the vectors, for example glove.6B.100d.txt."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if not field.is_integer or field.is_ragged:
            got = "sequences of different lengths" if field.is_ragged else field.dtype
            raise ValueError(f"needs token ids, got {got}")
        if state is not None and field.words is None:
            raise ValueError(_NO_WORDS)
        width = None if state is None else state.arrays["vectors"].shape[1]
        return replace(field, shape=(*field.shape, width), dtype="float32", vocabulary_size=None, words=None)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        if field.words is None:
            raise ValueError(_NO_WORDS)
        places = {word.encode(): place for place, word in enumerate(field.words) if word}
        vector_of = _read(Path(self.path), places)
        if not vector_of:
            raise ValueError(f"none of the {len(places):,} words of the vocabulary is in the file '{self.path}'")
        vectors = np.zeros((len(field.words), len(next(iter(vector_of.values())))), np.float32)
        for place, vector in vector_of.items():
            vectors[place] = vector
        share = len(vector_of) / len(places)
        warning = f"the file has {share:.0%} of the words of the vocabulary; the vectors of the others are zeros"
        return FittedState({}, {"vectors": vectors}, (warning,) if share < 0.5 else ())

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Constant(F.embedding, torch.from_numpy(state.arrays["vectors"]), dtype=torch.int64)


def _read(path: Path, places: Mapping[bytes, int]) -> dict[int, np.ndarray]:
    """Read the vectors of the given words from the file, line by line; return {token id: vector}. Raises DataError."""
    vectors: dict[int, np.ndarray] = {}
    width = 0
    with open_regular(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
            word, _, numbers = line.rstrip().partition(b" ")
            place = places.get(word)
            if place is None or (number == 1 and numbers.count(b" ") == 0):  # word2vec's header: two sizes
                continue
            vector = _vector(numbers)
            if vector is None and width and _vector(b" ".join(numbers.split()[-width:])) is not None:
                continue  # the word has blanks, as some in glove.840B.300d.txt
            if vector is None or (width and len(vector) != width):
                got = None if vector is None else f"{len(vector)} numbers, others have {width}"
                raise DataError(got or "expected a word and its vector", place=Place(str(path), number))
            width = len(vector)
            vectors[place] = vector
    return vectors


def _vector(numbers: bytes) -> np.ndarray | None:
    try:
        vector = np.array(numbers.split(), np.float32)
    except ValueError:
        return None
    return vector if len(vector) and np.isfinite(vector).all() else None
